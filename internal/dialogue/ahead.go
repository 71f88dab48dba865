package dialogue

import "time"

// moment is how long Ahead waits where it cannot look without waiting.
const moment = 5 * time.Millisecond

// Ahead says whether the peer has said something that is not consumed yet. It sends nothing and does not wait for what is
// on its way. Of a connection that cannot be looked into it takes what comes within a moment; so it does under TLS, and
// only where octets have arrived, for they may be part of a record or say nothing to us.
func (c *Conn) Ahead() bool {
	if c.r < c.w {
		return true
	}
	if raw := c.socket(); raw != nil {
		if c.under != nil { // TLS may have read more than it gave us
			c.fill(time.Unix(1, 0), time.Now().Add(c.wait), bufferSize)
		}
		if c.r < c.w || !arrived(raw) {
			return c.r < c.w
		}
	}
	wait := moment
	if c.idle != nil { // what has arrived is ours, and there
		wait = time.Minute
	}
	c.Fill(time.Now().Add(wait), bufferSize)
	return c.r < c.w
}
