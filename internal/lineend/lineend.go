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

// convert makes buf what stands for p.
func (t *toWire) convert(p []byte) {
	t.buf = t.buf[:0]
	for _, c := range p {
		if c == '\n' && !t.cr {
			t.buf = append(t.buf, '\r')
		}
		t.cr = c == '\r'
		t.buf = append(t.buf, c)
	}
}

func (t *toWire) Write(p []byte) (int, error) {
	t.convert(p)
	if _, err := t.w.Write(t.buf); err != nil {
		return 0, err
	}
	return len(p), nil
}

// FromFile returns a reader of what r has, with each LF as CR LF, unless it is one already.
func FromFile(r io.Reader) io.Reader { return &fromFile{r: r} }

type fromFile struct {
	r    io.Reader
	wire toWire // its buf is what is to be given out
	rest []byte
	in   [32 << 10]byte
	err  error
}

func (f *fromFile) Read(p []byte) (int, error) {
	for len(f.rest) == 0 {
		if f.err != nil {
			return 0, f.err
		}
		var n int
		n, f.err = f.r.Read(f.in[:])
		f.wire.convert(f.in[:n])
		f.rest = f.wire.buf
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
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
