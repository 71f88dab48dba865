package dns

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// RecursorOptions are what a Recursor needs to know. Zero values mean the defaults.
type RecursorOptions struct {
	Roots     []netip.AddrPort // the servers of the root zone
	Dial      Dial             // default: the system's. Other servers are asked at their address, port 53
	CacheSize int              // entries, of answers and of delegations each; default 10,000
	Timeout   time.Duration    // for one server's answer; default 1.5 s
	Limit     time.Duration    // for everything that a question takes; default 6 s
	Observe   func(Resolution) // told of each client's question, before it gets its answer; may be called concurrently
}

// Recursor is a recursive server (RFC 1034 §4.3.1): it finds answers for its clients by following referrals from the
// root, and caches answers and referrals for as long as their TTLs allow. It serves whoever reaches its sockets: the
// caller decides who can.
type Recursor struct {
	roots       delegation
	exchange    exchanger
	limit       time.Duration
	answers     *cache // by name and type
	delegations *cache // by zone and NS: how its servers can be reached, as its parent said
	flights     flights[*search]
	health      health
	observe     func(Resolution)
}

// Resolution is how a Recursor found the answer to a client's question: the evidence.
type Resolution struct {
	Client  string   // address:port
	Name    string   // asked for; lower case, without the final dot except for the root "."
	Type    string   // asked for: "MX"
	Code    string   // what the client got: NOERROR, NXDOMAIN, NODATA, SERVFAIL
	Records []Record // what the client got, aliases first
	// Steps are the questions asked on the way, in order, with whom was asked and what came of it: a REFERRAL, an
	// answer or a failure. What came from the cache is among them. Those who asked the same at the same time share
	// one search.
	Steps  []Answer
	Cached bool // no server was asked
	At     time.Time
	Took   time.Duration
}

const (
	defaultRecursorTimeout = 1500 * time.Millisecond
	defaultRecursorLimit   = 6 * time.Second
	// failureTTL is for how many seconds a failure is remembered (RFC 9520 §3.2), so that a broken zone is not asked
	// as often as its clients retry.
	failureTTL = 1
)

// NewRecursor returns a Recursor; it asks nobody yet.
func NewRecursor(o RecursorOptions) *Recursor {
	size := positive(o.CacheSize, defaultCacheSize)
	r := &Recursor{
		roots:    delegation{zone: "."},
		exchange: newExchanger(o.Dial, positive(o.Timeout, defaultRecursorTimeout)),
		limit:    positive(o.Limit, defaultRecursorLimit),
		answers:  newCache(size), delegations: newCache(size),
		observe: o.Observe,
	}
	for _, root := range o.Roots {
		r.roots.servers = append(r.roots.servers, root.String())
	}
	return r
}

// ServeUDP answers the questions that come to pc until ctx is done, then returns nil. It closes pc.
func (r *Recursor) ServeUDP(ctx context.Context, pc net.PacketConn) error {
	return serveUDP(ctx, pc, r)
}

// ServeTCP answers the questions of connections to l until ctx is done, then returns nil. It closes l.
func (r *Recursor) ServeTCP(ctx context.Context, l net.Listener) error { return serveTCP(ctx, l, r) }

// respond answers a client's question.
func (r *Recursor) respond(ctx context.Context, query *dns.Msg, client string) *dns.Msg {
	at := time.Now()
	asked := query.Question[0]
	q := question{canonical(asked.Name), asked.Qtype}
	switch {
	case !query.RecursionDesired: // whoever wants only what we know has no use for us
		return new(dns.Msg).SetRcode(query, dns.RcodeRefused)
	case q.qtype == dns.TypeANY: // RFC 8482
		return new(dns.Msg).SetRcode(query, dns.RcodeNotImplemented)
	}
	s, err := r.flights.do(ctx, q, r.limit, func(ctx context.Context) *search {
		s := &search{r: r, budget: maxExchanges}
		s.result = s.resolve(ctx, q, 0)
		return s
	})
	if err != nil {
		return nil // we are shutting down
	}
	if r.observe != nil {
		r.observe(Resolution{
			Client: client, Name: shortName(q.name), Type: typeName(q.qtype), Code: s.result.clientCode(),
			Records: records(s.result.rrs), Steps: s.steps, Cached: s.budget == maxExchanges, At: at, Took: time.Since(at),
		})
	}
	return s.result.message(query)
}

// clientCode is what the client is told: what went wrong on the way is one SERVFAIL.
func (o outcome) clientCode() string {
	if o.code == CodeNoError || definite(o.code) {
		return o.code
	}
	return CodeServFail
}

// message is the answer to a client.
func (o outcome) message(query *dns.Msg) *dns.Msg {
	m := new(dns.Msg).SetReply(query)
	m.RecursionAvailable = true
	switch o.clientCode() {
	case CodeServFail:
		m.Rcode = dns.RcodeServerFailure
		return m
	case CodeNXDomain:
		m.Rcode = dns.RcodeNameError
	}
	m.Answer = append(m.Answer, o.rrs...)
	if o.soa != nil {
		m.Ns = []dns.RR{o.soa}
	}
	return m
}
