package message

import (
	"bytes"
	"errors"
	"io"
)

// ErrHeaderTooLarge says that the header section of a message is beyond the limit.
var ErrHeaderTooLarge = errors.New("the header section is too large")

// HeaderGate is a writer for a message that comes in pieces. It holds the header section back until it is whole, has it
// decided about, and hands on what is to stand in its place; the empty line and the body go on as they come, not copied.
type HeaderGate struct {
	Next  io.Writer
	Limit int // octets of the header section, the empty line not counted
	// Pass is called once, with the whole header section without the empty line. What it returns is written in its place;
	// it may be the same octets, moved together. An error of it is that of Write or Close.
	Pass func(header []byte) ([]byte, error)

	held []byte
	open bool // the header has passed
}

// emptyLine ends a header section (RFC 5322 §2.1).
const emptyLine = "\r\n"

// Write takes the next octets of the message, cut anywhere. The first error is for good.
func (g *HeaderGate) Write(p []byte) (taken int, err error) {
	for !g.open && taken < len(p) {
		n, err := g.hold(p[taken:min(len(p), taken+headPiece)])
		taken += n
		if err != nil {
			return taken, err
		}
	}
	if taken == len(p) {
		return taken, nil
	}
	n, err := g.Next.Write(p[taken:])
	return taken + n, err
}

// hold takes octets up to the end of the header, and lets the header pass when that has come.
func (g *HeaderGate) hold(p []byte) (taken int, err error) {
	known, most := len(g.held), g.Limit+len(emptyLine)
	g.held = append(g.held, p[:min(len(p), most-known)]...)
	end := headerEnd(g.held, known)
	if end < 0 {
		if known+len(p) >= most {
			return 0, ErrHeaderTooLarge
		}
		return len(p), nil
	}
	return end + len(emptyLine) - known, g.pass(g.held[:end], g.held[end:end+len(emptyLine)])
}

// Close says that the message is over. One without an empty line is all header.
func (g *HeaderGate) Close() error {
	if g.open {
		return nil
	}
	if len(g.held) > g.Limit {
		return ErrHeaderTooLarge
	}
	return g.pass(g.held, nil)
}

// pass has the header decided about and writes what is left of it, and the empty line.
func (g *HeaderGate) pass(header, end []byte) error {
	header, err := g.Pass(header)
	if err != nil {
		return err
	}
	for _, part := range [][]byte{header, end} {
		if len(part) == 0 {
			continue
		}
		if _, err := g.Next.Write(part); err != nil {
			return err
		}
	}
	g.open, g.held = true, nil
	return nil
}

// headerEnd returns where the empty line begins that ends the header section at the start of b; -1 if it is not there.
// The first known octets of b are known to hold no end.
func headerEnd(b []byte, known int) int {
	if bytes.HasPrefix(b, []byte(emptyLine)) {
		return 0
	}
	from := max(0, known-3) // the line end and the empty line may have begun there
	if i := bytes.Index(b[from:], []byte("\r\n"+emptyLine)); i >= 0 {
		return from + i + len("\r\n")
	}
	return -1
}
