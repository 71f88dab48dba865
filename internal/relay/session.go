package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"waybill/internal/dialogue"
	"waybill/internal/mail"
	"waybill/internal/smtp"
	"waybill/internal/trail"
)

// session is one connection to one target, with the transactions on it. Where connections are to be reused one
// day, connect is the place: everything after it begins with a client that is ready for MAIL.
type session struct {
	*delivery
	target target
	id     string
	began  time.Time
	client *smtp.Client
	tls    *trail.TLS

	told bool // an event of the session exists:
	at   int  // the first one, which gets the dialogue
}

// try sends the message to one target: with TLS if it offers that, and in plain text on a fresh connection if the
// handshake then fails.
func (d *delivery) try(ctx context.Context, t target) {
	if d.trySession(ctx, t, true) {
		d.trySession(ctx, t, false)
	}
}

// trySession returns true if it ended because the TLS handshake failed.
func (d *delivery) trySession(ctx context.Context, t target, useTLS bool) (handshakeFailed bool) {
	d.sessions++
	s := &session{delivery: d, target: t, began: time.Now(),
		id: fmt.Sprintf("%s.%d.%d.%d", d.attempt.Item.ID, d.attempt.Number, d.attempt.Recipients[0], d.sessions)}
	v, handshakeFailed := s.connect(ctx, useTLS)
	if s.client != nil {
		defer s.client.Close()
	}
	switch {
	case handshakeFailed:
		s.attempted(v, "the TLS handshake failed; the host is tried again in plain text")
	case !v.Success():
		// A host that refuses to talk at all may be one of several: 5xx decides only if nothing else is left
		// (RFC 5321 §4.2.4.2 speaks of the host, not of the mail).
		d.because(v)
		s.attempted(v, "")
	default:
		s.transactions(ctx)
		s.client.Quit(ctx) // whether it says goodbye does not matter any more, and takes a second at most
	}
	s.addDialogue()
	return handshakeFailed
}

// connect dials, reads the greeting and says hello, under TLS if that is wanted and offered.
func (s *session) connect(ctx context.Context, useTLS bool) (v verdict, handshakeFailed bool) {
	wait := connectWait
	if s.target.last {
		wait = connectWaitLast
	}
	dialCtx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	nc, err := s.relay.Dial(dialCtx, "tcp", s.address())
	if err != nil {
		return ours(noAnswer.WithText("no connection to %s: %s", s.target, connectError(err, dialCtx))), false
	}
	s.client = smtp.NewClient(nc, smtp.ClientOptions{
		Hello: s.relay.Hostname, ServerName: s.target.host, Timeouts: smtp.Timeouts{Quit: quitWait},
	})
	if err := s.client.Greet(ctx); err != nil {
		return s.words(mail.StatusOf(err), err), false
	}
	if err := s.client.Hello(ctx); err != nil {
		return s.words(mail.StatusOf(err), err), false
	}
	if _, offered := s.client.Extension("STARTTLS"); !offered || !useTLS {
		return ours(ready), false
	}
	return s.startTLS(ctx)
}

var ready = mail.NewStatus(250, "2.0.0", "")

// startTLS goes on under TLS. Neither the name nor the issuer of the certificate is checked: against somebody who
// only listens any encryption helps, and whoever could present a false certificate could have removed the offer
// of STARTTLS as well (RFC 7435 §1.2).
func (s *session) startTLS(ctx context.Context) (v verdict, handshakeFailed bool) {
	err := s.client.StartTLS(ctx, &tls.Config{ServerName: serverName(s.target.host), InsecureSkipVerify: true})
	if refused(err) {
		return ours(ready), false // the connection is as it was; mail in the clear is better than none
	}
	if err != nil {
		return s.words(mail.StatusOf(err), err), ctx.Err() == nil
	}
	state := s.client.TLS()
	s.tls = trail.TLSFacts(state)
	if len(state.PeerCertificates) > 0 {
		s.tls.Subject = dialogue.Printable(state.PeerCertificates[0].Subject.String())
	}
	if err := s.client.Hello(ctx); err != nil {
		return s.words(mail.StatusOf(err), err), false
	}
	return ours(ready), false
}

// refused says whether err is a refusal in the peer's own words, after which the dialogue goes on.
func refused(err error) bool {
	e, ok := errors.AsType[*mail.Error](err)
	return ok && e.Err == nil && e.Status.Code != 421
}

// serverName is sent in the handshake (SNI), which has no form for address literals.
func serverName(host string) string {
	if _, err := mail.ParseLiteral(host); err == nil {
		return ""
	}
	return host
}

func (s *session) address() string {
	return net.JoinHostPort(s.target.addr.String(), strconv.Itoa(smtpPort))
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

// String names a target: "mail.example.test [192.0.2.1]".
func (t target) String() string {
	literal := mail.Literal(t.addr)
	if t.host == literal {
		return literal
	}
	return t.host + " " + literal
}

// connectError says what went wrong in words without the address, which the status has anyway.
func connectError(err error, ctx context.Context) string {
	if ctx.Err() != nil || dialogue.IsTimeout(err) {
		return "no connection in time"
	}
	if op, ok := err.(*net.OpError); ok && op.Err != nil {
		return op.Err.Error()
	}
	return err.Error()
}
