package smtp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"waybill/internal/dialogue"
	"waybill/internal/mail"
)

// session is the protocol state of one connection. It outlives its transactions.
type session struct {
	server   *Server
	limits   *Limits
	commands map[string]command // commandTable; BDAT serves commands itself, so no handler may name it
	conn     *Conn
	line     *dialogue.Conn
	policy   Session

	state         state
	authenticated bool
	hush          bool // a line that is no command may hold a secret in the wrong place
	tx            transaction

	errors, refusals, junk int
	unknown                int   // recipients that policy refused for good
	deferrals              int   // commands answered with 4xx: a peer may offer more recipients than one message takes, not without end
	dotSeen                bool  // the reply on its way decides about a message
	hangUp                 bool  // the connection ends after the next reply
	upgrade                bool  // TLS begins after the next reply
	lineLimit              int   // longest line that is read as one
	lost                   error // the connection broke inside a command; there is nobody to reply to
}

// transaction is what the engine keeps of a mail transaction; policy keeps the rest.
type transaction struct {
	accepted int // recipients
	refused  int
	utf8     bool        // MAIL had SMTPUTF8
	denied   bool        // MAIL was refused: there is none, but the rest of it may be on its way
	failed   mail.Status // the message is refused, but chunks of it may be on their way; the transaction is over
}

// Why a session ended, for Session.Close.
var (
	errPeerClosed = errors.New("the peer closed the connection without QUIT")
	errTimeout    = errors.New("the peer was silent for too long")
	errPanic      = errors.New("panic")
)

// serveConn runs the session of a connection from greeting to end.
func (s *Server) serveConn(ctx context.Context, w *wire, limits *Limits) {
	conn := newConn(w, limits)
	defer func() {
		if r := recover(); r != nil {
			s.logger().Error("panic in an SMTP session", "session", conn.id, "peer", w.RemoteAddr().String(),
				"panic", r, slog.String("stack", stack()))
			conn.line.Write(appendReply(nil, unavailable))
			conn.line.Flush()
		}
	}()
	if s.ImplicitTLS {
		if err := conn.handshake(s.TLS, limits.HandshakeTimeout); err != nil {
			s.logger().Debug("TLS handshake", "session", conn.id, "peer", w.RemoteAddr().String(), "error", err)
			s.turnedAway(w, mail.Status{}, err)
			return
		}
	}
	ses := &session{server: s, limits: limits, commands: commandTable, conn: conn, line: conn.line, state: fresh, lineLimit: limits.CommandLine}
	policy, err := s.NewSession(ctx, conn)
	if err != nil {
		ses.refuseConnection(err)
		return
	}
	ses.policy = policy
	ended := errPanic
	defer func() { policy.Close(ended) }()
	ses.reply(mail.Status{Code: 220, Text: s.Hostname + " ESMTP"})
	ended = ses.run(ctx)
	if conn.tls != nil {
		conn.line.Conn.Close() // says so to the peer first (RFC 8446 §6.1)
	}
}

// refuseConnection answers a connection that gets no session (RFC 5321 §3.1).
func (s *session) refuseConnection(err error) {
	status := unavailable
	if e, ok := errors.AsType[*mail.Error](err); ok && (e.Status.Code == 421 || e.Status.Code == 554) {
		status = e.Status
	} else {
		s.server.logger().Error("cannot open an SMTP session", "session", s.conn.id, "error", err)
	}
	s.reply(status)
	s.line.Flush()
}

// run is the loop: line in, row of the table, reply out. Only it, and nextChunk within it, replies to commands.
// It returns nil after QUIT.
func (s *session) run(ctx context.Context) error {
	for {
		line, err := s.readLine(time.Now().Add(s.limits.CommandTimeout))
		status, row := s.answer(ctx, line, err)
		if s.lost != nil {
			return peerError(s.lost)
		}
		s.reply(status)
		if status.Code == 221 || status.Code == 421 || s.hangUp {
			return s.end(status)
		}
		// RFC 2920 §3.2: replies to a pipelined group leave together, when the group ends or no further line is here.
		if row.last {
			if err := s.line.Flush(); err != nil {
				return err
			}
		}
		if s.upgrade {
			if err := s.beginTLS(); err != nil {
				return fmt.Errorf("TLS handshake: %w", err)
			}
		}
	}
}

// answer does what a line asks for, or looks at why there is none, and returns the reply. If the connection is gone, it says
// so in lost.
func (s *session) answer(ctx context.Context, line []byte, err error) (mail.Status, command) {
	if err != nil {
		status := s.lineStatus(err)
		if status.Code == 0 {
			s.lost = err
		}
		return status, command{}
	}
	status, row := s.dispatch(ctx, line)
	counted := s.count(status)
	if s.dotSeen && counted.Code != status.Code {
		s.reply(status) // a message's own fate must be told: 421 would have it sent again
	}
	s.dotSeen = false
	return counted, row
}

