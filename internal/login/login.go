// Package login decides whether somebody is who it says, for SMTP and POP3 alike: first the guard against guessing is
// asked, then the password or the proof of it is looked at, and the outcome is counted. The wire is the protocols'.
package login

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"

	"waybill/internal/dialogue"
	"waybill/internal/directory"
	"waybill/internal/guard"
	"waybill/internal/scram"
	"waybill/internal/trail"
)

// Directory knows the accounts.
type Directory interface {
	Authenticate(ctx context.Context, login, password string) (directory.Account, error)
	SCRAM(ctx context.Context, login string) (account directory.Account, k scram.Keys, known bool, err error)
	OffersSCRAM() bool
}

// Service decides about logins. It is safe for concurrent use.
type Service struct {
	Directory Directory
	Guard     *guard.Guard
	Logger    *slog.Logger
}

// Client is who tries.
type Client struct {
	Session string // the connection's name in logs and waybills
	Addr    netip.Addr
}

// The causes of a Refusal.
var (
	ErrWrong     = errors.New("no such account and password")
	ErrBusy      = errors.New("too many passwords are being checked")
	ErrBanned    = errors.New("banned for failed logins")
	ErrIdentity  = errors.New("acting for another account is not offered")
	ErrMalformed = errors.New("the message is malformed, or bound to another connection")
)

// Refusal is why a client may not log in. Any other error is a fault of ours.
type Refusal struct {
	Cause    error     // one of those above
	Ban      guard.Ban // that stands, or has begun with this failure
	Login    string    // the name that was given, as it may be shown
	Decision trail.Decision
}

func (r *Refusal) Error() string { return "login: " + r.Cause.Error() }

func (r *Refusal) Unwrap() error { return r.Cause }

// maxShown bounds what is kept of the name of a login that failed, in octets.
const maxShown = 100

func refusal(cause error, login, outcome, rule string) *Refusal {
	return &Refusal{
		Cause: cause, Login: dialogue.Printable(login[:min(len(login), maxShown)]),
		Decision: trail.Decision{Question: "is this login good?", Outcome: outcome, Rule: rule, Reason: cause.Error()},
	}
}

// Password checks a login by name and password. mechanism is for the record; identity, usually "", is whom the client
// wants to act as. Errors: *Refusal, those of the store.
func (s *Service) Password(ctx context.Context, c Client, mechanism, identity, login, password string) (directory.Account, error) {
	if err := s.admit(c, mechanism, identity, login); err != nil {
		return directory.Account{}, err
	}
	account, err := s.Directory.Authenticate(ctx, login, password)
	switch {
	case errors.Is(err, directory.ErrCredentials):
		return directory.Account{}, s.failed(ctx, c, mechanism, login)
	case errors.Is(err, directory.ErrBusy):
		return directory.Account{}, refusal(ErrBusy, login, "not now", mechanism)
	case err != nil:
		return directory.Account{}, fmt.Errorf("login of %q: %w", login, err)
	}
	s.Guard.Succeeded(c.Addr, login)
	return account, nil
}

// admit refuses who is banned, without a look at the password: whoever guesses learns nothing from it.
func (s *Service) admit(c Client, mechanism, identity, login string) error {
	if identity != "" && !strings.EqualFold(identity, login) {
		return refusal(ErrIdentity, login, "refused", mechanism)
	}
	if ban, banned := s.Guard.Banned(c.Addr, login); banned {
		r := refusal(ErrBanned, login, "refused", ban.Rule)
		r.Decision.Question, r.Decision.Reason, r.Ban = "may this client log in?", "the password was not looked at", ban
		return r
	}
	return nil
}

// failed counts a failure; it returns late, with the ban that begins with it, if one does.
func (s *Service) failed(ctx context.Context, c Client, mechanism, login string) error {
	r := refusal(ErrWrong, login, "refused", mechanism)
	if ban, banned := s.Guard.Failed(ctx, c.Addr, login); banned {
		s.Logger.Warn("a client is banned for failed logins", "session", c.Session, "client", c.Addr.String(), "login", r.Login, "rule", ban.Rule)
		r.Decision.Rule += "; " + ban.Rule
		r.Ban = ban
	}
	return r
}
