package dialogue

import "time"

// WriteString is Write for a string.
func (c *Conn) WriteString(s string) {
	if c.writeErr != nil {
		return
	}
	c.takeOut(len(s))
	if len(c.out)+len(s) >= cap(c.out) {
		c.Write([]byte(s))
		return
	}
	c.out = append(c.out, s...)
}

// Write buffers p, and sends what there is when the buffer is full. It always takes all of p: the error is that of Flush.
func (c *Conn) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0 && c.writeErr == nil; {
		if len(c.out) == 0 && len(rest) >= wideSize { // buffering it would only copy it
			block := rest[:min(len(rest), maxBlock)]
			c.send(block)
			rest = rest[len(block):]
			continue
		}
		c.takeOut(len(rest))
		n := min(len(rest), cap(c.out)-len(c.out))
		c.out = append(c.out, rest[:n]...)
		rest = rest[n:]
		if len(c.out) == wideSize {
			c.Flush()
		}
	}
	return len(p), c.writeErr
}

// takeOut takes an output buffer for n further octets, or a part of them.
func (c *Conn) takeOut(n int) {
	switch {
	case c.outWide != nil || c.outRoom != nil && len(c.out)+n <= outSize:
	case len(c.out)+n <= outSize:
		c.outRoom = outBuffers.Get().(*[outSize]byte)
		c.out = c.outRoom[:0]
	default:
		c.outWide = wideBuffers.Get().(*[wideSize]byte)
		c.out = append(c.outWide[:0], c.out...)
		if c.outRoom != nil {
			outBuffers.Put(c.outRoom)
			c.outRoom = nil
		}
	}
}

// giveOut gives the output buffer back.
func (c *Conn) giveOut() {
	if c.outRoom != nil {
		outBuffers.Put(c.outRoom)
	}
	if c.outWide != nil {
		wideBuffers.Put(c.outWide)
	}
	c.out, c.outRoom, c.outWide = nil, nil, nil
}

// Flush sends the buffered output. After the first error everything is dropped and the error is returned again.
func (c *Conn) Flush() error {
	if len(c.out) > 0 && c.writeErr == nil {
		c.send(c.out)
	}
	c.out = c.out[:0]
	return c.writeErr
}

func (c *Conn) send(p []byte) {
	c.Conn.SetWriteDeadline(time.Now().Add(c.wait))
	_, c.writeErr = c.Conn.Write(p)
}
