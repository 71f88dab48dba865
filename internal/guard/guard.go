// Package guard makes guessing at passwords slow: the reply to a login that failed comes late, and a client that goes on
// is banned for a while. SMTP and POP3 share one Guard.
//
// Clients are told apart as networks: an IPv4 address or an IPv6 /64. Failures are counted
//   - of a network, for the accounts that did not log in from it lately; too many ban the network for these accounts;
//   - of an account from a network that it did log in from; too many ban that account there, and nobody else: one
//     forgotten telephone does not lock out the office;
//   - of an account from all other networks together; these only slow down replies, and only those to failures.
//
// So nobody can lock an account out of a network that it is used from, and nobody who knows the password is locked out
// of one where nobody guesses. A failure is counted when it is known: sessions at the same time can be ahead of the ban
// by one attempt each.
//
// Everything is kept in memory and bounded; what was touched least lately is forgotten first. Only a good login makes a
// network known to an account, so that no stranger can make it forgotten.
package guard

import (
	"context"
	"fmt"
	"hash/maphash"
	"net/netip"
	"strings"
	"sync"
	"time"

	"waybill/internal/dialogue"
	"waybill/internal/mail"
)

const (
	window   = 15 * time.Minute    // in which failures add up
	knownFor = 30 * 24 * time.Hour // after the last good login from a network
	maxKeys  = 1 << 16             // of each kind
	maxSteps = 5                   // of delay
)

// Options are the rules.
type Options struct {
	BanAfter int           // failures within 15 minutes; 0: nobody is banned
	BanTime  time.Duration // how long
	Delay    time.Duration // of the reply to the first failure; each further one adds as much, up to five times. Default 1s
}

// Guard counts failed logins. It is safe for concurrent use.
type Guard struct {
	Options
	seed  maphash.Seed // names are kept as hashes: of one size, however long they are
	hurry func()       // closes due
	due   chan struct{}

	mu       sync.Mutex
	networks *table[netip.Prefix, tally]
	known    *table[pair, acquaintance]
	accounts *table[uint64, tally]
}

// pair is an account and a network that it logged in from.
type pair struct {
	account uint64
	network netip.Prefix
}

type acquaintance struct {
	tally
	good time.Time // the last good login
}

// tally is the failures since a time, and the ban that they ended in.
type tally struct {
	since    time.Time
	failures int
	until    time.Time
}

// Ban is why a client may not log in at present.
type Ban struct {
	Rule  string
	Until time.Time
}

// After says how long it lasts, in whole minutes.
func (b Ban) After() string {
	minutes := max(1, (time.Until(b.Until)+time.Minute-1)/time.Minute)
	if minutes == 1 {
		return "1 minute"
	}
	return fmt.Sprintf("%d minutes", minutes)
}

// New returns a Guard without memories.
func New(o Options) *Guard {
	if o.Delay == 0 {
		o.Delay = time.Second
	}
	due := make(chan struct{})
	return &Guard{
		Options: o, due: due, hurry: sync.OnceFunc(func() { close(due) }), seed: maphash.MakeSeed(), networks: newTable[netip.Prefix, tally](maxKeys),
		known: newTable[pair, acquaintance](maxKeys), accounts: newTable[uint64, tally](maxKeys),
	}
}

// Banned says whether a client at addr may not log in now, before its password is looked at.
func (g *Guard) Banned(addr netip.Addr, login string) (Ban, bool) {
	now, network := time.Now(), Network(addr)
	g.mu.Lock()
	defer g.mu.Unlock()
	if k := g.acquaintance(now, login, network); k != nil {
		return g.ban(k.tally, now, login, network)
	}
	if t := g.networks.get(network); t != nil {
		return g.ban(*t, now, "", network)
	}
	return Ban{}, false
}

// Succeeded makes the network known to the account, and forgets its failures there.
func (g *Guard) Succeeded(addr netip.Addr, login string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	*g.known.touch(pair{g.name(login), Network(addr)}) = acquaintance{good: time.Now()}
}

// Hurry ends all delays, for a shutdown that lets sessions finish.
func (g *Guard) Hurry() { g.hurry() }

// Failed counts a failure, and returns when its reply is due, Hurry was called or ctx is done. It returns the ban if one
// begins.
func (g *Guard) Failed(ctx context.Context, addr netip.Addr, login string) (Ban, bool) {
	steps, ban, banned := g.count(addr, login)
	delay := time.NewTimer(time.Duration(min(steps, maxSteps)) * g.Delay)
	defer delay.Stop()
	select {
	case <-delay.C:
	case <-g.due:
	case <-ctx.Done():
	}
	return ban, banned
}

// count counts a failure. Its reply is delayed by that many steps.
func (g *Guard) count(addr netip.Addr, login string) (steps int, ban Ban, banned bool) {
	now, network := time.Now(), Network(addr)
	g.mu.Lock()
	defer g.mu.Unlock()
	if k := g.acquaintance(now, login, network); k != nil {
		steps = k.add(now, g.Options)
		ban, banned = g.ban(k.tally, now, login, network)
		return steps, ban, banned
	}
	t := g.networks.touch(network)
	steps = max(t.add(now, g.Options), g.accounts.touch(g.name(login)).add(now, Options{}))
	ban, banned = g.ban(*t, now, "", network)
	return steps, ban, banned
}

// acquaintance returns the account's books on a network that it logged in from lately; nil if it did not.
func (g *Guard) acquaintance(now time.Time, login string, network netip.Prefix) *acquaintance {
	k := g.known.get(pair{g.name(login), network})
	if k == nil || now.Sub(k.good) >= knownFor {
		return nil
	}
	return k
}

// name returns what an account is kept as: the same for all spellings of its address.
func (g *Guard) name(login string) uint64 {
	if addr, err := mail.ParseAddress(login); err == nil {
		return maphash.String(g.seed, addr.Key())
	}
	return maphash.String(g.seed, strings.ToLower(login))
}

// add counts a failure and returns how many there are by now. One too many begins a ban, and a new count.
func (t *tally) add(now time.Time, o Options) int {
	if now.Sub(t.since) >= window {
		t.since, t.failures = now, 0
	}
	t.failures++
	failures := t.failures
	if o.BanAfter > 0 && failures >= o.BanAfter {
		*t = tally{until: now.Add(o.BanTime)}
	}
	return failures
}

// ban tells of a tally's ban, if there is one. login is "" if it is the whole network's.
func (g *Guard) ban(t tally, now time.Time, login string, network netip.Prefix) (Ban, bool) {
	if !now.Before(t.until) {
		return Ban{}, false
	}
	whose := ""
	if login != "" {
		whose = "as " + dialogue.Printable(login) + " "
	}
	return Ban{Until: t.until, Rule: fmt.Sprintf("[auth] ban_after: %d failed logins %sfrom %s, until %s",
		g.BanAfter, whose, shown(network), t.until.UTC().Format("15:04:05 MST"))}, true
}

// Network is what an address is taken for: itself, or the IPv6 /64 that one client has.
func Network(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap()
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits) // the zero Prefix for what is no address
	return p
}

func shown(network netip.Prefix) string {
	if network.IsSingleIP() {
		return network.Addr().String()
	}
	return network.String()
}
