// Package receiver takes mail in: it decides, for every SMTP session of a listener, what is accepted from
// whom, and takes custody of what it accepts. The wire is package smtp's; what happens after the 250 is
// package queue's. Every decision is recorded with the rule that made it.
package receiver

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"waybill/internal/dialogue"
	"waybill/internal/directory"
	"waybill/internal/dns"
	"waybill/internal/login"
	"waybill/internal/mail"
	"waybill/internal/message"
	"waybill/internal/smtp"
	"waybill/internal/spool"
	"waybill/internal/store"
	"waybill/internal/store/news"
	"waybill/internal/trail"
)

// Kind is what a listener is for.
type Kind string

const (
	MTA Kind = "MTA" // port 25: mail from other servers, and from trusted networks
	MSA Kind = "MSA" // ports 587 and 465: mail from our own users, who log in first (RFC 6409)
)

// Directory tells who is local, and how mail that is forwarded finds its way back.
type Directory interface {
	IsLocal(domain string) bool
	Resolve(ctx context.Context, addr mail.Address) (directory.Resolution, error)
	Rewrite(ctx context.Context, b *store.Batch, from mail.Address, domain string, now time.Time) (mail.Address, error)
	Unwrap(ctx context.Context, path mail.Address, now time.Time) (mail.Address, error)
}

// Owners tells whether an address belongs to an account.
type Owners interface {
	Owns(ctx context.Context, account, addr mail.Address) (bool, error)
}

// Names finds the confirmed reverse name of an address; "" means that there is none.
type Names interface {
	Confirm(ctx context.Context, addr netip.Addr) (name string, evidence []dns.Answer, err error)
}

// Queue delivers: a message with the batch that accepts it, where that can be, or else right after its commit.
type Queue interface {
	AtOnce(ctx context.Context, b *store.Batch, item *spool.Item) (events []trail.Event, all bool)
	Enqueue(item *spool.Item)
}

// Options is what a Receiver works with. All but Logger, and what names its default, is required.
type Options struct {
	Hostname  string
	IDs       *mail.IDs // of messages
	Store     store.Store
	Spool     *spool.Spool
	Trail     *trail.Trail
	Directory Directory
	Owners    Owners
	Logins    *login.Service
	Names     Names
	Queue     Queue

	Trusted       []netip.Prefix // networks that may relay without AUTH
	CleartextFrom []netip.Prefix // networks that may log in without TLS
	Expire        time.Duration  // age at which a message is given up
	MinFree       uint64         // octets
	DiskFree      func() (uint64, error)

	// MailboxSize is how many octets an account may have whose quota says nothing else; 0: any. Usage is how many it has.
	MailboxSize int64
	Usage       func(ctx context.Context, account string) (octets int64, err error)

	HeaderSize     int     // octets of a message's header; default 256 KiB
	MaxReceived    int     // Received fields from which on a message is in a loop; default message.MaxReceived
	RatePerAddress float64 // messages a second from one stranger's address; 0: any
	RatePerAccount float64 // messages a second from one account; 0: any
	Shared         bool    // other nodes use the store too: rates are for all of them together, while Share runs

	Logger *slog.Logger
}

// defaultHeaderSize is far above what is sent in earnest, and little beside a session.
const defaultHeaderSize = 256 << 10

// Receiver makes the sessions of a node's SMTP listeners. It is safe for concurrent use.
type Receiver struct {
	Options
	space     *space
	gateways  *gateways
	addresses *rates[netip.Prefix]
	accounts  *rates[string]
	others    *news.Exchange // nil: there are none, or no rates
}

// New returns a Receiver.
func New(o Options) *Receiver {
	if o.HeaderSize == 0 {
		o.HeaderSize = defaultHeaderSize
	}
	if o.MaxReceived == 0 {
		o.MaxReceived = message.MaxReceived
	}
	r := &Receiver{
		Options: o, space: &space{minFree: o.MinFree, diskFree: o.DiskFree}, gateways: newGateways(),
		addresses: newRates[netip.Prefix](o.RatePerAddress), accounts: newRates[string](o.RatePerAccount),
	}
	r.share()
	return r
}

// Sessions returns the function that an smtp.Server of that kind of listener makes its sessions with.
func (r *Receiver) Sessions(kind Kind) func(context.Context, *smtp.Conn) (smtp.Session, error) {
	return func(ctx context.Context, conn *smtp.Conn) (smtp.Session, error) {
		return &session{r: r, kind: kind, conn: conn, peer: dialogue.PeerAddr(conn.RemoteAddr()), started: time.Now()}, nil
	}
}
