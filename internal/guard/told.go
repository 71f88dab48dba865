package guard

import (
	"encoding/binary"
	"time"

	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/news"
	"waybill/internal/store/record"
)

const (
	maxUntold = 4096           // notices that wait to be told; what else happens then counts here only
	retell    = 24 * time.Hour // after which the others are told again that an account logs in from a network
)

// notice is something that happened here.
type notice struct {
	kind kind
	pair
}

// kind is what a notice is about, in the order in which they are told.
type kind byte

const (
	loggedIn   kind = iota + 1 // the account did, from that network
	banned                     // the network is
	bannedHere                 // the account is, in that network
	failedHere                 // the account did, in a network that it is known in
	failed                     // somebody did, for that account, from that network
	lastKind   = failed
)

// tell notes what the others are to be told; false if that is not possible. g.mu is held.
func (g *Guard) tell(n notice, times int) bool {
	if g.others == nil || !n.network.IsValid() {
		return false
	}
	if _, waits := g.untold[n]; !waits && len(g.untold) >= maxUntold {
		return false
	}
	if n.kind == loggedIn {
		delete(g.untold, notice{failedHere, n.pair}) // they are forgotten
	}
	g.untold[n] += times
	g.others.Tell()
	return true
}

// tellFailure notes a failure that made the books t what they are. g.mu is held.
func (g *Guard) tellFailure(n notice, t tally) {
	if t.failures == 0 { // it was one too many
		g.tellBan(n)
	}
	g.tell(n, 1)
}

// tellBan notes the ban that a failure ended in.
func (g *Guard) tellBan(n notice) {
	if n.kind == failedHere {
		g.tell(notice{bannedHere, n.pair}, 1)
		return
	}
	g.tell(notice{banned, pair{network: n.network}}, 1)
}

// member is a Guard as news.Member.
type member Guard

// format is the first octet of what is said; then for each notice: kind1 network9 account8 · number. The number is how often
// it happened, or how long a ban lasts still, in milliseconds.
const (
	format    = 1
	maxNotice = 1 + keys.NetworkSize + 8 + binary.MaxVarintLen64
)

// Say implements news.Member. What a new node is to know is kept in the store.
func (m *member) Say(b *store.Batch) (said []byte, more bool) {
	g, now := (*Guard)(m), time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	said = []byte{format}
	for kind := loggedIn; kind <= lastKind; kind++ {
		for n, number := range g.untold {
			if n.kind != kind {
				continue
			}
			if len(said)+maxNotice > news.MaxSaid {
				return said, true
			}
			delete(g.untold, n)
			key, until := g.kept(n)
			if key != nil {
				b.Put(key, markAt(until))
			}
			if kind == banned || kind == bannedHere {
				number = int(until.Sub(now) / time.Millisecond)
			}
			if number > 0 {
				said = binary.BigEndian.AppendUint64(keys.AppendNetwork(append(said, byte(n.kind)), n.network), n.account)
				said = binary.AppendUvarint(said, uint64(number))
			}
		}
	}
	if len(said) == 1 {
		return nil, false
	}
	return said, false
}

// kept returns under which key the store keeps what a notice is about, nil for none, and the time that is kept there.
func (g *Guard) kept(n notice) (key []byte, at time.Time) {
	switch n.kind {
	case loggedIn:
		if k := g.known.get(n.pair); k != nil {
			return keys.Known(n.account, n.network), k.good
		}
	case banned:
		if t := g.networks.get(n.network); t != nil {
			return keys.Banned(n.network), t.until
		}
	case bannedHere:
		if k := g.known.get(n.pair); k != nil {
			return keys.BannedAs(n.account, n.network), k.until
		}
	}
	return nil, time.Time{}
}

// Hear implements news.Member.
func (m *member) Hear(said []byte, ago time.Duration) {
	g := (*Guard)(m)
	at := time.Now().Add(-ago)
	r := record.NewReader(said, format)
	for r.More() {
		kind := kind(r.Octet())
		network, ok := keys.ReadNetwork(r.Fixed(keys.NetworkSize))
		account, number := r.Uint64(), r.Uvarint()
		if r.Err() != nil || !ok || kind < loggedIn || kind > lastKind {
			return // of a newer release
		}
		g.hear(notice{kind, pair{account, network}}, int(min(number, maxNumber)), at)
	}
}

// maxNumber bounds what is believed of a number.
const maxNumber = 1 << 40

// hear takes over what happened on another node at that time.
func (g *Guard) hear(n notice, number int, at time.Time) {
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	switch n.kind {
	case loggedIn:
		k := g.known.touch(n.pair)
		*k = acquaintance{good: later(k.good, at), told: later(k.told, at), tally: tally{until: k.until}}
	case banned:
		g.networks.touch(n.network).banUntil(at.Add(time.Duration(number)*time.Millisecond), now, g.Options)
	case bannedHere:
		k := g.known.touch(n.pair)
		k.good = later(k.good, at)
		k.banUntil(at.Add(time.Duration(number)*time.Millisecond), now, g.Options)
	case failedHere:
		if k := g.known.get(n.pair); k != nil {
			g.hearFailures(&k.tally, n, number, at)
		}
	case failed:
		g.hearFailures(g.networks.touch(n.network), n, number, at)
		if now.Sub(at) < window {
			g.accounts.touch(n.account).add(at, number, Options{})
		}
	}
}

// hearFailures counts failures on another node, unless they were too long ago or led to a ban that stands.
func (g *Guard) hearFailures(t *tally, n notice, number int, at time.Time) {
	now := time.Now()
	if now.Sub(at) >= window || now.Before(t.until) {
		return
	}
	t.add(at, number, g.Options)
	if t.failures > 0 {
		return
	}
	g.tellBan(n)
	ban, _ := g.ban(*t, now, "", n.network)
	whose := "any"
	if n.kind == failedHere {
		whose = "one that is known there"
	}
	g.Logger.Warn("clients are banned for failed logins at several nodes", "network", shown(n.network), "account", whose, "rule", ban.Rule)
}

// banUntil takes over a ban, as far as the own rules have it.
func (t *tally) banUntil(until, now time.Time, o Options) {
	if most := now.Add(o.BanTime); until.After(most) {
		until = most
	}
	if o.BanAfter > 0 && until.After(now) && until.After(t.until) {
		*t = tally{until: until}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
