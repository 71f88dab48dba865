package smtp

import (
	"fmt"

	"waybill/internal/dialogue"
)

// chunkWriter writes content of a known size to a connection as one chunk (RFC 3030 §2). It writes no octet more: the server
// would take it for a command. Nor does it write the last octets of what may not be sent, or to a server that has spoken
// already, so that the chunk never is whole then. Like dotWriter it refuses a bare CR or LF.
type chunkWriter struct {
	line *dialogue.Conn
	pace pace
	size int64 // of the content, in octets
	left int64 // octets that are still to come
	cr   bool  // the last octet was a CR

	grouped bool // the replies to the commands before the chunk may come meanwhile
}

// wrongSize says that content has another size than the one announced.
func wrongSize(announced, written int64) error {
	if written > announced {
		return fmt.Errorf("the content has more octets than the %d that were announced", announced)
	}
	return fmt.Errorf("the content has %d octets, not the %d that were announced", written, announced)
}

// Write implements io.Writer.
func (w *chunkWriter) Write(p []byte) (int, error) {
	if int64(len(p)) > w.left {
		return 0, wrongSize(w.size, w.size-w.left+int64(len(p)))
	}
	for rest := p; len(rest) > 0; {
		block := rest[:min(len(rest), maxSpan)]
		if err := w.writeBlock(block); err != nil {
			return len(p) - len(rest), err
		}
		rest = rest[len(block):]
	}
	return len(p), nil
}

func (w *chunkWriter) writeBlock(b []byte) error {
	cr := b[len(b)-1] == '\r'
	last := int64(len(b)) == w.left
	if !lineEndsMatch(b, w.cr) || last && cr {
		return ErrBareLineEnd
	}
	if last && !w.grouped && w.line.Ahead() {
		return ErrUnsolicited
	}
	if _, err := w.line.Write(b); err != nil {
		return fmt.Errorf("%w: %w", errWrite, err)
	}
	w.left, w.cr = w.left-int64(len(b)), cr
	if last { // it is out: whether it was taken, the reply says
		return nil
	}
	return w.pace.keep(len(b))
}

// finish checks that the chunk is whole.
func (w *chunkWriter) finish() error {
	if w.left > 0 {
		return wrongSize(w.size, w.size-w.left)
	}
	return nil
}
