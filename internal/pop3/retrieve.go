package pop3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"waybill/internal/dialogue"
)

// retr sends a message.
func (s *session) retr(ctx context.Context, args []string) reply {
	n, content, refusal := s.open(ctx, args[0])
	if refusal != nil {
		return *refusal
	}
	r := ok(octets(s.drop.messages[n-1].Size))
	r.message, r.whole = n, func() bool { return true }
	r.lines = func(w *stuffer) error {
		_, err := content.WriteTo(w)
		return errors.Join(err, content.Close())
	}
	return r
}

// top sends the header of a message, the empty line, and the first lines of its body (RFC 1939 §7). Of a client that asks
// for so many that it gets all of them, the message has been retrieved.
func (s *session) top(ctx context.Context, args []string) reply {
	lines, valid := parseNumber(args[1])
	if !valid {
		return notANumber
	}
	n, content, refusal := s.open(ctx, args[0])
	if refusal != nil {
		return *refusal
	}
	r := ok(fmt.Sprintf("the header and %d lines of the body", lines))
	cut := false
	r.message, r.whole = n, func() bool { return !cut }
	r.lines = func(w *stuffer) error {
		_, err := content.WriteTo(&topWriter{w: w, left: lines})
		if cut = errors.Is(err, errTopDone); cut {
			err = nil
		}
		return errors.Join(err, content.Close())
	}
	return r
}

func (s *session) open(ctx context.Context, arg string) (int, Content, *reply) {
	n, refusal := s.drop.number(arg)
	if refusal != nil {
		return 0, nil, refusal
	}
	content, err := s.drop.Open(ctx, n)
	switch {
	case err == nil:
		return n, content, nil
	case errors.Is(err, ErrGone):
		return 0, nil, &messageGone
	}
	s.server.logger().Error("message cannot be read", "session", s.conn.ID(), "number", n, "error", err)
	return 0, nil, &messageFault
}

// sent notes that RETR or TOP has written that many octets. If they are the whole message, and another number than LIST
// tells, LIST tells the truth from now on.
func (s *session) sent(r reply, size int64) {
	s.conn.Transcript().Add(dialogue.Note, "(message: "+octets(size)+")")
	if !r.whole() {
		return
	}
	s.unsaid = append(s.unsaid, r.message)
	if m := &s.drop.messages[r.message-1]; m.Size != size {
		s.server.logger().Warn("a message's size is wrong", "session", s.conn.ID(), "uidl", m.UIDL, "listed", m.Size, "sent", size)
		m.Size = size
	}
}

// errTopDone ends the WriteTo of a content of which TOP needs no more.
var errTopDone = errors.New("enough lines")

// topWriter passes on a header, the empty line, and the first lines of the body.
type topWriter struct {
	w      io.Writer
	left   int  // lines of the body
	inBody bool // the empty line has passed
	filled bool // the header's current line is not empty
}

func (t *topWriter) done() bool { return t.inBody && t.left == 0 }

// Write passes on what belongs to it, and returns errTopDone when more has come than that.
func (t *topWriter) Write(p []byte) (int, error) {
	end := 0
	for end < len(p) && !t.done() {
		line := p[end:]
		i := bytes.IndexByte(line, '\n')
		if i >= 0 {
			line = line[:i+1]
		}
		end += len(line)
		t.pass(line, i >= 0)
	}
	if n, err := t.w.Write(p[:end]); err != nil {
		return n, err
	}
	if end < len(p) {
		return end, errTopDone
	}
	return end, nil
}

// pass looks at a line, or at a part of one that does not end yet.
func (t *topWriter) pass(line []byte, ends bool) {
	if t.inBody {
		if ends {
			t.left--
		}
		return
	}
	t.filled = t.filled || len(bytes.TrimRight(line, "\r\n")) > 0
	if ends {
		t.inBody = !t.filled
		t.filled = false
	}
}
