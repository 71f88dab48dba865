package receiver

import (
	"context"
	"errors"
	"strings"

	"waybill/internal/dialogue"
	"waybill/internal/directory"
	"waybill/internal/guard"
	"waybill/internal/mail"
	"waybill/internal/smtp"
	"waybill/internal/trail"
)

// AuthMechanisms returns what is offered now: on submission listeners, under TLS or from a network that
// the configuration excepts (RFC 4954 §4).
func (s *session) AuthMechanisms() []string {
	if s.kind != MSA || !s.loginAllowed() {
		return nil
	}
	return []string{"PLAIN", "LOGIN"}
}

func (s *session) loginAllowed() bool {
	_, cleartext := dialogue.Network(s.r.CleartextFrom, s.peer)
	return s.conn.TLS() != nil || cleartext
}

// Auth checks a login.
func (s *session) Auth(ctx context.Context, mechanism string, c smtp.Credentials) mail.Status {
	if s.kind != MSA {
		return mail.NewStatus(502, "5.5.1", "AUTH is for the submission ports")
	}
	if !s.loginAllowed() {
		return encryptionRequired
	}
	if c.Identity != "" && !strings.EqualFold(c.Identity, c.Username) {
		return authFailed // acting for another identity is not offered
	}
	if ban, banned := s.r.Logins.Banned(s.peer, c.Username); banned {
		return s.refuseBanned(ban, c.Username)
	}
	account, err := s.r.Directory.Authenticate(ctx, c.Username, c.Password)
	switch {
	case errors.Is(err, directory.ErrCredentials):
		return s.refuseLogin(ctx, mechanism, c.Username)
	case errors.Is(err, directory.ErrBusy):
		s.refuse(trail.Decision{Question: "is this login good?", Outcome: "not now", Rule: "AUTH " + mechanism, Reason: err.Error()}, authUnavailable, loginShown(c.Username))
		return authUnavailable
	case err != nil:
		s.r.Logger.Error("authentication could not be checked", "session", s.conn.ID(), "error", err)
		return authUnavailable
	}
	s.r.Logins.Succeeded(s.peer, c.Username)
	s.account = account.Address
	return authSucceeded
}

// refuseLogin tells of a failure, which is late, and of the ban that may begin with it.
func (s *session) refuseLogin(ctx context.Context, mechanism, username string) mail.Status {
	login, rule := loginShown(username), "AUTH "+mechanism
	if ban, banned := s.r.Logins.Failed(ctx, s.peer, username); banned {
		s.r.Logger.Warn("a client is banned for failed logins", "session", s.conn.ID(), "client", s.peer.String(), "login", login, "rule", ban.Rule)
		rule += "; " + ban.Rule
	}
	s.refuse(trail.Decision{Question: "is this login good?", Outcome: "refused", Rule: rule, Reason: "no such account and password"}, authFailed, login)
	return authFailed
}

// refuseBanned refuses without a look at the password: whoever guesses learns nothing from it.
func (s *session) refuseBanned(ban guard.Ban, username string) mail.Status {
	status := authBanned.WithText("Too many failed logins from your address, try again after %s", ban.After())
	s.refuse(trail.Decision{Question: "may this client log in?", Outcome: "refused", Rule: ban.Rule, Reason: "the password was not looked at"}, status, loginShown(username))
	return status
}

// maxLoginShown bounds what the trail keeps of a login that failed, in octets.
const maxLoginShown = 100

func loginShown(username string) string {
	return dialogue.Printable(username[:min(len(username), maxLoginShown)])
}
