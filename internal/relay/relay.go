// Package relay hands messages to other mail servers: it finds the hosts that take mail for a next hop (RFC 5321
// §5.1), tries them in order, and tells for each recipient what came of it. One attempt at one next hop is one
// call; when to try again is the queue's business.
//
// TLS is opportunistic (RFC 3207, RFC 7435): used when offered, whatever the certificate says, and given up for
// plain text when the handshake fails, since mail that leaves in the clear is still mail that arrives.
package relay

import (
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"waybill/internal/dns"
	"waybill/internal/spool"
	"waybill/internal/store"
	"waybill/internal/trail"
)

// Resolver answers the two questions of mail routing. Errors: dns.ErrNotFound when the name or the records do not
// exist, anything else when that is not known at present.
type Resolver interface {
	MX(ctx context.Context, domain string) ([]dns.MX, []dns.Answer, error)
	Addrs(ctx context.Context, host string) ([]netip.Addr, []dns.Answer, error)
}

// Content is a message as it is sent, with CRLF line ends.
type Content interface {
	io.WriterTo
	io.Closer
}

// Options is what a Relay works with. All but IsSelf and Logger is required.
type Options struct {
	Hostname string // said in EHLO; never relayed to
	Resolver Resolver
	Dial     func(ctx context.Context, network, address string) (net.Conn, error) // address is always IP:25
	Content  func(ctx context.Context, item *spool.Item) (Content, error)         // opens a message, once for each transaction
	IsSelf   func(addr netip.Addr) bool                                           // mail to addr would come back to this server
	Logger   *slog.Logger
}

// Relay is the client side of mail transfer. It is safe for concurrent use.
type Relay struct {
	Options
	shuffle func(n int, swap func(i, j int))
}

// New returns a Relay.
func New(o Options) *Relay {
	if o.IsSelf == nil {
		o.IsSelf = func(netip.Addr) bool { return false }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Relay{Options: o, shuffle: rand.Shuffle}
}

const (
	role     = "MTA"
	smtpPort = 25

	maxHosts = 10 // MX hosts whose addresses are looked up in one attempt
	maxTries = 12 // addresses that are tried in one attempt

	connectWait     = 30 * time.Second // for one of several addresses
	connectWaitLast = 2 * time.Minute  // for the last one
)

// Deliver makes one attempt at the recipients of the next hop. Every recipient gets an outcome: 2xx when a host has
// taken custody, 5xx when that host, or the DNS, refused for good, 4xx otherwise. b is not used.
func (r *Relay) Deliver(ctx context.Context, a spool.Attempt, _ *store.Batch) ([]spool.Outcome, []trail.Event) {
	d := &delivery{
		relay: r, attempt: a,
		final: make([]verdict, len(a.Recipients)), last: make([]verdict, len(a.Recipients)),
	}
	d.run(ctx)
	return d.outcomes(), d.events
}

// run tries target after target until no recipient is open.
func (d *delivery) run(ctx context.Context) {
	route, ok := d.findRoute(ctx)
	if !ok {
		return
	}
	for i, group := range route.groups {
		targets, self := d.targets(ctx, group)
		if self {
			d.loopsBack(route)
			return
		}
		for j, t := range targets {
			t.last = i == len(route.groups)-1 && j == len(targets)-1
			if d.tries++; d.tries > maxTries || ctx.Err() != nil {
				return
			}
			d.try(ctx, t)
			if d.open() == 0 {
				return
			}
		}
	}
	if d.tries == 0 && d.why.Code == 0 {
		d.refuse(ours(noAddress.WithText("no host that takes mail for %s has an address", d.attempt.NextHop)))
	}
}
