package mua

import (
	"bytes"
	"errors"
	"io"

	"waybill/internal/mail"
)

// Content is a message ready to be sent, with CR LF line ends. It is not held: Write gives it, anew for each server that is
// tried, and the same each time.
type Content struct {
	Header []byte // its fields, without the empty line
	Size   int64  // octets, all in all
	Body   mail.BodyType
	Write  func(io.Writer) error
}

// InMemory is the content of a message that is held whole.
func InMemory(text []byte) Content {
	c := Content{Size: int64(len(text)), Header: text}
	if end := bytes.Index(text, []byte("\r\n\r\n")); end >= 0 {
		c.Header = text[:end+2]
	}
	if !isASCII(text) {
		c.Body = mail.Body8BitMIME
	}
	c.Write = func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	}
	return c
}

func isASCII(text []byte) bool {
	return !bytes.ContainsFunc(text, func(r rune) bool { return r >= 0x80 })
}

// ErrChanged: a message has another size than when it was looked at, as a file that somebody writes to.
var ErrChanged = errors.New("the message changed while it was being sent")

// contentError is what kept a message from being read: no other server can help.
type contentError struct{ error }

func (e *contentError) Unwrap() error { return e.error }

// WriteTo implements io.WriterTo. Never does it write more than Size: to a server that was told a size (RFC 3030), what comes
// behind it would be commands. An error of the content, not of w, is a contentError.
func (c Content) WriteTo(w io.Writer) (int64, error) {
	out := &sized{w: w, left: c.Size}
	err := c.Write(out)
	switch {
	case out.err != nil: // the connection's
		err = out.err
	case err != nil:
		err = &contentError{err}
	case out.left > 0:
		err = &contentError{ErrChanged}
	}
	return c.Size - out.left, err
}

// sized passes on so many octets and no more.
type sized struct {
	w    io.Writer
	left int64
	err  error // of w
}

func (s *sized) Write(p []byte) (int, error) {
	if int64(len(p)) > s.left {
		return 0, ErrChanged
	}
	n, err := s.w.Write(p)
	s.left -= int64(n)
	s.err = err
	return n, err
}
