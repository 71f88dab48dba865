package maildrop

import (
	"context"
	"errors"
	"fmt"
	"time"

	"waybill/internal/dialogue"
	"waybill/internal/directory"
	"waybill/internal/login"
	"waybill/internal/mailbox"
	"waybill/internal/pop3"
	"waybill/internal/scram"
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

// Mechanisms implements pop3.Session.
func (s *session) Mechanisms() []string {
	return s.service.Logins.Mechanisms(scram.Binding(s.conn.TLS()))
}

// Login implements pop3.Session: it checks the password, locks the maildrop and lists it.
func (s *session) Login(ctx context.Context, user, password string) (pop3.Maildrop, error) {
	began := time.Now()
	s.story.tried = true
	account, err := s.service.Logins.Password(ctx, s.client(), "POP3 password", "", user, password)
	if err != nil {
		return nil, s.refused(err)
	}
	return s.admitted(ctx, account, began)
}

// Exchange implements pop3.Session.
func (s *session) Exchange(mechanism string) pop3.Exchange {
	s.story.tried = true
	x, err := s.service.Logins.SCRAM(s.client(), mechanism, scram.Binding(s.conn.TLS()))
	return &exchange{session: s, scram: x, err: err, began: time.Now()}
}

func (s *session) client() login.Client {
	return login.Client{Session: s.conn.ID(), Addr: dialogue.PeerAddr(s.conn.RemoteAddr())}
}

// admitted opens the maildrop for who has logged in.
func (s *session) admitted(ctx context.Context, account directory.Account, began time.Time) (pop3.Maildrop, error) {
	drop, err := s.open(ctx, account)
	if err != nil {
		return nil, err
	}
	s.story.opened(account.Address, began, drop.infos)
	return drop, nil
}

// refused tells of a refusal, and puts it into POP3's words.
func (s *session) refused(err error) error {
	r, ok := errors.AsType[*login.Refusal](err)
	if !ok {
		return err
	}
	s.story.refused(r.Decision, r.Login)
	switch r.Cause {
	case login.ErrBanned:
		return &pop3.BannedError{After: r.Ban.After()}
	case login.ErrBusy:
		return pop3.ErrBusy
	case login.ErrMalformed:
		return pop3.ErrResponse
	}
	return pop3.ErrAuth
}

// open returns the account's maildrop, locked.
func (s *session) open(ctx context.Context, account directory.Account) (_ *drop, err error) {
	key := account.Key()
	lock, err := s.service.Mailboxes.LockMaildrop(ctx, key)
	if errors.Is(err, mailbox.ErrLocked) {
		return nil, pop3.ErrInUse
	}
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			lock.Unlock()
		}
	}()
	listing, err := s.service.Mailboxes.List(ctx, key, mailbox.Inbox)
	if err != nil {
		return nil, fmt.Errorf("open the maildrop of %s: %w", key, err)
	}
	if len(listing.Damaged) > 0 {
		s.service.Logger.Error("messages cannot be read and are not shown; waybill verify tells more", "account", key,
			"messages", len(listing.Damaged), "uids", listing.Damaged[:min(len(listing.Damaged), shownUIDs)])
	}
	if err := s.service.Store.Barrier(ctx); err != nil {
		return nil, fmt.Errorf("open the maildrop of %s: %w", key, err)
	}
	d := &drop{
		service: s.service, story: &s.story, account: key, lock: lock, entries: listing.Entries, started: map[int]time.Time{},
	}
	return d, d.describe(ctx, listing.UIDValidity)
}

// shownUIDs bounds what the log says of a damaged mailbox.
const shownUIDs = 20

// Close implements pop3.Session.
func (s *session) Close(err error) { s.story.closed(err) }
