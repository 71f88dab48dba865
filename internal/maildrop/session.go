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
	account, err := s.service.Directory.Authenticate(ctx, user, password)
	if errors.Is(err, directory.ErrCredentials) {
		s.service.Logger.Info("POP3 login refused", "session", s.conn.ID(), "client", s.conn.RemoteAddr(), "login", dialogue.Printable(user))
		return nil, pop3.ErrAuth
	}
	if err != nil {
		return nil, fmt.Errorf("authenticate %q: %w", user, err)
	}
	drop, err := s.open(ctx, account)
	if err != nil {
		return nil, err
	}
	s.story.opened(account.Address, began, drop.infos)
	return drop, nil
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
