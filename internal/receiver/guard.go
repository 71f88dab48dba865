package receiver

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"waybill/internal/trail"
)

// When a trusted address is taken for a gateway: that many sessions brought mail for our domains from reverse-paths of
// others, under that many names in HELO and from that many domains, within that time. A server of one's own that sends
// for many, or that takes the Internet's mail and passes it on, says one name in HELO; clients behind a router send
// from our own domains.
const (
	gatewaySessions = 20
	gatewayNames    = 10
	gatewayDomains  = 5
	gatewayWindow   = 7 * 24 * time.Hour
)

// maxWatched bounds the addresses that are watched at the same time.
const maxWatched = 1024

// gateways finds trusted addresses behind which strangers come in: the gateway of a container network, a proxy or a router
// that puts its own address in the place of the client's. Trust in one of these would open the relay to everybody.
type gateways struct {
	mu        sync.Mutex
	watched   map[netip.Addr]*strangers
	withdrawn map[netip.Addr]string // the rule by which an address is trusted no more
}

// strangers are those who seemed to come from one address.
type strangers struct {
	since          time.Time
	sessions       int
	names, domains map[string]struct{} // no more than the rule needs
}

func newGateways() *gateways {
	return &gateways{watched: map[netip.Addr]*strangers{}, withdrawn: map[netip.Addr]string{}}
}

// distrust returns the rule by which trust in an address was withdrawn; "" if it was not.
func (g *gateways) distrust(addr netip.Addr) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.withdrawn[addr]
}

// observe counts a session from a trusted address that brings somebody else's mail for our domains. It returns the rule
// if that was one too many.
func (g *gateways) observe(now time.Time, addr netip.Addr, hello, domain string) (rule string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.withdrawn[addr] != "" {
		return ""
	}
	w := g.watch(now, addr)
	w.sessions++
	if len(w.names) < gatewayNames {
		w.names[strings.ToLower(hello)] = struct{}{}
	}
	if len(w.domains) < gatewayDomains {
		w.domains[domain] = struct{}{}
	}
	if w.sessions < gatewaySessions || len(w.names) < gatewayNames || len(w.domains) < gatewayDomains {
		return ""
	}
	rule = fmt.Sprintf("[relay] trusted withdrawn: %d sessions from %s brought mail for our domains from others, "+
		"under %d or more names in HELO: a gateway hides who they are", w.sessions, addr, gatewayNames)
	delete(g.watched, addr)
	g.withdrawn[addr] = rule
	return rule
}

// watch returns the books on an address, new ones if the old are too old.
func (g *gateways) watch(now time.Time, addr netip.Addr) *strangers {
	w := g.watched[addr]
	if w != nil && now.Sub(w.since) < gatewayWindow {
		return w
	}
	if w == nil && len(g.watched) >= maxWatched {
		for any := range g.watched {
			delete(g.watched, any)
			break
		}
	}
	w = &strangers{since: now, names: map[string]struct{}{}, domains: map[string]struct{}{}}
	g.watched[addr] = w
	return w
}

// hidesOthers says whether an address can be that of a gateway that strangers come through. Public addresses are told
// apart by those who give them out.
func hidesOthers(addr netip.Addr) bool {
	return addr.IsPrivate() || addr.IsLoopback() || addr.IsLinkLocalUnicast() || sharedAddresses.Contains(addr)
}

// sharedAddresses is the space between a provider and its customers (RFC 6598).
var sharedAddresses = netip.MustParsePrefix("100.64.0.0/10")

// observe shows the session to the guard of gateways once it has brought mail for us.
func (s *session) observe() {
	domain := s.tx.reversePath.Domain
	if _, trusted := s.trusted(); s.watched || !trusted || !hidesOthers(s.peer) || s.r.Directory.IsLocal(domain) {
		return
	}
	s.watched = true
	rule := s.r.gateways.observe(time.Now(), s.peer, s.hello, domain)
	if rule == "" {
		return
	}
	const advice = "Trust the addresses of the clients themselves, and let the gateway show them (for containers: the host's " +
		"network, or no proxy in user space); then restart"
	s.r.Logger.Error("a trusted address may not relay any more", "address", s.peer.String(), "rule", rule, "advice", advice)
	// Without a peer, so that it is kept however many events that one makes.
	s.r.Trail.Record(trail.Event{
		Kind: trail.Decided, At: time.Now(), Actor: s.r.Hostname, Role: string(s.kind), Session: s.conn.ID(), Text: advice,
		Decision: &trail.Decision{Question: "is " + s.peer.String() + " one client?", Outcome: "refused", Rule: rule},
	})
}
