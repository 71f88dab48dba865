package dns

import (
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Whatever a zone file says, it is refused, or every name in it can be asked for.
func FuzzParseZone(f *testing.F) {
	f.Add("@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n*.w MX 0 .\nc CNAME c\n; SERVFAIL x\n")
	f.Add("$ORIGIN a.test.\n$TTL 1w\n@ 5 IN TXT ( \"a\" ; b\n \"c\" )\n; TIMEOUT \\097\n")
	f.Fuzz(func(t *testing.T, text string) {
		z, err := ParseZone("test.", strings.NewReader(text))
		if err != nil {
			return
		}
		a := NewAuthority(z)
		for name := range z.names {
			for _, qtype := range []uint16{dns.TypeA, dns.TypeMX, dns.TypeANY} {
				packet, err := new(dns.Msg).SetQuestion(name, qtype).Pack()
				if err != nil {
					t.Fatalf("%q cannot be asked for: %v", name, err)
				}
				answer := handle(t.Context(), packet, "", a, true)
				if m, err := unpack(answer); answer != nil && (err != nil || len(answer) > dns.MinMsgSize || m.Rcode == dns.RcodeFormatError) {
					t.Fatalf("%q: %v, %v", name, m, err)
				}
			}
		}
	})
}

// Whatever a server sends as its answer, the Client and the Recursor take from it only what answers the question.
func FuzzResponse(f *testing.F) {
	q := question{"host.test.", dns.TypeMX}
	for _, s := range []script{
		says(f, "host.test. 60 IN MX 10 mail.test.", "", "mail.test. 60 IN A 192.0.2.1", nil),
		says(f, "host.test. 60 IN CNAME a.test.\na.test. 60 IN MX 0 .", "", "", nil),
		says(f, "", "test. 60 IN SOA ns.test. h.test. 1 2 3 4 5", "", func(m *dns.Msg) { m.Rcode = dns.RcodeNameError }),
		says(f, "", "host.test. 60 IN NS ns.host.test.", "ns.host.test. 60 IN A 192.0.2.1", unauthoritative),
	} {
		f.Add(s("udp", new(dns.Msg).SetQuestion(q.name, q.qtype))[0])
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		m, err := unpack(packet)
		if err != nil {
			return
		}
		answers(m, m.Id, q)
		now := time.Now()
		if r := read(m, q); r.err == nil {
			checkChain(t, r.found, q, ".")
			e := newEntry(r.code, r.found.all(), r.soa, "", now).aged(now.Add(time.Second))
			records(e.rrs)
			if e.ttl > maxTTL {
				t.Fatalf("TTL %d", e.ttl)
			}
		}
		v, err := judge(m, q, "test.")
		if err != nil {
			return
		}
		checkChain(t, v.found, q, "test.")
		v.describe(&Answer{})
		if zone := v.next.zone; v.code == CodeReferral && (!within("test.", zone) || zone == "test." || !within(zone, q.name)) {
			t.Fatalf("referral to %s", zone)
		}
		if len(v.next.servers) > maxServers || len(v.next.hosts) > maxHosts {
			t.Fatalf("%d servers, %d hosts", len(v.next.servers), len(v.next.hosts))
		}
	})
}

// checkChain checks that a chain leads from q's name to its records, within the zone.
func checkChain(t *testing.T, c chain, q question, zone string) {
	at := q.name
	for _, rr := range c.all() {
		if owner := canonical(rr.Header().Name); owner != at || !within(zone, owner) {
			t.Fatalf("%v does not belong to %v", rr, q)
		}
		if cname, ok := rr.(*dns.CNAME); ok {
			at = canonical(cname.Target)
		}
	}
	if len(c.aliases) > maxAliases || at != c.last {
		t.Fatalf("%d aliases to %s, want %s", len(c.aliases), c.last, at)
	}
}

// Whatever a client sends, it gets an answer of the size that it can take, or none.
func FuzzQuery(f *testing.F) {
	packet, _ := new(dns.Msg).SetQuestion("host.test.", dns.TypeMX).SetEdns0(1000, true).Pack()
	f.Add(packet)
	f.Add(packet[:20])
	a := NewAuthority(mustZone(f, "test.", "@ SOA ns h 1 2 3 4 5\nhost MX 10 host\n* CNAME host\n; TIMEOUT late\n"))
	f.Fuzz(func(t *testing.T, packet []byte) {
		answer := handle(t.Context(), packet, "", a, true)
		if answer == nil {
			return
		}
		m, err := unpack(answer)
		if err != nil || !m.Response || [2]byte(answer) != [2]byte(packet) || len(answer) > ednsSize {
			t.Fatalf("%d octets, %v, %v", len(answer), m, err)
		}
	})
}
