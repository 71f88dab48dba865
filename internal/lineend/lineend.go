// Package lineend turns the line ends of files, LF, into those of messages on the wire, CR LF, and back, as the octets pass
// by. What is neither is left as it is.
package lineend

import "io"

// ToWire returns a writer that passes text on to w with each LF as CR LF, unless it is one already.
func ToWire(w io.Writer) io.Writer { return &toWire{w: w} }

type toWire struct {
	w   io.Writer
	cr  bool // the last octet was a CR
	buf []byte
}

func (t *toWire) Write(p []byte) (int, error) {
	t.buf = t.buf[:0]
	for _, c := range p {
		if c == '\n' && !t.cr {
			t.buf = append(t.buf, '\r')
		}
		t.cr = c == '\r'
		t.buf = append(t.buf, c)
	}
	if _, err := t.w.Write(t.buf); err != nil {
		return 0, err
	}
	return len(p), nil
}

// ToFile returns a writer that passes text on to w with each CR LF as LF. Close passes on a CR at the very end.
func ToFile(w io.Writer) io.WriteCloser { return &toFile{w: w} }

type toFile struct {
	w   io.Writer
	cr  bool // a CR is held back
	buf []byte
}

func (t *toFile) Write(p []byte) (int, error) {
	t.buf = t.buf[:0]
	for _, c := range p {
		if t.cr && c != '\n' {
			t.buf = append(t.buf, '\r')
		}
		if t.cr = c == '\r'; !t.cr {
			t.buf = append(t.buf, c)
		}
	}
	if _, err := t.w.Write(t.buf); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (t *toFile) Close() error {
	if !t.cr {
		return nil
	}
	t.cr = false
	_, err := t.w.Write([]byte{'\r'})
	return err
}
