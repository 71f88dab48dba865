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
	lineStart bool // what comes next begins a line
	cr        bool // the last octet was a CR
	size      int64
}

// errWrite marks what is the connection's fault, not the content's.
var errWrite = errors.New("the connection broke while the content was sent")

// maxSpan bounds what is looked at and written in one step.
const maxSpan = 64 << 10

// Write implements io.Writer.
func (d *dotWriter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		span := rest[:min(len(rest), maxSpan)]
		if err := d.writeSpan(span); err != nil {
			return len(p) - len(rest), err
		}
		rest = rest[len(span):]
	}
	d.size += int64(len(p))
	return len(p), nil
}

func (d *dotWriter) writeSpan(b []byte) error {
	if !lineEndsMatch(b, d.cr) {
		return ErrBareLineEnd
	}
	if d.lineStart && b[0] == '.' {
		d.line.WriteString(".")
	}
	rest := b
	for {
		i := bytes.Index(rest, []byte("\n."))
		if i < 0 {
			break
		}
		d.line.Write(rest[:i+1])
		d.line.WriteString(".")
		rest = rest[i+1:]
	}
	if _, err := d.line.Write(rest); err != nil {
		return fmt.Errorf("%w: %w", errWrite, err)
	}
	last := b[len(b)-1]
	d.lineStart, d.cr = last == '\n', last == '\r'
	return d.pace.keep(len(b))
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
