package receiver

import (
	"context"
	"errors"

	"waybill/internal/dialogue"
	"waybill/internal/directory"
	"waybill/internal/login"
	"waybill/internal/mail"
	"waybill/internal/scram"
	"waybill/internal/smtp"
)

// AuthMechanisms returns what is offered now: on submission listeners, under TLS or from a network that
// the configuration excepts (RFC 4954 §4). The best comes first.
func (s *session) AuthMechanisms() []string {
	if s.kind != MSA || !s.loginAllowed() {
		return nil
	}
	return append(s.r.Logins.Mechanisms(scram.Binding(s.conn.TLS())), "PLAIN", "LOGIN")
}

func (s *session) loginAllowed() bool {
	_, cleartext := dialogue.Network(s.r.CleartextFrom, s.peer)
	return s.conn.TLS() != nil || cleartext
}

// Auth checks a login by PLAIN or LOGIN.
func (s *session) Auth(ctx context.Context, mechanism string, c smtp.Credentials) mail.Status {
	if s.kind != MSA {
		return mail.NewStatus(502, "5.5.1", "AUTH is for the submission ports")
	}
	if !s.loginAllowed() {
		return encryptionRequired
	}
	account, err := s.r.Logins.Password(ctx, s.client(), "AUTH "+mechanism, c.Identity, c.Username, c.Password)
	if err != nil {
		return s.refuseLogin(err)
	}
	return s.loggedIn(account)
}

// Exchange begins a login by SCRAM.
func (s *session) Exchange(mechanism string) smtp.Exchange {
	x, err := s.r.Logins.SCRAM(s.client(), mechanism, scram.Binding(s.conn.TLS()))
	return &exchange{session: s, scram: x, err: err}
}

// exchange is one login by SCRAM.
type exchange struct {
	session *session
	scram   *login.Exchange
	err     error // it could not begin
	proven  bool  // what is left is that the client has seen our proof
}

// Next implements smtp.Exchange. SMTP has no place for our proof but one more challenge, which the client answers with
// nothing (RFC 4954 §4).
func (x *exchange) Next(ctx context.Context, response []byte) (challenge []byte, status mail.Status) {
	switch {
	case x.err != nil:
		return nil, x.session.refuseLogin(x.err)
	case x.proven && len(response) > 0:
		return nil, authMalformed
	case x.proven:
		return nil, x.session.loggedIn(x.scram.Account())
	}
	challenge, x.proven, x.err = x.scram.Next(ctx, response)
	if x.err != nil {
		return nil, x.session.refuseLogin(x.err)
	}
	return challenge, mail.Status{}
}

func (s *session) client() login.Client { return login.Client{Session: s.conn.ID(), Addr: s.peer} }

func (s *session) loggedIn(account directory.Account) mail.Status {
	s.account = account.Address
	return authSucceeded
}

// refuseLogin tells why a login failed.
func (s *session) refuseLogin(err error) mail.Status {
	r, ok := errors.AsType[*login.Refusal](err)
	if !ok {
		s.r.Logger.Error("authentication could not be checked", "session", s.conn.ID(), "error", err)
		return authUnavailable
	}
	status := authFailed
	switch r.Cause {
	case login.ErrBusy:
		status = authUnavailable
	case login.ErrBanned:
		status = authBanned.WithText("Too many failed logins from your address, try again after %s", r.Ban.After())
	case login.ErrMalformed:
		status = authMalformed
	}
	s.refuse(r.Decision, status, r.Login)
	return status
}
