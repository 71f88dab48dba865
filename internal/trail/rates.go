package trail

import (
	"fmt"
	"net/netip"
	"time"
)

const (
	rateSpan      = time.Minute
	maxAddresses  = 4096 // that are told apart in one span; the others share one count
	ipv6PrefixLen = 64
)

// rates counts the events of sessions by peer address, so that one peer cannot drive out what the others did.
type rates struct {
	limit  int
	began  time.Time
	events map[netip.Prefix]int // the zero Prefix is for what is told apart no further
}

// allow counts an event of a peer and says whether it is kept. Events without a peer are our own.
func (r *rates) allow(p *Peer) bool {
	if p == nil || p.Addr == "" {
		return true
	}
	key := network(p.Addr)
	if _, known := r.events[key]; !known && len(r.events) >= maxAddresses {
		key = netip.Prefix{}
	}
	if r.events == nil {
		r.events = map[netip.Prefix]int{}
	}
	r.events[key]++
	return r.events[key] <= r.limit
}

// network is what an address:port, or an address, is counted under.
func network(addr string) netip.Prefix {
	ap, err := netip.ParseAddrPort(addr)
	a := ap.Addr()
	if err != nil {
		if a, err = netip.ParseAddr(addr); err != nil {
			return netip.Prefix{}
		}
	}
	bits := 32
	if a = a.Unmap().WithZone(""); a.Is6() {
		bits = ipv6PrefixLen
	}
	p, _ := a.Prefix(bits)
	return p
}

// turn begins a new span if it is time, and returns what is to be said of the one before.
func (r *rates) turn(now time.Time) []Event {
	if since := now.Sub(r.began); since >= 0 && since < rateSpan {
		return nil
	}
	events := r.counts()
	r.began, r.events = now, nil
	return events
}

// counts says what was not kept.
func (r *rates) counts() (events []Event) {
	for of, n := range r.events {
		if n <= r.limit {
			continue
		}
		name := "other addresses"
		if of.IsValid() {
			name = of.String()
		}
		events = append(events, Event{
			Kind: Omitted, At: r.began, Took: rateSpan, Peer: &Peer{Addr: name},
			Text: fmt.Sprintf("%d further events of sessions from %s are not kept", n-r.limit, name),
		})
	}
	return events
}
