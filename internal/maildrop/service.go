// Package maildrop lets people read their mail by POP3: it says who may log in, serves the INBOX of the account as
// it was at the login, deletes what the client marked, all at once, and tells the waybill of each message that it
// was read. The wire and the order of commands are package pop3's.
//
// A maildrop is open in one session at a time (RFC 1939 §4). Only what is durable is shown: a client that deletes
// its own copy, or the one on another server, may rely on it.
package maildrop

import (
	"context"
	"log/slog"
	"net"
	"net/netip"

	"waybill/internal/dialogue"
	"waybill/internal/login"
	"waybill/internal/mail"
	"waybill/internal/mailbox"
	"waybill/internal/pop3"
	"waybill/internal/store"
	"waybill/internal/trail"
)

// Mailboxes holds the messages.
type Mailboxes interface {
	LockMaildrop(ctx context.Context, account string) (*mailbox.Lock, error)
	List(ctx context.Context, account, name string) (mailbox.Listing, error)
	Open(ctx context.Context, e mailbox.Entry) (*mailbox.Reader, error)
	Expunge(b *store.Batch, account, name string, entries []mailbox.Entry)
}

// Trail is where the reading of each message is told.
type Trail interface {
	Append(b *store.Batch, id mail.ID, events []trail.Event)
	Publish(events []trail.Event)
	Record(e trail.Event)
}

// Store makes deletions, and what is listed, durable.
type Store interface {
	Commit(ctx context.Context, b *store.Batch) (store.Result, error)
	Barrier(ctx context.Context) error
}

// Options is what a Service works with. All but Logger is required.
type Options struct {
	Logins        *login.Service
	Mailboxes     Mailboxes
	Trail         Trail
	Store         Store
	Hostname      string
	CleartextFrom []netip.Prefix // networks that may log in without TLS
	Logger        *slog.Logger   // nil: nothing is logged
}

// Service makes the sessions of a node's POP3 listeners. It is safe for concurrent use.
type Service struct {
	Options
	torn torn
}

// New returns a Service.
func New(o Options) *Service {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Service{Options: o}
}

// NewSession is for pop3.Server.
func (s *Service) NewSession(_ context.Context, conn *pop3.Conn) pop3.Session {
	return &session{service: s, conn: conn, story: story{service: s, conn: conn}}
}

// mayLogInClear says whether the configuration excepts the client's address from TLS.
func (s *Service) mayLogInClear(addr net.Addr) bool {
	_, ok := dialogue.Network(s.CleartextFrom, dialogue.PeerAddr(addr))
	return ok
}