// readLine flushes if the peer waits for us, and returns the next command line.
func (s *session) readLine(deadline time.Time) ([]byte, error) {
	s.line.Narrow()
	if !s.line.LineBuffered() {
		if err := s.line.Flush(); err != nil {
			return nil, err
		}
	}
	if !s.conn.wire.setIdle(s.state&(fresh|ready) != 0) {
		return nil, errShutdown
	}
	line, err := s.line.ReadLine(s.lineLimit, deadline)
	if dialogue.IsTimeout(err) && s.conn.wire.stopped() {
		err = errShutdown
	}
	s.conn.wire.setIdle(false)
	return line, err
}

var errShutdown = errors.New("the server shut down")

// lineStatus is the reply to a line that could not be read; none if the connection is gone.
func (s *session) lineStatus(err error) mail.Status {
	s.hush = true // the line may have been an AUTH, and the next one its response
	switch {
	case errors.Is(err, errShutdown):
		return shuttingDown
	case dialogue.IsTimeout(err):
		return timedOut
	case errors.Is(err, dialogue.ErrLineTooLong):
		s.line.Transcript.Add(dialogue.Client, "(a line that is too long)")
		return s.count(lineTooLong)
	case errors.Is(err, dialogue.ErrBareLF):
		s.line.Transcript.Add(dialogue.Client, "(a line that ends in LF)")
		return s.count(bareLF)
	case errors.Is(err, dialogue.ErrBareCR):
		s.line.Transcript.Add(dialogue.Client, "(a line with CR in it)")
		return s.count(bareCR)
	case errors.Is(err, dialogue.ErrNUL):
		s.line.Transcript.Add(dialogue.Client, "(a line with NUL in it)")
		return s.count(nulInLine)
	}
	return mail.Status{}
}

func peerError(err error) error {
	if errors.Is(err, io.EOF) {
		return errPeerClosed
	}
	return err
}

// count keeps the books on what the peer does wrong and turns the last reply into 421.
func (s *session) count(status mail.Status) mail.Status {
	switch code := status.Code; {
	case code == 421:
	case code == badSequence.Code && s.tx.denied: // pipelined behind MAIL, no fault of the client (RFC 2920 §3.1)
		return s.deferred(status)
	case code >= 500 && code <= 504, code == 535, code == 555:
		if s.errors++; s.errors >= s.limits.Errors {
			return tooManyErrors
		}
	case code >= 500:
		if s.refusals++; s.refusals >= s.limits.Refusals {
			return tooManyRefusals
		}
	case code >= 400:
		return s.deferred(status)
	}
	return status
}

// deferred counts a reply that is nobody's fault.
func (s *session) deferred(status mail.Status) mail.Status {
	if s.deferrals++; s.deferrals >= s.limits.Recipients+s.limits.Refusals {
		return tooManyRefusals
	}
	return status
}

// reply buffers a reply and writes it down.
func (s *session) reply(status mail.Status) {
	if status.Code < 200 || status.Code > 599 {
		s.server.logger().Error("a session returned a status that is no SMTP reply", "session", s.conn.id, "status", status.String())
		status = mail.StatusOf(errors.New("no status"))
	}
	var room [256]byte
	b := appendReply(room[:0], status)
	s.line.Write(b)
	for len(b) > 0 {
		line, rest, _ := bytes.Cut(b, crlf)
		s.line.Transcript.AddBytes(dialogue.Server, line)
		b = rest
	}
}

// end sends the last reply and returns why the session ended.
func (s *session) end(status mail.Status) error {
	if err := s.line.Flush(); err != nil {
		return err
	}
	switch {
	case status.Code == 221:
		return nil
	case status == timedOut:
		return errTimeout
	case status == shuttingDown:
		return errShutdown
	}
	s.linger()
	return errors.New(status.String())
}

// note writes a command down, without secrets. An AUTH that is garbled, so that it is none to us, has a password
// in it all the same, and so may what its client sends next.
func (s *session) note(line []byte, verb string, known bool) {
	if known && verb != "AUTH" {
		s.line.Transcript.AddBytes(dialogue.Client, line)
		return
	}
	text := string(line)
	words := strings.Fields(text)
	switch {
	case len(words) > 0 && strings.EqualFold(words[0], "AUTH"):
		text, s.hush = dialogue.RedactAuth(words[1:]), true
	case s.hush || strings.Contains(strings.ToUpper(text), "AUTH"):
		text, s.hush = "(a line that is no command)", true
	}
	s.line.Transcript.Add(dialogue.Client, text)
}

// reset drops the transaction: one value.
func (s *session) reset() {
	s.tx = transaction{}
	if s.state != fresh {
		s.state = ready
	}
	s.policy.Reset()
}
