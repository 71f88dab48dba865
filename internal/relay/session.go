package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"waybill/internal/config"
	"waybill/internal/dialogue"
	"waybill/internal/mail"
	"waybill/internal/smtp"
)

// session is what one connection, new or used before, is to one delivery: the transactions on it.
type session struct {
	*delivery
	target target
	id     string
	began  time.Time
	conn   *connection
	before int  // transactions on the connection before this delivery
	stale  bool // the host had closed the connection before our first word

	told bool // an event of the session exists:
	at   int  // the first one, which gets the dialogue
}

// try sends the message to one target: on a connection that waits there; or with TLS if it offers that, and in plain text
// on a fresh connection if that then fails and nobody demands TLS.
func (d *delivery) try(ctx context.Context, t target) {
	conn := d.relay.pool.begin(t.place)
	defer func() { d.relay.pool.end(t.place, conn) }()
	if conn != nil {
		s := d.session(t)
		s.conn, s.before = conn, conn.used
		if conn = s.deliver(ctx); !s.stale {
			return
		}
	}
	s := d.session(t)
	conn, tlsFailed := s.fresh(ctx, true)
	if tlsFailed && !t.demandsTLS() {
		s = d.session(t)
		conn, _ = s.fresh(ctx, false)
	}
}

func (d *delivery) session(t target) *session {
	d.sessions++
	return &session{delivery: d, target: t, began: time.Now(),
		id: fmt.Sprintf("%s.%d.%d.%d", d.attempt.Item.ID, d.attempt.Number, d.attempt.Recipients[0], d.sessions)}
}

// fresh connects and delivers. It returns the connection if it can be kept, and whether it failed under TLS.
func (s *session) fresh(ctx context.Context, useTLS bool) (keep *connection, tlsFailed bool) {
	v, tlsFailed := s.connect(ctx, useTLS)
	s.relay.memory.note(s.target.addr, v.Success() || v.host != "" || tlsFailed)
	switch {
	case tlsFailed && !s.target.demandsTLS():
		s.attempted(v, "TLS failed; the host is tried again in plain text")
	case !v.Success():
		// A host that refuses to talk at all may be one of several: 5xx decides only if nothing else is left
		// (RFC 5321 §4.2.4.2 speaks of the host, not of the mail).
		s.because(v)
		s.attempted(v, "")
	default:
		return s.deliver(ctx), false
	}
	s.addDialogue()
	if s.conn != nil {
		s.conn.client.Close()
	}
	return nil, tlsFailed
}

// deliver makes the transactions, and ends the connection or returns it because more mail is to be expected.
func (s *session) deliver(ctx context.Context) (keep *connection) {
	s.transactions(ctx)
	client := s.conn.client
	switch {
	case s.stale:
		client.Close()
		return nil
	case s.mayBeKept():
		s.addDialogue()
		client.Transcript().Cut()
		return s.conn
	}
	client.Quit(ctx) // whether it says goodbye does not matter any more, and takes a second at most
	client.Close()
	s.addDialogue()
	return nil
}

// mayBeKept says whether the connection is good for another message, and one is to be expected.
func (s *session) mayBeKept() bool {
	return s.conn.client.Err() == nil && s.conn.used < s.maxTransactions() && s.relay.pool.busy(s.target.place)
}

// maxTransactions is how many messages a connection may carry (RFC 9422 §3.1).
func (s *session) maxTransactions() int {
	if limit := s.conn.client.Limit("MAILMAX"); limit > 0 {
		return min(limit, maxPerHost)
	}
	return maxPerHost
}

// connect dials, reads the greeting and says hello, under TLS if that is wanted and offered, and logs in if there is a login.
func (s *session) connect(ctx context.Context, useTLS bool) (v verdict, tlsFailed bool) {
	nc, v := s.dial(ctx)
	if !v.Success() {
		return v, false
	}
	if s.target.tls() == config.RouteTLSImplicit {
		secured, v := s.implicitTLS(ctx, nc)
		if !v.Success() {
			return v, true
		}
		nc = secured
	}
	client := smtp.NewClient(nc, smtp.ClientOptions{Hello: s.relay.Hostname, ServerName: s.target.host, Timeouts: smtp.Timeouts{Quit: quitWait}})
	s.conn = &connection{client: client, began: s.began}
	s.noteTLS()
	if err := s.patiently(ctx, greetWait, greetWaitLast, client.Greet); err != nil {
		return s.words(mail.StatusOf(err), err), false
	}
	if err := client.Hello(ctx); err != nil {
		return s.words(mail.StatusOf(err), err), false
	}
	if v, tlsFailed := s.secure(ctx, useTLS); !v.Success() {
		return v, tlsFailed
	}
	return s.logIn(ctx), false
}

func (s *session) dial(ctx context.Context) (nc net.Conn, v verdict) {
	err := s.patiently(ctx, connectWait, connectWaitLast, func(ctx context.Context) (err error) {
		nc, err = s.relay.Dial(ctx, "tcp", s.target.addr.String())
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return err
	})
	if err != nil {
		return nil, ours(noAnswer.WithText("no connection to %s: %s", s.target, connectError(err)))
	}
	return nc, ours(ready)
}

var ready = mail.NewStatus(250, "2.0.0", "")

// logIn proves who we are, where the route has a login. That the host refuses it is our trouble, not the message's: so it
// is a temporary failure whatever the host says.
func (s *session) logIn(ctx context.Context) verdict {
	r := s.target.route
	if r == nil || r.User == "" {
		return ours(ready)
	}
	err := s.conn.client.Auth(ctx, r.User, r.Password)
	if err == nil {
		return ours(ready)
	}
	s.relay.Logger.Error("the login at the next hop failed", "host", s.target.String(), "user", r.User, "error", err)
	said := dialogue.Printable(strings.ReplaceAll(mail.StatusOf(err).String(), "\n", " / "))
	return ours(loginFailed.WithText("%s refuses our login: %s", s.target, said))
}

// words tells whose words a status is: the peer's, which are kept as they are within bounds, or ours about what
// happened to the connection; then it is the status of err.
func (s *session) words(status mail.Status, err error) verdict {
	if e, ok := errors.AsType[*mail.Error](err); ok && e.Err != nil && status == e.Status && status.Code != 421 {
		if errors.Is(err, context.DeadlineExceeded) {
			status = badConnection.WithText("the attempt was ended after %s", s.limit)
		}
		return ours(status.WithText("%s: %s", s.target, status.Text))
	}
	status.Text = dialogue.Printable(strings.ReplaceAll(status.Text, "\n", " / "))
	return verdict{Status: status, host: s.target.host}
}

// String names a target: "mail.example.test [192.0.2.1]", with the port if it is another one than that of SMTP.
func (t target) String() string {
	text := mail.Literal(t.addr.Addr())
	if t.addr.Port() != smtpPort {
		text += fmt.Sprintf(":%d", t.addr.Port())
	}
	if t.host == mail.Literal(t.addr.Addr()) {
		return text
	}
	return t.host + " " + text
}

// tls is what the route says about TLS.
func (t target) tls() string {
	if t.route == nil {
		return config.RouteTLSOpportunistic
	}
	return t.route.TLS
}

func (t target) demandsTLS() bool { return t.tls() != config.RouteTLSOpportunistic }

// connectError says what went wrong in words without the address, which the status has anyway.
func connectError(err error) string {
	if dialogue.IsTimeout(err) || errors.Is(err, context.Canceled) {
		return "no connection in time"
	}
	if op, ok := err.(*net.OpError); ok && op.Err != nil {
		return op.Err.Error()
	}
	return err.Error()
}
