package maildrop

import (
	"context"
	"errors"
	"fmt"
	"time"

	"waybill/internal/dialogue"
	"waybill/internal/directory"
	"waybill/internal/mailbox"
	"waybill/internal/pop3"
	"waybill/internal/trail"
)

// session is the policy of one POP3 connection.
type session struct {
	service *Service
	conn    *pop3.Conn
	story   story
}

// CleartextLogin implements pop3.Session.
func (s *session) CleartextLogin() bool {
	return s.conn.TLS() != nil || s.service.mayLogInClear(s.conn.RemoteAddr())
}

// Login implements pop3.Session: it checks the password, locks the maildrop and lists it.
func (s *session) Login(ctx context.Context, user, password string) (pop3.Maildrop, error) {
	began := time.Now()
	s.story.tried = true
	account, err := s.authenticate(ctx, user, password)
	if err != nil {
		return nil, err
	}
	drop, err := s.open(ctx, account)
	if err != nil {
		return nil, err
	}
	s.story.opened(account.Address, began, drop.infos)
	return drop, nil
}

// authenticate returns the account, if the client may log in and its password is right.
func (s *session) authenticate(ctx context.Context, user, password string) (directory.Account, error) {
	peer, login := dialogue.PeerAddr(s.conn.RemoteAddr()), dialogue.Printable(user)
	if ban, banned := s.service.Logins.Banned(peer, user); banned {
		s.story.decided(trail.Decision{Question: "may this client log in?", Outcome: "refused", Rule: ban.Rule, Reason: "the password was not looked at"}, login)
		return directory.Account{}, &pop3.BannedError{After: ban.After()}
	}
	account, err := s.service.Directory.Authenticate(ctx, user, password)
	switch {
	case errors.Is(err, directory.ErrCredentials):
		s.service.Logger.Info("POP3 login refused", "session", s.conn.ID(), "client", s.conn.RemoteAddr(), "login", login)
		if ban, banned := s.service.Logins.Failed(ctx, peer, user); banned {
			s.service.Logger.Warn("a client is banned for failed logins", "session", s.conn.ID(), "client", peer.String(), "login", login, "rule", ban.Rule)
			s.story.decided(trail.Decision{Question: "may this client go on?", Outcome: "banned", Rule: ban.Rule}, login)
		}
		return directory.Account{}, pop3.ErrAuth
	case errors.Is(err, directory.ErrBusy):
		return directory.Account{}, pop3.ErrBusy
	case err != nil:
		return directory.Account{}, fmt.Errorf("authenticate %q: %w", user, err)
	}
	s.service.Logins.Succeeded(peer, user)
	return account, nil
}

// open returns the account's maildrop, locked.
func (s *session) open(ctx context.Context, account directory.Account) (_ *drop, err error) {
	key := account.Key()
	unlock, ok := s.service.Mailboxes.LockMaildrop(key)
	if !ok {
		return nil, pop3.ErrInUse
	}
	defer func() {
		if err != nil {
			unlock()
		}
	}()
	listing, err := s.service.Mailboxes.List(ctx, key, mailbox.Inbox)
	if err != nil {
		return nil, fmt.Errorf("open the maildrop of %s: %w", key, err)
	}
	if err := s.service.Store.Barrier(ctx); err != nil {
		return nil, fmt.Errorf("open the maildrop of %s: %w", key, err)
	}
	d := &drop{
		service: s.service, story: &s.story, account: key, unlock: unlock, entries: listing.Entries, started: map[int]time.Time{},
	}
	return d, d.describe(ctx, listing.UIDValidity)
}

// Close implements pop3.Session.
func (s *session) Close(err error) { s.story.closed(err) }
