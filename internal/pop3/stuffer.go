package pop3

import (
	"bytes"
	"io"
)

// stuffer writes the lines of a multi-line reply: it doubles the dot that begins a line (RFC 1939 §3), in bulk,
// and hands on small pieces only, so that what buffers them stays small.
//
// A dot after a bare LF is doubled too. Such lines are not legal, but clients that take LF for a line end would
// otherwise let a message end where its sender wants and read its remainder as our replies.
type stuffer struct {
	w      io.Writer
	octets int64 // written to it so far, before stuffing
	last   [2]byte
}

// piece is the longest write that a stuffer makes.
const piece = 8 << 10

func (s *stuffer) lineBegins() bool { return s.octets == 0 || s.last[1] == '\n' }

// Write writes content.
func (s *stuffer) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		part := p[written:min(written+piece, len(p))]
		if part[0] == '.' && s.lineBegins() {
			if _, err := s.w.Write([]byte{'.'}); err != nil {
				return written, err
			}
		}
		if i := lineWithDot(part); i > 0 {
			part = part[:i]
		}
		n, err := s.w.Write(part)
		written += n
		if err != nil {
			return written, err
		}
		s.note(part)
	}
	return written, nil
}

// end writes the line end that the last line lacks, if it does, and the line that ends the reply.
func (s *stuffer) end() error {
	if s.octets > 0 && s.last != [2]byte{'\r', '\n'} {
		if _, err := s.Write([]byte("\r\n")); err != nil {
			return err
		}
	}
	_, err := s.w.Write([]byte(".\r\n"))
	return err
}

func (s *stuffer) note(part []byte) {
	s.octets += int64(len(part))
	if len(part) > 1 {
		s.last[0] = part[len(part)-2]
	} else {
		s.last[0] = s.last[1]
	}
	s.last[1] = part[len(part)-1]
}

// lineWithDot returns the index of the first line in p, other than the one that p begins with, that begins with
// a dot; or -1.
func lineWithDot(p []byte) int {
	if i := bytes.Index(p, []byte("\n.")); i >= 0 {
		return i + 1
	}
	return -1
}
