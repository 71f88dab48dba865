package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"waybill/internal/config"
	"waybill/internal/dialogue"
	"waybill/internal/mail"
	"waybill/internal/smtp"
	"waybill/internal/trail"
)

// secure goes on under TLS, if it is wanted and not there already.
func (s *session) secure(ctx context.Context, useTLS bool) (v verdict, tlsFailed bool) {
	_, offered := s.conn.client.Extension("STARTTLS")
	switch {
	case s.target.tls() == config.RouteTLSImplicit:
		return ours(ready), false
	case s.target.demandsTLS() && !offered:
		return ours(tlsRequired.WithText("%s does not offer STARTTLS, which its route demands", s.target)), false
	case !offered || !useTLS:
		return ours(ready), false
	}
	return s.startTLS(ctx)
}

// startTLS goes on under TLS. A route that demands TLS has the name and the issuer of the certificate checked. Otherwise
// neither is: against somebody who only listens any encryption helps, and whoever could present a false certificate
// could have removed the offer of STARTTLS as well (RFC 7435 §1.2).
func (s *session) startTLS(ctx context.Context) (v verdict, tlsFailed bool) {
	err := s.conn.client.StartTLS(ctx, s.tlsConfig())
	if refused(err) && !s.target.demandsTLS() {
		return ours(ready), false // the connection is as it was; mail in the clear is better than none
	}
	if refused(err) {
		return ours(tlsRequired.WithText("%s refuses STARTTLS, which its route demands: %s", s.target, s.words(mail.StatusOf(err), err).Text)), false
	}
	if errors.Is(err, smtp.ErrUnsolicited) { // somebody may be meddling: nothing leaves in the clear because of it
		return s.words(mail.StatusOf(err), err), false
	}
	if err != nil {
		return s.handshakeWords(err), ctx.Err() == nil
	}
	s.noteTLS()
	if err := s.conn.client.Hello(ctx); err != nil {
		return s.words(mail.StatusOf(err), err), brokenByTLS(err) && ctx.Err() == nil
	}
	return ours(ready), false
}

// brokenByTLS says whether a host that knew EHLO in the clear fails at it under TLS. A server may find out only then that it
// does not like our handshake (RFC 8446 §2). One that has no time for us says 4xx, and would in the clear.
func brokenByTLS(err error) bool {
	e, ok := errors.AsType[*mail.Error](err)
	return ok && (e.Err != nil && e.Status.Code != 421 || e.Status.Permanent())
}

// handshakeWords says why there is no TLS, and if a certificate was not good enough, why not.
func (s *session) handshakeWords(err error) verdict {
	if bad, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return ours(tlsRequired.WithText("the certificate of %s is not valid for it: %s", s.target, dialogue.Printable(bad.Err.Error())))
	}
	return s.words(mail.StatusOf(err), err)
}

// handshakeWait bounds the handshake of implicit TLS.
const handshakeWait = time.Minute

// implicitTLS makes the handshake before the first word.
func (s *session) implicitTLS(ctx context.Context, nc net.Conn) (net.Conn, verdict) {
	ctx, cancel := context.WithTimeout(ctx, handshakeWait)
	defer cancel()
	secured := tls.Client(nc, s.tlsConfig())
	if err := secured.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, s.handshakeWords(&mail.Error{Status: badConnection.WithText("the TLS handshake failed"), Err: err})
	}
	return secured, ours(ready)
}

func (s *session) tlsConfig() *tls.Config {
	c := &tls.Config{ServerName: s.serverName(), InsecureSkipVerify: true}
	if s.target.demandsTLS() {
		c.InsecureSkipVerify, c.RootCAs = false, s.target.route.Roots
	}
	return c
}

// serverName is sent in the handshake (SNI), which has no form for address literals; but certificates are checked for them.
func (s *session) serverName() string {
	if _, err := mail.ParseLiteral(s.target.host); err == nil {
		if s.target.demandsTLS() {
			return s.target.addr.Addr().String()
		}
		return ""
	}
	return s.target.host
}

// noteTLS keeps what the waybill tells of TLS.
func (s *session) noteTLS() {
	state := s.conn.client.TLS()
	if state == nil {
		return
	}
	s.conn.tls = trail.TLSFacts(state)
	s.conn.tls.Verified = s.target.demandsTLS()
	if len(state.PeerCertificates) > 0 {
		s.conn.tls.Subject = dialogue.Printable(state.PeerCertificates[0].Subject.String())
	}
}

// refused says whether err is a refusal in the peer's own words, after which the dialogue goes on.
func refused(err error) bool {
	e, ok := errors.AsType[*mail.Error](err)
	return ok && e.Err == nil && e.Status.Code != 421
}
