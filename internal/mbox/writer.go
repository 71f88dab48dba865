package mbox

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"waybill/internal/lineend"
)

// Writer writes messages. Its errors are those of the file.
type Writer struct{ out *bufio.Writer }

// NewWriter returns a Writer that adds to a file.
func NewWriter(w io.Writer) *Writer { return &Writer{bufio.NewWriterSize(w, maxLine)} }

// Write writes a message of that sender with those flags (Reader.Flags); content has CR LF or LF. A message that begins
// with a folded line gets no flags: it would be read as the rest of their field.
func (w *Writer) Write(sender string, date time.Time, flags string, content io.Reader) error {
	if sender == "" || strings.ContainsFunc(sender, func(r rune) bool { return r <= ' ' }) {
		sender = "MAILER-DAEMON"
	}
	fmt.Fprintf(w.out, "From %s %s\n", sender, date.UTC().Format(time.ANSIC))
	content, folded, err := beginsFolded(content)
	if err != nil {
		return err
	}
	if !folded {
		w.status(flags)
	}
	q := &quoter{out: w.out, start: true}
	own := &ownFields{out: q, start: true}
	lines := lineend.ToFile(own)
	if _, err := io.Copy(lines, content); err != nil {
		return err
	}
	lines.Close()
	own.end()
	if !q.start || q.quotes > 0 || q.letters > 0 { // the last line has no end
		q.settle()
		w.out.WriteByte('\n')
	}
	return w.out.WriteByte('\n') // the buffer's error, if there was one before, is this one
}

// beginsFolded says whether the first octet is a space or a tab, and gives the content with it.
func beginsFolded(content io.Reader) (all io.Reader, folded bool, err error) {
	first := make([]byte, 1)
	n, err := io.ReadFull(content, first)
	if err == io.EOF {
		err = nil
	}
	return io.MultiReader(bytes.NewReader(first[:n]), content), n == 1 && (first[0] == ' ' || first[0] == '\t'), err
}

// status writes the fields that keep flags: R and O stand in Status, the others in X-Status.
func (w *Writer) status(flags string) {
	for _, field := range []struct{ name, letters string }{{"Status", "RO"}, {"X-Status", "AFDT"}} {
		value := strings.Map(func(r rune) rune {
			if strings.ContainsRune(flags, r) {
				return r
			}
			return -1
		}, field.letters)
		if value != "" {
			fmt.Fprintf(w.out, "%s: %s\n", field.name, value)
		}
	}
}

// Flush writes out what is buffered.
func (w *Writer) Flush() error { return w.out.Flush() }

// Buffered is how many octets of what was written are not in the file yet.
func (w *Writer) Buffered() int { return w.out.Buffered() }

// ownFields passes a message on without the Status fields in its header.
type ownFields struct {
	out   io.Writer
	start bool   // of a line: held is what was read of it so far
	held  []byte // at most a name of a field and its colon
	drop  bool   // the field that is being read
	body  bool   // the header is over
}

func (f *ownFields) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		var n int
		var err error
		switch {
		case f.body:
			n, err = f.out.Write(rest)
		case f.start:
			n, err = 1, f.begin(rest[0])
		default:
			n = bytes.IndexByte(rest, '\n') + 1
			if f.start = n > 0; !f.start {
				n = len(rest)
			}
			if !f.drop {
				_, err = f.out.Write(rest[:n])
			}
		}
		if err != nil {
			return 0, err
		}
		rest = rest[n:]
	}
	return len(p), nil
}

// begin takes an octet of the beginning of a line, and passes the beginning on, or does not, once it is clear what it is.
func (f *ownFields) begin(c byte) error {
	f.held = append(f.held, c)
	first := len(f.held) == 1
	switch {
	case first && c == '\n':
		f.body, f.drop = true, false
	case first && (c == ' ' || c == '\t'): // the field goes on
		f.start = false
	case c == ':' && isStatus(f.held[:len(f.held)-1]):
		f.start, f.drop = false, true
	case c != ':' && c != '\n' && len(f.held) <= len("X-Status"):
		return nil
	default:
		f.start, f.drop = c == '\n', false
	}
	return f.end()
}

// end passes on what is held.
func (f *ownFields) end() error {
	held := f.held
	f.held = f.held[:0]
	if f.drop || len(held) == 0 {
		return nil
	}
	_, err := f.out.Write(held)
	return err
}

// quoter writes a ">" before lines that would look like the beginning of a message: any number of ">" and "From ".
type quoter struct {
	out     *bufio.Writer
	start   bool  // of a line: what was read of it so far is
	quotes  int64 // so many ">",
	letters int   // and so many letters of "From "
}

func (q *quoter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		if q.start {
			q.begin(rest[0])
			rest = rest[1:]
			continue
		}
		end := bytes.IndexByte(rest, '\n') + 1
		if q.start = end > 0; !q.start {
			end = len(rest)
		}
		if _, err := q.out.Write(rest[:end]); err != nil {
			return 0, err
		}
		rest = rest[end:]
	}
	return len(p), nil
}

// begin takes an octet of the beginning of a line, and writes the beginning once it is clear what it is.
func (q *quoter) begin(c byte) {
	switch {
	case c == '>' && q.letters == 0:
		q.quotes++
		return
	case c == fromWord[q.letters]:
		if q.letters++; q.letters < len(fromWord) {
			return
		}
		q.quotes++
		q.settle()
		return
	}
	q.settle()
	q.start = c == '\n'
	q.out.WriteByte(c)
}

// settle writes what was read of the beginning of a line.
func (q *quoter) settle() {
	for ; q.quotes > 0; q.quotes-- {
		q.out.WriteByte('>')
	}
	q.out.Write(fromWord[:q.letters])
	q.start, q.letters = false, 0
}
