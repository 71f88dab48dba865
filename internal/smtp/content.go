package smtp

import (
	"bytes"
	"fmt"
	"io"
	"time"

	"waybill/internal/dialogue"
	"waybill/internal/mail"
)

// What a content reader returns of a message that is refused. They carry the reply.
var (
	ErrBareLineEnd error = &mail.Error{Status: bareLineEnd}
	ErrTooLarge    error = &mail.Error{Status: messageTooLarge}
)

// content reads the content of one message from the connection: an io.Reader and io.WriterTo that yields
// what was sent with the stuffed dots removed, straight from the input buffer, and io.EOF after CR LF . CR LF.
type content struct {
	line    *dialogue.Conn
	limits  Limits
	started time.Time
	scan    dotScanner

	span     []byte // yielded next, part of the input buffer
	received int64  // octets from the wire
	size     int64  // octets of content
	ended    bool   // CR LF . CR LF was seen
	fault    error  // the message is refused, but its end is still looked for
	lost     error  // the connection is of no use any more
}

func newContent(line *dialogue.Conn, l Limits) *content {
	line.Widen()
	return &content{line: line, limits: l, started: time.Now(), scan: dotScanner{lineStart: true}}
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
		case c.ended:
			return io.EOF
		}
		c.step()
	}
	return nil
}

// step takes the next span out of the buffer, or waits for more octets.
func (c *content) step() {
	if c.fault == ErrBareLineEnd {
		c.skip()
		return
	}
	span, used, found := c.scan.next(c.line.Buffered())
	c.line.Advance(used)
	c.received += int64(used)
	c.size += int64(len(span))
	if c.size > c.limits.MessageSize && c.fault == nil {
		c.fault = ErrTooLarge
	}
	switch found {
	case foundEnd:
		c.ended = true
		c.line.Transcript.Add(dialogue.Note, fmt.Sprintf("(message: %d octets)", c.size))
	case foundBare:
		if c.fault == nil {
			c.fault = ErrBareLineEnd
		}
	case foundNothing:
		if used == 0 {
			c.fill()
		}
	}
	if c.fault == nil {
		c.span = span
	}
}

// skip looks for nothing but the end of content that is refused for its line ends: taking it apart would cost the more
// the worse it is.
func (c *content) skip() {
	used, end := c.scan.skip(c.line.Buffered())
	c.line.Advance(used)
	c.received += int64(used)
	switch {
	case end:
		c.ended = true
		c.line.Transcript.Add(dialogue.Note, fmt.Sprintf("(message: refused after %d octets)", c.received))
	case used == 0:
		c.fill()
	}
}

// fill waits for more octets: each time for DataTimeout at most, and in all for ContentGrace and what a line
// of ContentRate needs for the octets that came.
func (c *content) fill() {
	now := time.Now()
	earned := time.Duration(c.received/c.limits.ContentRate) * time.Second
	deadline := c.started.Add(c.limits.ContentGrace + earned)
	if next := now.Add(c.limits.DataTimeout); next.Before(deadline) {
		deadline = next
	}
	err := c.line.Fill(deadline, c.line.WideSize())
	if err == io.EOF {
		err = io.ErrUnexpectedEOF // only the dot is an end
	}
	c.lost = err
}

// drain skips to the end of the message, so that the dialogue stays in step. A peer that goes on far beyond
// the limit is not listened to any longer: endless is true then.
func (c *content) drain() (endless bool) {
	bound := 2*c.limits.MessageSize + 1<<20
	for !c.ended && c.lost == nil {
		if c.received > bound {
			return true
		}
		c.step()
	}
	c.span = nil
	return false
}

// dotScanner finds the ends of lines and the end of the content in what is received piece by piece.
type dotScanner struct {
	lineStart bool // what comes next begins a line: the last octets were CR LF, or there were none yet
}

// found is what ended a span.
type found int

const (
	foundNothing found = iota // the buffer ended, but for octets whose meaning the next ones decide
	foundDot                  // a stuffed dot, which is not part of the content
	foundEnd                  // CR LF . CR LF
	foundBare                 // a CR or LF on its own
)

// next cuts from b the longest span that is content as it stands, and says how many octets of b are done
// with and what came after the span. It works a line at a time, by bytes.IndexByte.
func (d *dotScanner) next(b []byte) (span []byte, used int, what found) {
	for i := 0; i < len(b); {
		if d.lineStart && b[i] == '.' {
			return d.dot(b, i)
		}
		lf := bytes.IndexByte(b[i:], '\n')
		if lf < 0 {
			return d.tail(b, i)
		}
		cr := bytes.IndexByte(b[i:i+lf+1], '\r')
		if cr < 0 || cr != lf-1 {
			d.lineStart = false
			end := i + lf // a bare LF …
			if cr >= 0 {
				end = i + cr // … or the CR before it
			}
			return b[:end], end + 1, foundBare
		}
		i += lf + 1
		d.lineStart = true
	}
	return b, len(b), foundNothing
}

// endOfData is what ends the content (RFC 5321 §4.1.1.4); its first CR LF is that of the last line.
var endOfData = []byte("\r\n.\r\n")

// skip returns how many octets of b are done with when only the end of the content is looked for, and whether it came.
func (d *dotScanner) skip(b []byte) (used int, end bool) {
	if d.lineStart {
		switch dot := endOfData[2:]; {
		case bytes.HasPrefix(b, dot):
			return len(dot), true
		case bytes.HasPrefix(dot, b):
			return 0, false // more of it may come
		}
		d.lineStart = false
	}
	if i := bytes.Index(b, endOfData); i >= 0 {
		return i + len(endOfData), true
	}
	return max(0, len(b)-len(endOfData)+1), false
}

// dot decides about the dot at b[i] that begins a line (RFC 5321 §4.5.2).
func (d *dotScanner) dot(b []byte, i int) (span []byte, used int, what found) {
	rest := b[i+1:]
	if len(rest) == 0 || len(rest) == 1 && rest[0] == '\r' {
		return b[:i], i, foundNothing
	}
	if rest[0] == '\r' && rest[1] == '\n' {
		return b[:i], i + 3, foundEnd
	}
	d.lineStart = false
	return b[:i], i + 1, foundDot
}

// tail takes the beginning of a line whose end is not there yet, without a CR at the end of b.
func (d *dotScanner) tail(b []byte, i int) (span []byte, used int, what found) {
	cr := bytes.IndexByte(b[i:], '\r')
	switch {
	case cr < 0:
		d.lineStart = false
		return b, len(b), foundNothing
	case i+cr == len(b)-1:
		d.lineStart = d.lineStart && cr == 0
		return b[:i+cr], i + cr, foundNothing
	}
	d.lineStart = false
	return b[:i+cr], i + cr + 1, foundBare
}
