package smtp

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"waybill/internal/dialogue"
	"waybill/internal/mail"
)

// What a content reader returns of a message that is refused. They carry the reply.
var (
	ErrBareLineEnd error = &mail.Error{Status: bareLineEnd}
	ErrTooLarge    error = &mail.Error{Status: messageTooLarge}
)

// content reads the content of one message from the connection: an io.Reader and io.WriterTo that yields what was sent,
// straight from the input buffer, and io.EOF when it is whole: after CR LF . CR LF, with the stuffed dots removed, or
// after the last chunk.
type content struct {
	line    *dialogue.Conn
	limits  *Limits
	started time.Time
	scan    scanner
	chunks  *chunks // nil: it follows DATA

	span     []byte // yielded next, part of the input buffer
	owed     bool   // CR LF is yielded after span, though it was not sent
	open     bool   // what was yielded last does not end a line
	received int64  // octets from the wire
	size     int64  // octets of content
	ended    bool   // all of it was seen
	fault    error  // the message is refused, but its end is still looked for
	lost     error  // there is nothing more to read: the connection is of no use, or the client left the message
}

// newContent returns the reader of what follows DATA. normalise says that a bare CR or LF becomes CR LF, else it is refused.
func newContent(line *dialogue.Conn, l *Limits, normalise bool) *content {
	line.Widen()
	return &content{line: line, limits: l, started: time.Now(), scan: scanner{dots: true, loose: normalise, lineStart: true}}
}

// Read implements io.Reader.
func (c *content) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := c.next(); err != nil {
		return 0, err
	}
	n := copy(p, c.span)
	c.span = c.span[n:]
	return n, nil
}

// WriteTo implements io.WriterTo without copying.
func (c *content) WriteTo(w io.Writer) (total int64, err error) {
	for {
		if err := c.next(); err != nil {
			if err == io.EOF {
				err = nil
			}
			return total, err
		}
		n, err := w.Write(c.span)
		total += int64(n)
		c.span = nil
		if err != nil {
			return total, err
		}
	}
}

// next makes span non-empty, or returns io.EOF at the end, or why there is no more.
func (c *content) next() error {
	for len(c.span) == 0 {
		switch {
		case c.fault != nil:
			return c.fault
		case c.lost != nil:
			return c.lost
		case c.owed:
			c.owed = false
			c.yield(crlf)
		case c.ended:
			return io.EOF
		default:
			c.step()
		}
	}
	return nil
}

var crlf = []byte("\r\n")

// step takes the next span out of the buffer, or waits for more octets.
func (c *content) step() {
	switch {
	case c.chunks != nil:
		c.stepChunk()
	case c.fault == ErrBareLineEnd:
		c.skip()
	default:
		if used, what := c.take(c.line.Buffered()); what == foundEnd {
			c.end()
		} else if what == foundNothing && used == 0 {
			c.fill()
		}
	}
}

// take yields the span that b begins with, and says how many octets of b are done with.
func (c *content) take(b []byte) (used int, what found) {
	span, used, what := c.scan.next(b)
	c.advance(used)
	c.yield(span)
	if what == foundBare {
		c.bareLineEnd()
	}
	return used, what
}

func (c *content) advance(n int) {
	c.line.Advance(n)
	c.received += int64(n)
}

// yield hands span over, unless the message is refused or becomes too large by it.
func (c *content) yield(span []byte) {
	if len(span) == 0 {
		return
	}
	c.open = span[len(span)-1] != '\n'
	c.size += int64(len(span))
	if c.size > c.limits.MessageSize && c.fault == nil {
		c.fault = ErrTooLarge
	}
	if c.fault == nil {
		c.span = span
	}
}

// bareLineEnd refuses the message for a CR or LF on its own, or owes CR LF for it.
func (c *content) bareLineEnd() {
	if c.scan.loose {
		c.owed = true
	} else if c.fault == nil {
		c.fault = ErrBareLineEnd
	}
}

// end notes that the content is whole.
func (c *content) end() {
	c.ended = true
	if c.fault == nil {
		c.line.Transcript.Add(dialogue.Note, "(message: "+strconv.FormatInt(c.size, 10)+" octets)")
	} else {
		c.line.Transcript.Add(dialogue.Note, fmt.Sprintf("(message: refused after %d octets)", c.received))
	}
}

// skip looks for nothing but the end of content that is refused for its line ends: taking it apart would cost the more
// the worse it is.
func (c *content) skip() {
	used, end := c.scan.skip(c.line.Buffered())
	c.advance(used)
	switch {
	case end:
		c.end()
	case used == 0:
		c.fill()
	}
}

// fill waits for more octets, DataTimeout at most. What was replied before, as to a chunk, leaves first: the client may wait for it.
func (c *content) fill() {
	if err := c.line.Flush(); err != nil {
		c.lost = err
		return
	}
	err := c.line.Fill(c.deadline(c.limits.DataTimeout), c.line.WideSize())
	if err == io.EOF {
		err = io.ErrUnexpectedEOF // only the dot, or the last chunk, is an end
	}
	c.lost = err
}

// deadline is after wait, but not later than the message as a whole allows: ContentGrace and what a line of ContentRate
// needs for the octets that came.
func (c *content) deadline(wait time.Duration) time.Time {
	earned := time.Duration(c.received/c.limits.ContentRate) * time.Second
	whole := c.started.Add(c.limits.ContentGrace + earned)
	if next := time.Now().Add(wait); next.Before(whole) {
		return next
	}
	return whole
}

// drain skips to the end of the message, so that the dialogue stays in step; when it is refused already, to the end of the
// chunk. A peer that goes on far beyond the limit is not listened to any longer: endless is true then.
func (c *content) drain(refused bool) (endless bool) {
	bound := 2*c.limits.MessageSize + 1<<20
	for !c.ended && c.lost == nil && !(c.betweenChunks() && (refused || c.fault != nil)) {
		if c.received+c.announced() > bound {
			return true
		}
		c.span, c.owed = nil, false
		c.step()
	}
	c.span, c.owed = nil, false
	return false
}
