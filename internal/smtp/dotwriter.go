package smtp

import (
	"bytes"
	"errors"
	"fmt"

	"waybill/internal/dialogue"
)

// dotWriter writes content to a connection with dots stuffed (RFC 5321 §4.5.2). It refuses a bare CR or LF
// with ErrBareLineEnd: a server that takes one for a line end could be made to see a second message.
type dotWriter struct {
	line      *dialogue.Conn
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
	if d.lineStart && b[0] == '.' {
		d.line.WriteString(".")
	}
	if _, err := d.line.Write(b); err != nil {
		return 0, fmt.Errorf("%w: %w", errWrite, err)
	}
	d.lineStart = lf >= 0
	d.cr = b[len(b)-1] == '\r'
	return len(b), nil
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
