// Package mbox reads and writes mbox files (RFC 4155): messages one after the other, each behind a line that begins with
// "From ". Lines of a message that would look so have a ">" before them; it is read as mboxrd (any number of ">") and
// written so. Line ends are LF in the file.
package mbox

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"waybill/internal/lineend"
)

// ErrFormat is returned for a file that does not begin with a "From " line.
var ErrFormat = errors.New("this is no mbox: it does not begin with a line \"From \"")

// maxLine is how much of a line is held at once; longer ones go on in pieces.
const maxLine = 64 << 10

// Reader reads a file, a message at a time. It holds a line, at most.
type Reader struct {
	in     *bufio.Reader
	offset int64 // of what is read next

	from      string // the "From " line of the message that is read, or comes next
	fromAt    int64
	begun     bool
	done      bool // the message that was read has ended
	end       bool // of the file
	lineStart bool
	blank     []byte // an empty line that was read and not given out: it may be the one before a "From " line
	rest      []byte // of the line that is given out
	header    bool   // the header is being read
	flags     string
}

// NewReader returns a Reader of a file from its beginning.
func NewReader(r io.Reader) *Reader { return &Reader{in: bufio.NewReaderSize(r, maxLine)} }

// Message is where a message stands.
type Message struct {
	Offset int64     // of its "From " line
	Date   time.Time // of that line; zero if it cannot be read
}

// Next goes to the next message, whose content Read gives then. io.EOF: there is none.
func (r *Reader) Next() (Message, error) {
	if !r.begun {
		if err := r.first(); err != nil {
			return Message{}, err
		}
	} else if _, err := io.Copy(io.Discard, r); err != nil {
		return Message{}, err
	}
	if r.end {
		return Message{}, io.EOF
	}
	r.done, r.lineStart, r.blank, r.header, r.flags, r.rest = false, true, nil, true, "", nil
	return Message{Offset: r.fromAt, Date: dateOf(r.from)}, nil
}

// first reads the line with which the file begins; empty ones before it are passed over.
func (r *Reader) first() error {
	for {
		at := r.offset
		line, _, err := r.line()
		if err == io.EOF && len(bytes.TrimSpace(line)) == 0 {
			r.begun, r.end, r.done = true, true, true
			return nil
		}
		if err != nil && err != io.EOF {
			return err
		}
		if len(bytes.TrimRight(line, "\r\n")) == 0 {
			continue
		}
		if !bytes.HasPrefix(line, fromWord) {
			return ErrFormat
		}
		r.begun, r.from, r.fromAt = true, string(line), at
		return nil
	}
}

var fromWord = []byte("From ")

// line reads a line with its end, or a piece of a long one: then whole is false.
func (r *Reader) line() (line []byte, whole bool, err error) {
	line, err = r.in.ReadSlice('\n')
	r.offset += int64(len(line))
	if err == bufio.ErrBufferFull {
		return line, false, nil
	}
	return line, true, err
}

// Read gives the content of the message, with the line ends of the file.
func (r *Reader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.done {
			return 0, io.EOF
		}
		if err := r.more(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// more reads on until there is something to give out, or the message ends.
func (r *Reader) more() error {
	at := r.offset
	line, whole, err := r.line()
	if err != nil && err != io.EOF {
		return err
	}
	if err == io.EOF && len(line) == 0 {
		r.done, r.end = true, true // the empty line before the end belongs to the file
		return nil
	}
	start := r.lineStart
	r.lineStart = whole
	if start && r.blank != nil && bytes.HasPrefix(line, fromWord) {
		r.done, r.from, r.fromAt = true, string(line), at
		return nil
	}
	out := r.blank
	r.blank = nil
	if start && len(bytes.TrimRight(line, "\r\n")) == 0 {
		r.blank, r.header = bytes.Clone(line), false
		r.rest = out
		return nil
	}
	if start {
		r.note(line)
		line = unquoted(line)
	}
	r.rest = append(out, line...)
	return nil
}

// unquoted drops one ">" of a line that was written with it.
func unquoted(line []byte) []byte {
	if rest := bytes.TrimLeft(line, ">"); len(rest) < len(line) && bytes.HasPrefix(rest, fromWord) {
		return line[1:]
	}
	return line
}

// note keeps what the Status fields of a header say, which mail readers leave in an mbox.
func (r *Reader) note(line []byte) {
	if !r.header {
		return
	}
	name, value, ok := strings.Cut(string(line[:min(len(line), 100)]), ":")
	if ok && (strings.EqualFold(name, "Status") || strings.EqualFold(name, "X-Status")) {
		r.flags += strings.TrimSpace(value)
	}
}

// Flags returns the letters of the Status and X-Status fields of the message that was read to its end: R read, O old,
// A answered, F flagged, D deleted, T draft.
func (r *Reader) Flags() string { return r.flags }

// dateOf reads the time of a "From " line; zero if it has none that can be read.
func dateOf(line string) time.Time {
	fields := strings.Fields(line)
	for i := 2; i+4 < len(fields); i++ {
		text := strings.Join(fields[i:i+5], " ")
		if t, err := time.Parse("Mon Jan 2 15:04:05 2006", text); err == nil {
			return t
		}
	}
	return time.Time{}
}

// Writer writes messages. Its errors are those of the file.
type Writer struct{ out *bufio.Writer }

// NewWriter returns a Writer that adds to a file.
func NewWriter(w io.Writer) *Writer { return &Writer{bufio.NewWriterSize(w, maxLine)} }

// Write writes a message of that sender; content has CR LF or LF.
func (w *Writer) Write(sender string, date time.Time, content io.Reader) error {
	if sender == "" || strings.ContainsFunc(sender, func(r rune) bool { return r <= ' ' }) {
		sender = "MAILER-DAEMON"
	}
	fmt.Fprintf(w.out, "From %s %s\n", sender, date.UTC().Format(time.ANSIC))
	q := &quoter{out: w.out, start: true}
	lines := lineend.ToFile(q)
	if _, err := io.Copy(lines, content); err != nil {
		return err
	}
	lines.Close()
	if !q.start || q.quotes > 0 || q.letters > 0 { // the last line has no end
		q.settle()
		w.out.WriteByte('\n')
	}
	return w.out.WriteByte('\n') // the buffer's error, if there was one before, is this one
}

// Flush writes out what is buffered.
func (w *Writer) Flush() error { return w.out.Flush() }

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
