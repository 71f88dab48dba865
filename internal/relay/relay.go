// Package relay hands messages to other mail servers: it finds the hosts that take mail for a next hop (RFC 5321
// §5.1), tries them in order, and tells for each recipient what came of it. One attempt at one next hop is one
// call; when to try again is the queue's business.
//
// TLS is opportunistic (RFC 3207, RFC 7435): used when offered, whatever the certificate says, and given up for
// plain text when the handshake fails, since mail that leaves in the clear is still mail that arrives. A route may
// demand more.
//
// Connections are used again while messages for a host come one upon the other (pool), and addresses that did not
// answer are tried last for a while (memory).
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
	"waybill/internal/routing"
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

// Routes knows the next hops that are not to be found by MX records, or have rules of their own. Of returns nil for others.
type Routes interface {
	Of(nextHop string) *routing.Route
}

// Options is what a Relay works with. All but IsSelf, Routes, Logger and AttemptTime is required.
type Options struct {
	Hostname string // said in EHLO; never relayed to
	Resolver Resolver
	Dial     func(ctx context.Context, network, address string) (net.Conn, error) // address is IP:port
	Content  func(ctx context.Context, a spool.Attempt) (Content, error)          // opens its message, once for each transaction
	IsSelf   func(addr netip.AddrPort) bool                                       // mail to addr would come back to this server
	Routes   Routes
	Logger   *slog.Logger

	// AttemptTime bounds one attempt at one next hop, over all its hosts and however slowly they answer. Each KiB
	// of the message prolongs it by a second. Default 30 min.
	AttemptTime time.Duration
}

// Relay is the client side of mail transfer. It is safe for concurrent use.
type Relay struct {
	Options
	shuffle func(n int, swap func(i, j int))
	memory  *memory
	pool    *pool

	complained *recent[string] // mistakes of the configuration
}

// New returns a Relay.
func New(o Options) *Relay {
	if o.IsSelf == nil {
		o.IsSelf = func(netip.AddrPort) bool { return false }
	}
	if o.Routes == nil {
		o.Routes = noRoutes{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.AttemptTime <= 0 {
		o.AttemptTime = attemptTime
	}
	return &Relay{Options: o, shuffle: rand.Shuffle, memory: newMemory(), pool: newPool(),
		complained: newRecent[string](complainAgain)}
}

type noRoutes struct{}

func (noRoutes) Of(string) *routing.Route { return nil }

// Close ends the connections that wait for another message, when no attempt runs any more.
func (r *Relay) Close(ctx context.Context) { r.pool.close(ctx) }

const (
	role     = "MTA"
	smtpPort = 25

	maxHosts = 10 // MX hosts whose addresses are looked up in one attempt
	maxTries = 12 // addresses that are tried in one attempt

	attemptTime     = 30 * time.Minute // Options.AttemptTime
	quitWait        = time.Second      // for the reply to QUIT: until then the outcome is not recorded
	connectWait     = 30 * time.Second // for one of several addresses
	connectWaitLast = 2 * time.Minute  // for the last one
	greetWait       = time.Minute      // for the greeting of one of several
	greetWaitLast   = 5 * time.Minute  // of the last one: RFC 5321 §4.5.3.2.1
)

// Deliver makes one attempt at the recipients of the next hop. Every recipient gets an outcome: 2xx when a host has
// taken custody, 5xx when that host, or the DNS, refused for good, 4xx otherwise. When the time of the attempt is over
// the open recipients get 4xx, as when ctx ends. b is not used.
func (r *Relay) Deliver(ctx context.Context, a spool.Attempt, _ *store.Batch) ([]spool.Outcome, []trail.Event) {
	d := &delivery{
		relay: r, attempt: a,
		limit: r.AttemptTime + time.Duration(a.Item.Body.Total()>>10)*time.Second,
		final: make([]verdict, len(a.Recipients)), last: make([]verdict, len(a.Recipients)),
	}
	ctx, cancel := context.WithTimeout(ctx, d.limit)
	defer cancel()
	d.run(ctx)
	return d.outcomes(), d.events
}

// run tries target after target until no recipient is open, or until a host has taken the message for somebody: what
// it took is recorded only when the attempt ends, and is sent again if we are killed before. So whoever is open then
// is left to the next attempt, rather than that other hosts are tried, which may take long.
func (d *delivery) run(ctx context.Context) {
	var ok bool
	if d.walk, ok = d.walkTo(ctx); !ok {
		return
	}
	for d.open() > 0 && !d.taken {
		t, ok := d.walk.next(ctx)
		if d.outOfTime(ctx) || !ok {
			return
		}
		d.try(ctx, t)
	}
}

// outOfTime says whether the attempt must end although hosts are left; then nothing that was found so far is final.
func (d *delivery) outOfTime(ctx context.Context) bool {
	if ctx.Err() == nil {
		return false
	}
	d.because(ours(badConnection.WithText("the attempt ended after %s, before all hosts of %s were tried", d.limit, d.attempt.NextHop)))
	return true
}
