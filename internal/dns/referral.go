package dns

import (
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/miekg/dns"
)

const (
	// maxServers is how many addresses of a zone's servers are used.
	maxServers = 12
	// maxHosts is how many servers without address are looked for: who delegates decides how many there are.
	maxHosts = 3
)

// delegation is how the servers of a zone can be reached.
type delegation struct {
	zone    string
	servers []string // address:port
	hosts   []string // names of servers that came without an address
	rrs     []dns.RR // as the parent said: NS, then addresses
}

// newDelegation makes a delegation from NS records and the addresses that came with them. Addresses of servers are
// believed only from those who may speak for them (RFC 5452 §6): asked is the zone of the server that said this.
func newDelegation(ns []dns.RR, extra []dns.RR, asked string) delegation {
	d := delegation{zone: canonical(ns[0].Header().Name), rrs: slices.Clone(ns)}
	for _, rr := range ns {
		host := canonical(rr.(*dns.NS).Ns)
		var glue []dns.RR
		if within(asked, host) {
			glue = append(owned(extra, host, dns.TypeA), owned(extra, host, dns.TypeAAAA)...)
		}
		if len(glue) == 0 && !within(d.zone, host) && len(d.hosts) < maxHosts {
			d.hosts = append(d.hosts, host) // one within the zone could be found only by asking itself
		}
		room := maxServers - len(d.servers)
		for _, addr := range addresses(glue)[:min(room, len(addresses(glue)))] {
			d.servers = append(d.servers, serverAt(addr.String()))
		}
		d.rrs = append(d.rrs, glue...)
	}
	return d
}

// serverAt is the socket of the server at an address.
func serverAt(addr string) string { return net.JoinHostPort(addr, strconv.Itoa(serverPort)) }

// closest returns the delegation of the closest zone at or above q's name that is known; the root's at the latest.
func (s *search) closest(q question) delegation {
	at := time.Now()
	name := q.name
	if q.qtype == dns.TypeDS { // it is the parent's (RFC 4035 §3.1.4.1)
		name = parentName(name)
	}
	for ; name != "."; name = parentName(name) {
		e, ok := s.r.delegations.get(question{name, dns.TypeNS}, at)
		if !ok {
			continue
		}
		s.note(q, Answer{
			Code: CodeReferral, Records: records(e.rrs), TTL: e.ttl, Server: e.server, Cached: true, At: at,
			Took: time.Since(at),
		})
		// What is not in there was not believed.
		return newDelegation(owned(e.rrs, name, dns.TypeNS), e.rrs, ".")
	}
	return s.r.roots
}

// locate finds the addresses of a name server.
func (s *search) locate(ctx context.Context, host string, depth int) ([]string, error) {
	if depth == maxDepth {
		return nil, &failure{CodeLimit, errDepth}
	}
	var servers []string
	var failed error
	for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
		found := s.resolve(ctx, question{host, qtype}, depth+1)
		if found.err != nil {
			failed = found.err
		}
		for _, addr := range addresses(found.rrs) {
			servers = append(servers, serverAt(addr.String()))
		}
		if len(servers) > 0 {
			failed = nil
			break
		}
	}
	return servers[:min(len(servers), maxServers)], failed
}

// verdict is what a reply of a zone's server comes to.
type verdict struct {
	code   string // NOERROR, NXDOMAIN, NODATA, codeAlias, REFERRAL
	found  chain
	soa    *dns.SOA
	next   delegation // of REFERRAL
	server string
}

var errLame = errors.New("neither the answer nor a referral towards it")

// judge interprets the reply of a server that was asked q as one of zone's. What it says about other zones than its
// own and those that it delegates is passed over; an answer must be authoritative.
func judge(m *dns.Msg, q question, zone string) (verdict, error) {
	found, err := chase(m.Answer, q, zone)
	if err != nil {
		return verdict{}, err
	}
	v := verdict{found: found, soa: authoritySOA(m.Ns, q.name, zone)}
	switch {
	case m.Authoritative && len(found.rrset) > 0:
		v.code = CodeNoError
	case m.Authoritative && len(found.aliases) > 0: // where they end is asked for, whatever this server says of it
		v.code = codeAlias
	case m.Authoritative && m.Rcode == dns.RcodeNameError:
		v.code = CodeNXDomain
	case m.Authoritative && v.soa != nil, m.Authoritative && !hasType(m.Ns, dns.TypeNS):
		v.code = CodeNoData
	case m.Rcode == dns.RcodeSuccess && len(found.all()) == 0:
		ns := delegating(m.Ns, q, zone)
		if len(ns) == 0 {
			return v, &failure{CodeLame, errLame}
		}
		v.code, v.next = CodeReferral, newDelegation(ns, m.Extra, zone)
	default:
		return v, &failure{CodeLame, errLame}
	}
	return v, nil
}

// delegating returns the NS records of a zone that is strictly below zone, and at or above q's name.
func delegating(section []dns.RR, q question, zone string) []dns.RR {
	for name := q.name; name != zone && name != "."; name = parentName(name) {
		if ns := owned(section, name, dns.TypeNS); len(ns) > 0 {
			return ns
		}
	}
	return nil
}

// describe puts the verdict into a step of the evidence.
func (v verdict) describe(step *Answer) {
	step.Code = v.code
	rrs := v.found.all()
	switch {
	case v.code == codeAlias:
		step.Code = CodeNoError
	case v.code == CodeReferral:
		rrs = v.next.rrs
	case v.soa != nil && len(rrs) == 0:
		step.TTL = v.soa.Hdr.Ttl
	}
	step.Records = records(rrs)
	if len(rrs) > 0 {
		step.TTL = minTTL(rrs)
	}
}
