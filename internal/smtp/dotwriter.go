package smtp

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"waybill/internal/dialogue"
)

// dotWriter writes content to a connection with dots stuffed (RFC 5321 §4.5.2). It refuses a bare CR or LF
// with ErrBareLineEnd: a server that takes one for a line end could be made to see a second message.
type dotWriter struct {
	line      *dialogue.Conn
	pace      pace
	chunk     bool // for BDAT: dots stay as they are
	lineStart bool // what comes next begins a line
	cr        bool // the last octet was a CR
	size      int64
}

// errWrite marks what is the connection's fault, not the content's.
var errWrite = errors.New("the connection broke while the content was sent")

// maxSpan bounds what is buffered at once.
const maxSpan = 16 << 10

// Write implements io.Writer.
func (d *dotWriter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n, err := d.writeLine(rest)
		if err != nil {
			return len(p) - len(rest), err
		}
		rest = rest[n:]
	}
	d.size += int64(len(p))
	return len(p), nil
}

// writeLine writes up to the end of the line that b begins with or goes on with, or all of b.
func (d *dotWriter) writeLine(b []byte) (int, error) {
	b = b[:min(len(b), maxSpan)]
	lf := bytes.IndexByte(b, '\n')
	if lf >= 0 {
		b = b[:lf+1]
	}
	if !d.lineEndsMatch(b, lf) {
		return 0, ErrBareLineEnd
	}
	if d.lineStart && b[0] == '.' && !d.chunk {
		d.line.WriteString(".")
	}
	if _, err := d.line.Write(b); err != nil {
		return 0, fmt.Errorf("%w: %w", errWrite, err)
	}
	d.lineStart = lf >= 0
	d.cr = b[len(b)-1] == '\r'
	return len(b), d.pace.keep(len(b))
}

// lineEndsMatch checks that the LF at b[lf], if there is one, follows a CR, and that every CR is followed by LF.
func (d *dotWriter) lineEndsMatch(b []byte, lf int) bool {
	if d.cr {
		return lf == 0
	}
	cr := bytes.IndexByte(b, '\r')
	if lf >= 0 {
		return cr >= 0 && cr == lf-1
	}
	return cr < 0 || cr == len(b)-1
}

// pace is the least speed of content: it may not take longer than grace and what its octets take at that rate.
// Without it a server that reads a little now and then would hold us for hours, whatever the deadline of a write.
type pace struct {
	began time.Time
	grace time.Duration
	rate  int64 // octets a second
	sent  int64
	next  int64 // octets after which the clock is looked at
}

var errTooSlow = errors.New("less content was taken than the least rate")

// keep counts n further octets and returns errTooSlow if they have come too late.
func (p *pace) keep(n int) error {
	if p.sent += int64(n); p.sent < p.next {
		return nil
	}
	p.next = p.sent + maxSpan
	if time.Since(p.began) > p.grace+time.Duration(p.sent/p.rate)*time.Second {
		return errTooSlow
	}
	return nil
}

// finish ends the last line.
func (d *dotWriter) finish() error {
	if d.cr {
		return ErrBareLineEnd
	}
	if !d.lineStart {
		d.line.WriteString("\r\n")
	}
	return nil
}
