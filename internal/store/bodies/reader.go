package bodies

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Reader reads the prefix and the body one after the other, part by part. It implements io.ReadSeekCloser and
// io.WriterTo. It is not safe for concurrent use.
type Reader struct {
	s      *Bodies
	ctx    context.Context // of who opened it
	body   Body
	offset int64
	chunk  []byte // the part that is loaded, or nil
	from   int64  // where it begins
	closed bool
}

var errClosed = errors.New("the reader is closed")

// Size is the number of octets from the start to the end, the prefix included.
func (r *Reader) Size() int64 { return r.body.Total() }

// load makes the octets at offset the start of the result of rest; there are some unless the end is reached.
func (r *Reader) load() error {
	if r.closed {
		return errClosed
	}
	if r.chunk != nil && r.offset >= r.from && r.offset < r.from+int64(len(r.chunk)) {
		return nil
	}
	if r.offset >= r.body.Total() {
		return nil
	}
	n := r.body.at(r.offset)
	into := r.chunk
	r.chunk = nil // whatever becomes of it
	chunk, err := r.s.get(r.ctx, r.body, n, into)
	if err != nil {
		return err
	}
	r.chunk = chunk
	r.from, _ = r.body.bounds(n)
	return nil
}

func (r *Reader) rest() []byte {
	if r.offset >= r.body.Total() {
		return nil
	}
	return r.chunk[r.offset-r.from:]
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := r.load(); err != nil {
		return 0, err
	}
	n := copy(p, r.rest())
	if n == 0 {
		return 0, io.EOF
	}
	r.offset += int64(n)
	return n, nil
}

// WriteTo implements io.WriterTo: each part is one Write.
func (r *Reader) WriteTo(w io.Writer) (written int64, err error) {
	for {
		if err := r.load(); err != nil {
			return written, err
		}
		rest := r.rest()
		if len(rest) == 0 {
			return written, nil
		}
		n, err := w.Write(rest)
		r.offset += int64(n)
		written += int64(n)
		if err == nil && n < len(rest) {
			err = io.ErrShortWrite
		}
		if err != nil {
			return written, err
		}
	}
}

// Seek implements io.Seeker.
func (r *Reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += r.offset
	case io.SeekEnd:
		offset += r.body.Total()
	default:
		return 0, fmt.Errorf("seek: whence %d is unknown", whence)
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek: %d is before the start", offset)
	}
	r.offset = offset
	return offset, nil
}

// Last returns the last n octets, of which there must be as many, and reads no more than it must: of an object only these, which are then not held
// against its checksum. Afterwards the reader goes on where it was.
func (r *Reader) Last(n int) ([]byte, error) {
	last := make([]byte, n)
	if ok, err := r.s.getEnd(r.ctx, r.body, last); ok || err != nil {
		return last, err
	}
	at := r.offset
	defer func() { r.offset = at }()
	if _, err := r.Seek(-int64(n), io.SeekEnd); err != nil {
		return nil, err
	}
	_, err := io.ReadFull(r, last)
	return last, err
}

// Close implements io.Closer. It always succeeds.
func (r *Reader) Close() error {
	r.closed, r.chunk = true, nil
	return nil
}
