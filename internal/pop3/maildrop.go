package pop3

import (
	"context"
	"fmt"
	"strconv"

	"waybill/internal/dialogue"
)

// opened is the maildrop of a session that has logged in, with its marks of deletion.
type opened struct {
	Maildrop
	messages []MessageInfo
	deleted  []bool
	told     []bool // that it was retrieved
}

func newOpened(m Maildrop) *opened {
	list := m.Messages()
	return &opened{Maildrop: m, messages: list, deleted: make([]bool, len(list)), told: make([]bool, len(list))}
}

// total returns the number of messages that are not marked, and the sum of their sizes in octets.
func (o *opened) total() (n int, size int64) {
	for i, m := range o.messages {
		if !o.deleted[i] {
			n++
			size += m.Size
		}
	}
	return n, size
}

// marked returns the numbers of the messages that QUIT deletes.
func (o *opened) marked() []int {
	var numbers []int
	for i, d := range o.deleted {
		if d {
			numbers = append(numbers, i+1)
		}
	}
	return numbers
}

// number reads the number of a message that is there and not marked; a refusal if it is not.
func (o *opened) number(arg string) (n int, refusal *reply) {
	n, valid := parseNumber(arg)
	switch {
	case !valid:
		return 0, &notANumber
	case n < 1 || n > len(o.messages):
		return 0, &messageUnknown
	case o.deleted[n-1]:
		return 0, &messageDeleted
	}
	return n, nil
}

func (s *session) stat(context.Context, []string) reply {
	n, size := s.drop.total()
	return ok(fmt.Sprintf("%d %d", n, size))
}

func (s *session) list(_ context.Context, args []string) reply {
	n, size := s.drop.total()
	return s.scan(args, messages(n)+" ("+octets(size)+")", func(b []byte, m MessageInfo) []byte {
		return strconv.AppendInt(b, m.Size, 10)
	})
}

func (s *session) uidl(_ context.Context, args []string) reply {
	n, _ := s.drop.total()
	return s.scan(args, messages(n), func(b []byte, m MessageInfo) []byte { return append(b, m.UIDL...) })
}

// scan answers LIST and UIDL: one message on the first line, or all that are not marked, each on a line.
func (s *session) scan(args []string, title string, fact func([]byte, MessageInfo) []byte) reply {
	line := func(b []byte, n int) []byte {
		b = strconv.AppendInt(b, int64(n), 10)
		return fact(append(b, ' '), s.drop.messages[n-1])
	}
	if len(args) == 1 {
		n, refusal := s.drop.number(args[0])
		if refusal != nil {
			return *refusal
		}
		return ok(string(line(nil, n)))
	}
	var present []int
	for i := range s.drop.messages {
		if !s.drop.deleted[i] {
			present = append(present, i+1)
		}
	}
	r := ok(title)
	r.lines = s.listing(len(present), func(b []byte, i int) []byte { return line(b, present[i]) })
	return r
}

// shownLines is how much of a listing the transcript shows.
const shownLines = 12

// listing writes n lines, of which format appends the i-th to b.
func (s *session) listing(n int, format func(b []byte, i int) []byte) func(*stuffer) error {
	return func(w *stuffer) error {
		var buf []byte
		for i := range n {
			buf = format(buf[:0], i)
			if i < shownLines {
				s.conn.Transcript().Add(dialogue.Server, string(buf))
			}
			if _, err := w.Write(append(buf, "\r\n"...)); err != nil {
				return err
			}
		}
		if n > shownLines {
			s.conn.Transcript().Add(dialogue.Note, fmt.Sprintf("(%d more lines)", n-shownLines))
		}
		return nil
	}
}

func (s *session) dele(_ context.Context, args []string) reply {
	n, refusal := s.drop.number(args[0])
	if refusal != nil {
		return *refusal
	}
	s.drop.deleted[n-1] = true
	return ok(fmt.Sprintf("message %d will be deleted at QUIT", n))
}

func (s *session) rset(context.Context, []string) reply {
	clear(s.drop.deleted)
	n, size := s.drop.total()
	return ok("maildrop has " + messages(n) + " (" + octets(size) + ")")
}

func (s *session) noop(context.Context, []string) reply { return ok("") }

// quit is the UPDATE state: the marked messages are deleted, all of them or none (RFC 1939 §6). What the client
// has asked for before must have left: messages that could not be sent are not deleted.
func (s *session) quit(ctx context.Context, _ []string) reply {
	goodbye := s.server.Hostname + " closing connection"
	if s.drop == nil {
		return ok(goodbye).last()
	}
	if err := s.flush(); err != nil {
		return reply{end: err}
	}
	deleted := s.drop.marked()
	err := s.drop.Quit(ctx, deleted)
	left := len(s.drop.messages) - len(deleted)
	s.release() // before the reply: a client that has read it may come back at once
	if err != nil {
		s.server.logger().Error("messages could not be deleted", "session", s.conn.ID(), "error", err)
		return updateFault
	}
	return ok(goodbye + ", " + messages(left) + " left").last()
}
