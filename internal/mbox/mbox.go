// Package mbox reads and writes mbox files (RFC 4155): messages one after the other, each behind a line that begins with
// "From ". Lines of a message that would look so have a ">" before them; it is read as mboxrd (any number of ">") and
// written so. Line ends are LF in the file. A Content-Length field is not believed: where a message ends the lines say.
//
// The fields Status and X-Status belong to the file, not to the message: mail readers keep in them what others call flags.
// They are left out of what is read, and written from the flags alone, so that no sender of a message can set its flags.
//
// Memory is bounded by some lines of 64 KiB, however long messages, headers and lines are.
package mbox

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"time"
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
	hasBlank  bool   // an empty line was read and not given out: it may be the one before a "From " line
	blank     []byte // that line
	joined    []byte // room for it with the line behind it
	rest      []byte // of the line that is given out
	header    bool   // the header is being read
	dropping  bool   // the field that is being read is a Status
	flags     string
	err       error // of the file
}

// NewReader returns a Reader of a file from its beginning.
func NewReader(r io.Reader) *Reader { return &Reader{in: bufio.NewReaderSize(r, maxLine)} }

// Message is where a message stands.
type Message struct {
	Offset int64     // of its "From " line, in octets
	From   string    // that line without its end; of one beyond 64 KiB the beginning
	Date   time.Time // that it has; zero if it cannot be read
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
	r.done, r.lineStart, r.hasBlank, r.header, r.dropping, r.flags, r.rest = false, true, false, true, false, "", nil
	return Message{Offset: r.fromAt, From: strings.TrimRight(r.from, "\r\n"), Date: dateOf(r.from)}, nil
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

// Read gives the content of the message, with the line ends of the file and without its Status fields.
func (r *Reader) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if len(r.rest) > 0 {
			copied := copy(p[n:], r.rest)
			r.rest = r.rest[copied:]
			n += copied
			continue
		}
		if r.err == nil && !r.done {
			r.err = r.more()
			continue
		}
		if n > 0 {
			return n, nil
		}
		if r.err != nil {
			return 0, r.err
		}
		return 0, io.EOF
	}
	return n, nil
}

// more reads on until there may be something to give out, or the message ends.
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
	if start && r.hasBlank && bytes.HasPrefix(line, fromWord) {
		r.done, r.from, r.fromAt = true, string(line), at
		return nil
	}
	if start && len(bytes.TrimRight(line, "\r\n")) == 0 {
		if r.hasBlank {
			r.joined = append(r.joined[:0], r.blank...)
			r.rest = r.joined
		}
		r.blank, r.hasBlank, r.header, r.dropping = append(r.blank[:0], line...), true, false, false
		return nil
	}
	if start {
		r.note(line)
		line = unquoted(line)
	}
	if !r.dropping {
		r.give(line)
	}
	return nil
}

// give makes a line, and the empty one before it, what Read gives out. The line is good until the next one is read.
func (r *Reader) give(line []byte) {
	if r.hasBlank {
		r.joined = append(append(r.joined[:0], r.blank...), line...)
		line, r.hasBlank = r.joined, false
	}
	r.rest = line
}

// unquoted drops one ">" of a line that was written with it.
func unquoted(line []byte) []byte {
	if rest := bytes.TrimLeft(line, ">"); len(rest) < len(line) && bytes.HasPrefix(rest, fromWord) {
		return line[1:]
	}
	return line
}

// maxFlags bounds the letters that are kept of a message: its header may have any number of Status fields.
const maxFlags = 64

// note looks whether a line of a header begins a Status field, or goes on with one, and keeps its letters.
func (r *Reader) note(line []byte) {
	if !r.header || line[0] == ' ' || line[0] == '\t' {
		return // a folded line belongs to the field before it
	}
	name, value, _ := bytes.Cut(line[:min(len(line), 100)], []byte(":"))
	r.dropping = len(name) < len(line) && isStatus(name)
	if r.dropping {
		value = bytes.TrimSpace(value)
		r.flags += string(value[:max(0, min(len(value), maxFlags-len(r.flags)))])
	}
}

// isStatus says whether a field of that name is the file's.
func isStatus(name []byte) bool {
	return bytes.EqualFold(name, []byte("Status")) || bytes.EqualFold(name, []byte("X-Status"))
}

// Flags returns the letters of the Status and X-Status fields of the message that was read to its end: R read, O old,
// A answered, F flagged, D deleted, T draft.
func (r *Reader) Flags() string { return r.flags }

// dateForms are the times of "From " lines: those of RFC 4155, with a zone behind it (mutt) or before the year (Gmail), and
// without seconds.
var dateForms = []string{
	"Mon Jan 2 15:04:05 2006 -0700", "Mon Jan 2 15:04:05 -0700 2006", "Mon Jan 2 15:04:05 MST 2006", "Mon Jan 2 15:04:05 2006", "Mon Jan 2 15:04 2006",
}

// dateOf reads the time of a "From " line; zero if it has none that can be read. Without a zone it is in UTC.
func dateOf(line string) time.Time {
	fields := strings.Fields(line[:min(len(line), 1000)])
	for i := 1; i < len(fields); i++ { // the sender may have spaces, or be missing
		for _, form := range dateForms {
			n := strings.Count(form, " ") + 1
			if i+n > len(fields) {
				continue
			}
			if t, err := time.Parse(form, strings.Join(fields[i:i+n], " ")); err == nil {
				return t
			}
		}
	}
	return time.Time{}
}
