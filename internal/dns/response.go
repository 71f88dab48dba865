package dns

import (
	"errors"
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

const (
	maxRecords = 512              // in all sections of a message that we read
	maxAliases = 8                // CNAMEs from a name to its records
	maxTTL     = 7 * 24 * 60 * 60 // seconds for which we believe anything

	// maxNegativeTTL is the longest that "there is none" is believed, in seconds (RFC 2308 §5).
	maxNegativeTTL = 3 * 60 * 60
)

var (
	errMalformed = errors.New("malformed message")
	errLoop      = errors.New("aliases lead in a circle")
	errAliases   = errors.New("too many aliases")
)

// unpack reads a message from the network: bounded in records, complete, without records that do not unpack.
func unpack(packet []byte) (m *dns.Msg, err error) {
	counts, ok := sectionCounts(packet)
	if !ok {
		return nil, fmt.Errorf("%w: shorter than a header", errMalformed)
	}
	if total := counts[0] + counts[1] + counts[2] + counts[3]; total > maxRecords {
		return nil, fmt.Errorf("%w: %d records", errMalformed, total)
	}
	m = new(dns.Msg)
	if err := m.Unpack(packet); err != nil {
		return nil, fmt.Errorf("%w: %w", errMalformed, err)
	}
	// The library stops without an error where a message ends early.
	if [4]int{len(m.Question), len(m.Answer), len(m.Ns), len(m.Extra)} != counts {
		return nil, fmt.Errorf("%w: fewer records than it says", errMalformed)
	}
	for _, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for _, rr := range section {
			// The library takes a record without data for one of an update; no type that we ask for may be empty.
			if h := rr.Header(); h.Rdlength == 0 && h.Rrtype != dns.TypeOPT {
				return nil, fmt.Errorf("%w: record without data", errMalformed)
			}
			boundTTL(rr)
		}
	}
	return m, nil
}

// sectionCounts reads the four counts of a header (RFC 1035 §4.1.1).
func sectionCounts(packet []byte) (counts [4]int, ok bool) {
	if len(packet) < headerOctets {
		return counts, false
	}
	for i := range counts {
		counts[i] = int(packet[4+2*i])<<8 | int(packet[5+2*i])
	}
	return counts, true
}

const headerOctets = 12

// boundTTL takes a TTL with its top bit set for 0 (RFC 2181 §8), and none for longer than we believe anything.
func boundTTL(rr dns.RR) {
	h := rr.Header()
	if h.Rrtype == dns.TypeOPT { // its TTL field holds flags
		return
	}
	if h.Ttl > 1<<31-1 {
		h.Ttl = 0
	}
	h.Ttl = min(h.Ttl, maxTTL)
}

// chain is what an answer section says about a question: aliases from its name on, and the records at their end.
type chain struct {
	aliases []dns.RR // CNAMEs in order
	last    string   // the name where they end
	rrset   []dns.RR // its records of the type asked for; empty when the section has none
}

// all returns aliases and records.
func (c chain) all() []dns.RR { return append(c.aliases[:len(c.aliases):len(c.aliases)], c.rrset...) }

// chase picks from an answer section what answers q. Records whose owners are outside zone, which the server cannot
// speak for, and all others that were not asked for, are passed over.
func chase(section []dns.RR, q question, zone string) (chain, error) {
	c := chain{last: q.name}
	seen := map[string]bool{}
	for {
		if seen[c.last] {
			return c, errLoop
		}
		seen[c.last] = true
		if !within(zone, c.last) {
			return c, nil
		}
		c.rrset = owned(section, c.last, q.qtype)
		if len(c.rrset) > 0 || q.qtype == dns.TypeCNAME {
			return c, nil
		}
		cnames := owned(section, c.last, dns.TypeCNAME)
		switch {
		case len(cnames) == 0:
			return c, nil
		case len(cnames) > 1:
			return c, fmt.Errorf("%w: two aliases of one name", errMalformed)
		case len(c.aliases) == maxAliases:
			return c, errAliases
		}
		c.aliases = append(c.aliases, cnames[0])
		c.last = canonical(cnames[0].(*dns.CNAME).Target)
	}
}

// owned returns the records of name and qtype in section, without duplicates and all with the smallest of their TTLs
// (RFC 2181 §5).
func owned(section []dns.RR, name string, qtype uint16) []dns.RR {
	var set []dns.RR
	for _, rr := range section {
		h := rr.Header()
		if h.Class != dns.ClassINET || h.Rrtype != qtype {
			continue
		}
		if len(h.Name) == len(name) && canonical(h.Name) == name && !duplicate(set, rr) {
			set = append(set, rr)
		}
	}
	least := minTTL(set)
	for _, rr := range set {
		rr.Header().Ttl = least
	}
	return set
}

func duplicate(set []dns.RR, rr dns.RR) bool {
	for _, other := range set {
		if dns.IsDuplicate(other, rr) {
			return true
		}
	}
	return false
}

// authoritySOA returns the SOA record that comes with a negative answer about name, from a server that may speak for
// zone; nil when there is none that covers the name. Its TTL becomes how long the answer may be kept: the smaller of
// its own TTL and its MINIMUM field (RFC 2308 §5).
func authoritySOA(section []dns.RR, name, zone string) *dns.SOA {
	for _, rr := range section {
		soa, ok := rr.(*dns.SOA)
		if !ok || soa.Hdr.Class != dns.ClassINET {
			continue
		}
		if owner := canonical(soa.Hdr.Name); within(owner, name) && within(zone, owner) {
			soa.Hdr.Ttl = min(soa.Hdr.Ttl, soa.Minttl, maxNegativeTTL)
			return soa
		}
	}
	return nil
}

// hasType says whether a section has a record of that type.
func hasType(section []dns.RR, qtype uint16) bool {
	for _, rr := range section {
		if rr.Header().Rrtype == qtype {
			return true
		}
	}
	return false
}

// answers says whether m is a reply to q with that id (RFC 5452 §9.1).
func answers(m *dns.Msg, id uint16, q question) bool {
	if !m.Response || m.Id != id || m.Opcode != dns.OpcodeQuery {
		return false
	}
	if len(m.Question) == 0 { // a server that could not read the question may leave it out
		return m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError
	}
	asked := m.Question[0]
	return len(m.Question) == 1 && asked.Qclass == dns.ClassINET && asked.Qtype == q.qtype &&
		strings.EqualFold(asked.Name, q.name)
}
