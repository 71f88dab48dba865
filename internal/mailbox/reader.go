package mailbox

import (
	"context"
	"fmt"
	"io"

	"waybill/internal/store/bodies"
)

// Reader reads a message as its owner sees it: the fields that final delivery added, ours, and what was received. It
// implements io.ReadCloser and io.WriterTo. It is not safe for concurrent use.
type Reader struct {
	prefix []byte
	read   int // octets of the prefix
	body   *bodies.Reader
}

// Open returns a reader of a message. The message must stay in the mailbox while it is read.
func (m *Mailboxes) Open(ctx context.Context, e Entry) (*Reader, error) {
	body, err := m.bodies.Open(ctx, e.Body)
	if err != nil {
		return nil, fmt.Errorf("open message %d of %s: %w", e.UID, e.box.Account, err)
	}
	return &Reader{prefix: e.Prefix, body: body}, nil
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	if r.read < len(r.prefix) {
		n := copy(p, r.prefix[r.read:])
		r.read += n
		return n, nil
	}
	return r.body.Read(p)
}

// WriteTo implements io.WriterTo.
func (r *Reader) WriteTo(w io.Writer) (written int64, err error) {
	if r.read < len(r.prefix) {
		n, err := w.Write(r.prefix[r.read:])
		r.read += n
		if written = int64(n); err != nil {
			return written, err
		}
	}
	n, err := r.body.WriteTo(w)
	return written + n, err
}

// Last returns the last n octets of the message, fewer if it is shorter, and reads no other parts of it. Afterwards the
// reader goes on where it was.
func (r *Reader) Last(n int) ([]byte, error) {
	ofBody := min(int64(n), r.body.Size())
	ofPrefix := min(n-int(ofBody), len(r.prefix))
	end, err := r.body.Last(int(ofBody))
	if err != nil {
		return nil, fmt.Errorf("the end of the message: %w", err)
	}
	return append(r.prefix[len(r.prefix)-ofPrefix:len(r.prefix):len(r.prefix)], end...), nil
}

// Close implements io.Closer.
func (r *Reader) Close() error { return r.body.Close() }
