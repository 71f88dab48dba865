package pop3

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"waybill/internal/dialogue"
)

// session is one connection's way through the states.
type session struct {
	server *Server
	began  time.Time
	limits Limits
	conn   *Conn
	wire   *dialogue.Conn
	policy Session

	state  state
	name   string // given by USER
	drop   *opened
	unsaid []int // messages sent as a whole whose last octets are not flushed yet

	faults   int
	failures int // refused logins
}

// errShutdown ends the sessions of a server that closes.
var errShutdown = errors.New("the server was shut down")

// run serves the connection until it ends; nil after QUIT.
func (s *session) run(ctx context.Context) (err error) {
	s.policy = s.server.NewSession(ctx, s.conn)
	completed := false
	defer func() {
		if !completed {
			err = errors.New("internal error") // a panic is under way; it is reported further up
		}
		s.release()
		s.policy.Close(err)
	}()
	err = s.converse(ctx)
	completed = true
	return err
}

// converse is the loop of the protocol: line in, row of the table, reply out.
func (s *session) converse(ctx context.Context) error {
	next, err := s.answer(ok(s.server.Hostname + " POP3 server ready"))
	for err == nil && next == proceed {
		var line string
		line, err = s.readLine(s.limits.SecretLine)
		var r reply
		if err == nil {
			r = s.handle(ctx, line)
		} else if r, err = s.lineProblem(err); err != nil {
			break
		}
		if next, err = s.answer(s.count(r)); err == nil && next == upgrade {
			next, err = proceed, s.upgrade(ctx)
		}
	}
	if err == nil {
		err = s.flush()
	}
	return err
}

// readLine returns the next line. The replies so far leave before it waits: one write for a pipelined group.
func (s *session) readLine(limit int) (string, error) {
	if !s.wire.LineBuffered() {
		if err := s.flush(); err != nil {
			return "", err
		}
		s.wire.Narrow() // the client may take its time
	}
	deadline := time.Now().Add(s.limits.Idle)
	if login := s.began.Add(s.limits.Login); s.drop == nil && login.Before(deadline) {
		deadline = login // without one a session could hold its place for ever, a command now and then
	}
	line, err := s.wire.ReadLine(limit, deadline)
	return string(line), err
}

// flush sends what is buffered; then the messages in it count as retrieved.
func (s *session) flush() error {
	if err := s.wire.Flush(); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	for _, n := range s.unsaid {
		if !s.drop.told[n-1] {
			s.drop.told[n-1] = true
			s.drop.Retrieved(n)
		}
	}
	s.unsaid = s.unsaid[:0]
	return nil
}

// lineProblem returns the answer to a line that breaks the rules, or the reason to end the session.
func (s *session) lineProblem(err error) (reply, error) {
	switch {
	case errors.Is(err, dialogue.ErrLineTooLong):
		s.conn.Transcript().Add(dialogue.Note, "(a line that is too long)")
		return lineTooLong, nil
	case errors.Is(err, dialogue.ErrBareLF), errors.Is(err, dialogue.ErrBareCR), errors.Is(err, dialogue.ErrNUL):
		s.conn.Transcript().Add(dialogue.Note, "(a line that is malformed: "+err.Error()+")")
		return brokenLine, nil
	case s.conn.transport.stopped():
		s.answer(shuttingDown)
		s.flush()
		return reply{}, errShutdown
	case dialogue.IsTimeout(err): // closed without a word and without UPDATE (RFC 1939 §3)
		return reply{}, fmt.Errorf("no command for %v: %w", s.limits.Idle, err)
	}
	return reply{}, fmt.Errorf("connection lost: %w", err)
}

// handle finds the row of the command and lets it act if it is legal here.
func (s *session) handle(ctx context.Context, line string) reply {
	verb, rest, given := parseCommand(line)
	c, known := commands[verb]
	s.heard(c, verb, rest)
	switch {
	case !known:
		return unknownCommand
	case !c.secret && len(line)+len("\r\n") > s.limits.CommandLine:
		return lineTooLong
	case c.login && s.state != transaction && !s.policy.CleartextLogin():
		return notInCleartext
	case c.in&s.state == 0:
		return s.outOfOrder(c)
	}
	args, fits := c.arguments(rest, given)
	if !fits {
		return wrongArguments(c)
	}
	return c.do(s, ctx, args)
}

func (s *session) outOfOrder(c command) reply {
	switch {
	case s.state == transaction:
		return alreadyIn
	case c.in == userGiven:
		return userFirst
	}
	return notLoggedIn
}

// heard puts the client's line into the transcript. A line that is no command may be a password that was sent
// in the wrong place: it is not shown.
func (s *session) heard(c command, verb, rest string) {
	text := verb
	switch {
	case c.do == nil:
		text = "(unknown command)"
	case verb == "AUTH":
		text = dialogue.RedactAuth(strings.Fields(rest))
	case c.secret:
		text += " " + dialogue.Redacted
	case rest != "":
		text += " " + rest
	}
	s.conn.Transcript().Add(dialogue.Client, text)
}

// count limits how often a client may be wrong.
func (s *session) count(r reply) reply {
	if r.fault {
		if s.faults++; s.faults >= s.limits.Errors {
			return tooManyErrors
		}
	}
	return r
}

// answer writes a reply.
func (s *session) answer(r reply) (action, error) {
	if r.end != nil {
		return hangUp, r.end
	}
	s.conn.Transcript().Add(dialogue.Server, r.String())
	s.wire.WriteString(r.line())
	if r.lines == nil {
		return r.then, nil
	}
	out := &stuffer{w: s.wire}
	if err := r.lines(out); err != nil {
		return hangUp, fmt.Errorf("multi-line reply: %w", err)
	}
	if err := out.end(); err != nil {
		return hangUp, fmt.Errorf("write: %w", err)
	}
	if r.message > 0 {
		s.sent(r, out.octets)
	}
	s.conn.Transcript().Add(dialogue.Server, ".")
	return r.then, nil
}

// upgrade goes on under TLS, as if the client had just connected (RFC 2595 §4).
func (s *session) upgrade(ctx context.Context) error {
	if err := s.flush(); err != nil {
		return err
	}
	if err := s.conn.startTLS(ctx, s.server.TLS, s.limits.Handshake); err != nil {
		return err
	}
	s.state, s.name = authorization, ""
	return nil
}

// release gives the maildrop back; what is marked as deleted stays.
func (s *session) release() {
	if s.drop != nil {
		s.drop.Release()
		s.drop = nil
	}
}
