package dns

import (
	"context"
	"net"

	"github.com/miekg/dns"
)

// Authority is an authoritative server for zones (RFC 1034 §4.3.2): it answers from them with the AA bit, refers to
// the servers of delegated ones with their addresses, says NXDOMAIN or NODATA with the SOA, and refuses all else.
// Wildcards and aliases within a zone are followed. The zones' failure lines make questions for a name fail.
type Authority struct {
	zones map[string]*Zone // by origin
}

// NewAuthority returns a server for zones. Of two with the same origin the later counts.
func NewAuthority(zones ...*Zone) *Authority {
	a := &Authority{zones: map[string]*Zone{}}
	for _, z := range zones {
		a.zones[z.origin] = z
	}
	return a
}

// ServeUDP answers the questions that come to pc until ctx is done, then returns nil. It closes pc.
func (a *Authority) ServeUDP(ctx context.Context, pc net.PacketConn) error {
	return serveUDP(ctx, pc, a)
}

// ServeTCP answers the questions of connections to l until ctx is done, then returns nil. It closes l.
func (a *Authority) ServeTCP(ctx context.Context, l net.Listener) error { return serveTCP(ctx, l, a) }

// respond answers from the zone with the longest origin that the name is within.
func (a *Authority) respond(_ context.Context, query *dns.Msg, _ string) *dns.Msg {
	asked := query.Question[0]
	q := question{canonical(asked.Name), asked.Qtype}
	z := a.zoneOf(q.name)
	if z == nil {
		return new(dns.Msg).SetRcode(query, dns.RcodeRefused)
	}
	switch z.failing[q.name] {
	case failServFail:
		return new(dns.Msg).SetRcode(query, dns.RcodeServerFailure)
	case failRefused:
		return new(dns.Msg).SetRcode(query, dns.RcodeRefused)
	case failTimeout:
		return nil
	}
	return z.answer(query, q)
}

func (a *Authority) zoneOf(name string) *Zone {
	for {
		if z, ok := a.zones[name]; ok {
			return z
		}
		if name == "." {
			return nil
		}
		name = parentName(name)
	}
}

// answer answers a question for a name within the zone.
func (z *Zone) answer(query *dns.Msg, q question) *dns.Msg {
	m := new(dns.Msg).SetReply(query)
	m.Authoritative = true
	seen := map[string]bool{}
	for {
		seen[q.name] = true
		if cut := z.cut(q); cut != nil {
			z.refer(m, cut)
			return m
		}
		node, exists := z.find(q.name)
		if alias := node[dns.TypeCNAME]; len(alias) > 0 && q.qtype != dns.TypeCNAME && q.qtype != dns.TypeANY {
			m.Answer = append(m.Answer, renamed(alias, q.name)...)
			q.name = canonical(alias[0].(*dns.CNAME).Target)
			// What leads out of the zone, in a circle, far, or to a failure is the asker's business.
			if within(z.origin, q.name) && !seen[q.name] && len(m.Answer) < maxAliases && z.failing[q.name] == "" {
				continue
			}
			return m
		}
		z.conclude(m, node, exists, q)
		return m
	}
}

// conclude completes m with what the zone says of the name where the aliases end.
func (z *Zone) conclude(m *dns.Msg, node rrsets, exists bool, q question) {
	set := renamed(node.of(q.qtype), q.name)
	m.Answer = append(m.Answer, set...)
	if len(set) > 0 {
		m.Extra = append(m.Extra, z.additional(set)...)
		return
	}
	if !exists {
		m.Rcode = dns.RcodeNameError
	}
	soa := dns.Copy(z.soa)
	soa.Header().Ttl = min(z.soa.Hdr.Ttl, z.soa.Minttl) // RFC 2308 §3
	m.Ns = append(m.Ns, soa)
}

// of returns the records of a type; for ANY those of one type, as RFC 8482 §4.1 allows.
func (sets rrsets) of(qtype uint16) []dns.RR {
	if qtype != dns.TypeANY {
		return sets[qtype]
	}
	var first uint16
	for t := range sets {
		if first == 0 || t < first {
			first = t
		}
	}
	return sets[first]
}

// find returns the records of a name, those of the wildcard that covers it if it does not exist (RFC 4592 §3.3.1),
// and whether it exists so.
func (z *Zone) find(name string) (rrsets, bool) {
	if sets, ok := z.names[name]; ok {
		return sets, true
	}
	encloser := name
	for z.names[encloser] == nil && encloser != z.origin {
		encloser = parentName(encloser)
	}
	wildcard := "*." + encloser
	if encloser == "." {
		wildcard = "*."
	}
	sets, ok := z.names[wildcard]
	return sets, ok
}

// cut returns the NS records of the highest delegation at or above the name; nil when the name is the zone's own.
// A DS record is the delegating side's (RFC 4035 §3.1.4.1).
func (z *Zone) cut(q question) []dns.RR {
	var cut []dns.RR
	for name := q.name; name != z.origin; name = parentName(name) {
		if ns := z.names[name][dns.TypeNS]; len(ns) > 0 && !(name == q.name && q.qtype == dns.TypeDS) {
			cut = ns
		}
	}
	return cut
}

// refer makes m a referral, or adds one to the aliases that it has.
func (z *Zone) refer(m *dns.Msg, ns []dns.RR) {
	if len(m.Answer) == 0 {
		m.Authoritative = false
	}
	m.Ns = append(m.Ns, ns...)
	m.Extra = append(m.Extra, z.additional(ns)...)
}

// additional returns the addresses that the zone knows of hosts named in set, glue included.
func (z *Zone) additional(set []dns.RR) []dns.RR {
	var extra []dns.RR
	seen := map[string]bool{}
	for _, rr := range set {
		var host string
		switch rr := rr.(type) {
		case *dns.NS:
			host = canonical(rr.Ns)
		case *dns.MX:
			host = canonical(rr.Mx)
		case *dns.SRV:
			host = canonical(rr.Target)
		}
		if host != "" && !seen[host] {
			seen[host] = true
			extra = append(append(extra, z.names[host][dns.TypeA]...), z.names[host][dns.TypeAAAA]...)
		}
	}
	return extra
}

// renamed returns set as that of name: itself, or copies where it is a wildcard's.
func renamed(set []dns.RR, name string) []dns.RR {
	if len(set) == 0 || set[0].Header().Name == name {
		return set
	}
	copies := make([]dns.RR, len(set))
	for i, rr := range set {
		copies[i] = dns.Copy(rr)
		copies[i].Header().Name = name
	}
	return copies
}
