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
//
// The nodes that use one store count together: each decides by what it has in memory, at once, and tells the others what
// happened (package news), so they know within a second. Only bans, and which networks are known, stay in the store beyond that, and
// are read when a node begins. Names are told and kept as a hash under a secret of the store: people type passwords there.
package guard

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	"waybill/internal/dialogue"
	"waybill/internal/mail"
	"waybill/internal/store"
	"waybill/internal/store/news"
	"waybill/internal/store/secret"
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
	Logger   *slog.Logger  // hears of bans that begin with what other nodes tell; default: discards
}

// Guard counts failed logins. It is safe for concurrent use.
type Guard struct {
	Options
	key    []byte // names are kept as hashes under it: of one size, however long they are
	hurry  func() // closes due
	due    chan struct{}
	others *news.Exchange // nil: there are none

	mu       sync.Mutex
	networks *table[netip.Prefix, tally]
	known    *table[pair, acquaintance]
	accounts *table[uint64, tally]
	untold   map[notice]int // what the others are to be told, and how often it happened
}

// pair is an account and a network that it logged in from.
type pair struct {
	account uint64
	network netip.Prefix
}

type acquaintance struct {
	tally
	good time.Time // the last good login
	told time.Time // when the others, and the store, were told of one
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

// New returns a Guard without memories, that counts alone.
func New(o Options) *Guard {
	if o.Delay == 0 {
		o.Delay = time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	key := make([]byte, sha256.Size)
	rand.Read(key) // never fails, since Go 1.24
	due := make(chan struct{})
	return &Guard{
		Options: o, due: due, hurry: sync.OnceFunc(func() { close(due) }), key: key, networks: newTable[netip.Prefix, tally](maxKeys),
		known: newTable[pair, acquaintance](maxKeys), accounts: newTable[uint64, tally](maxKeys),
	}
}

// NewShared returns a Guard that counts together with those of other nodes in st, while Share runs, and knows the bans that there are.
// Errors: a done context, those of the store.
func NewShared(ctx context.Context, o Options, st store.Store) (*Guard, error) {
	g := New(o)
	var err error
	if g.key, err = secret.New(st, "guard").Get(ctx); err != nil {
		return nil, fmt.Errorf("count failed logins: %w", err)
	}
	g.untold = map[notice]int{}
	g.others = news.New(st, "guard", (*member)(g))
	if err := g.others.Begin(ctx); err != nil {
		return nil, fmt.Errorf("count failed logins: %w", err)
	}
	return g, nil
}

// Share tells the others what happens here, and hears of them, until ctx is done. A Guard that counts alone returns at once.
func (g *Guard) Share(ctx context.Context) {
	if g.others != nil {
		g.others.Run(ctx)
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
	now, p := time.Now(), pair{g.name(login), Network(addr)}
	k := g.known.touch(p)
	tell := k.failures > 0 || now.Sub(k.told) >= retell
	*k = acquaintance{good: now, told: k.told}
	if tell && g.tell(notice{loggedIn, p}, 1) {
		k.told = now
	}
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
		steps = k.add(now, 1, g.Options)
		g.tellFailure(notice{failedHere, pair{g.name(login), network}}, k.tally)
		ban, banned = g.ban(k.tally, now, login, network)
		return steps, ban, banned
	}
	t, name := g.networks.touch(network), g.name(login)
	steps = max(t.add(now, 1, g.Options), g.accounts.touch(name).add(now, 1, Options{}))
	g.tellFailure(notice{failed, pair{name, network}}, *t)
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
	spelling := strings.ToLower(login)
	if addr, err := mail.ParseAddress(login); err == nil {
		spelling = addr.Key()
	}
	sum := sha256.Sum256(append(append(make([]byte, 0, 128), g.key...), spelling...)) // cut short, so the key may stand in front
	return binary.BigEndian.Uint64(sum[:])
}

// add counts n failures and returns how many there are by now. One too many begins a ban, and a new count.
func (t *tally) add(now time.Time, n int, o Options) int {
	if now.Sub(t.since) >= window {
		t.since, t.failures = now, 0
	}
	t.failures += n
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
