package dns

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

const good = "host.test. 60 IN A 192.0.2.9"

// What a hostile or broken server may say, and what the Client makes of it when it asks for host.test's A records
// and a second server knows them as "good".
func TestClientAgainstServers(t *testing.T) {
	t.Parallel()
	soa := "test. 100 IN SOA ns.test. h.test. 1 2 3 4 50"
	for name, c := range map[string]struct {
		first script
		want  string
		asked string // networks used with the first server
	}{
		"good": {says(t, good, "", "", nil), "NOERROR " + good, "udp"},
		"mixed case": {says(t, "HOST.Test. 60 IN A 192.0.2.8", "", "", func(m *dns.Msg) {
			m.Question[0].Name = "HoSt.TEST."
		}), "NOERROR HOST.Test. 60 IN A 192.0.2.8", "udp"},
		"does not exist":         {says(t, "", soa, "", func(m *dns.Msg) { m.Rcode = dns.RcodeNameError }), "NXDOMAIN", "udp"},
		"does not exist, no SOA": {fails(t, dns.RcodeNameError), "NXDOMAIN", "udp"},
		"no data":                {says(t, "", soa, "", nil), "NODATA", "udp"},
		"no data, no SOA":        {says(t, "", "", "", nil), "NODATA", "udp"},
		"alias": {says(t, "host.test. 9 IN CNAME b.test.\nb.test. 60 IN A 192.0.2.8", "", "", nil),
			"NOERROR host.test. 9 IN CNAME b.test. | b.test. 60 IN A 192.0.2.8", "udp"},
		"alias, reversed": {says(t, "b.test. 60 IN A 192.0.2.8\nhost.test. 9 IN CNAME b.test.", "", "", nil),
			"NOERROR host.test. 9 IN CNAME b.test. | b.test. 60 IN A 192.0.2.8", "udp"},
		"alias without data": {says(t, "host.test. 9 IN CNAME b.test.", soa, "", nil),
			"NODATA host.test. 9 IN CNAME b.test.", "udp"},
		"alias to nothing": {says(t, "host.test. 9 IN CNAME b.test.", soa, "", func(m *dns.Msg) { m.Rcode = dns.RcodeNameError }),
			"NXDOMAIN host.test. 9 IN CNAME b.test.", "udp"},
		"other records too": {says(t, good+"\nbank.test. 60 IN A 192.0.2.66\nhost.test. 60 IN TXT x", "", "bank.test. 60 IN A 192.0.2.66", nil),
			"NOERROR " + good, "udp"},
		"only other records": {says(t, "bank.test. 60 IN A 192.0.2.66", "", "", nil), "NODATA", "udp"},
		"duplicates":         {says(t, good+"\n"+good, "", "", nil), "NOERROR " + good, "udp"},
		"other class":        {says(t, "host.test. 60 CH A 192.0.2.66", "", "", nil), "NODATA", "udp"},
		"TTL of 68 years":    {says(t, "host.test. 4294967295 IN A 192.0.2.9", "", "", nil), "NOERROR host.test. 0 IN A 192.0.2.9", "udp"},
		"TTL of a year":      {says(t, "host.test. 31536000 IN A 192.0.2.9", "", "", nil), "NOERROR host.test. 604800 IN A 192.0.2.9", "udp"},

		"circle":        {says(t, "host.test. 9 IN CNAME b.test.\nb.test. 9 IN CNAME host.test.", "", "", nil), "next", "udp"},
		"two aliases":   {says(t, "host.test. 9 IN CNAME b.test.\nhost.test. 9 IN CNAME c.test.", "", "", nil), "next", "udp"},
		"SERVFAIL":      {fails(t, dns.RcodeServerFailure), "next", "udp"},
		"REFUSED":       {fails(t, dns.RcodeRefused), "next", "udp"},
		"unknown RCODE": {fails(t, 12), "next", "udp"},
		"referral": {says(t, "", "test. 60 IN NS ns.test.", "", func(m *dns.Msg) { m.RecursionAvailable = false }),
			"next", "udp"},
		"does not recurse":   {says(t, "", "", "", func(m *dns.Msg) { m.RecursionAvailable = false }), "next", "udp"},
		"silence":            {silence, "next", "udp"},
		"wrong id":           {says(t, good, "", "", func(m *dns.Msg) { m.Id++ }), "next", "udp"},
		"wrong name":         {says(t, good, "", "", func(m *dns.Msg) { m.Question[0].Name = "bank.test." }), "next", "udp"},
		"wrong type":         {says(t, good, "", "", func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeAAAA }), "next", "udp"},
		"wrong class":        {says(t, good, "", "", func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }), "next", "udp"},
		"no question":        {says(t, good, "", "", func(m *dns.Msg) { m.Question = nil }), "next", "udp"},
		"not an answer":      {says(t, good, "", "", func(m *dns.Msg) { m.Response = false }), "next", "udp"},
		"other opcode":       {says(t, good, "", "", func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }), "next", "udp"},
		"strays, then good":  {strays(t, maxStray-1), "NOERROR " + good, "udp"},
		"malformed stray":    {scrapFirst(t), "NOERROR " + good, "udp"},
		"too many strays":    {strays(t, maxStray), "NOERROR " + good, "udp tcp"},
		"cut short":          {cut(says(t, good, "", "", nil), -3), "next", "udp"},
		"header only":        {cut(says(t, good, "", "", nil), headerOctets), "next", "udp"},
		"scrap":              {cut(says(t, good, "", "", nil), 5), "next", "udp"},
		"empty records":      {emptyRecord(t), "next", "udp"},
		"too many records":   {says(t, many(maxRecords+1), "", "", func(m *dns.Msg) { m.Compress = true }), "next", "udp"},
		"truncated":          {truncated(says(t, good, "", "", nil)), "NOERROR " + good, "udp tcp"},
		"truncated for ever": {says(t, good, "", "", func(m *dns.Msg) { m.Truncated = true }), "next", "udp tcp"},
		"huge":               {truncated(says(t, many(300), "", "", nil)), "NOERROR " + strings.ReplaceAll(many(300), "\n", " | "), "udp tcp"},
		"no EDNS":            {noEDNS(t), "NOERROR " + good, "udp udp"},
		"FORMERR":            {fails(t, dns.RcodeFormatError), "next", "udp udp"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &scripted{servers: map[string]script{first: c.first, second: says(t, "host.test. 60 IN A 192.0.2.10", "", "", nil)}}
				got, _ := in(t, s.client(first, second), "host.test", "A")
				asked := s.take()
				want := c.want
				if want == "next" {
					want = "NOERROR host.test. 60 IN A 192.0.2.10"
				}
				if got != want {
					t.Errorf("got  %s\nwant %s", got, want)
				}
				var networks []string
				for line := range strings.SplitSeq(asked, ", ") {
					if network, rest, _ := strings.Cut(line, " "); strings.HasPrefix(rest, first) {
						networks = append(networks, network)
					}
				}
				if strings.Join(networks, " ") != c.asked || (c.want == "next") != strings.Contains(asked, second) {
					t.Errorf("asked %s, want the first by %s", asked, c.asked)
				}
			})
		})
	}
}

// strays answers over UDP with n messages that have the right id, but answer another question, before the right one.
func strays(t *testing.T, n int) script {
	return func(network string, query *dns.Msg) [][]byte {
		var packets [][]byte
		if network == "udp" {
			for range n {
				stray := says(t, good, "", "", func(m *dns.Msg) { m.Question[0].Name = "bank.test." })
				packets = append(packets, stray(network, query)...)
			}
		}
		return append(packets, says(t, good, "", "", nil)(network, query)...)
	}
}

// scrapFirst sends a malformed message with another id before the answer.
func scrapFirst(t *testing.T) script {
	return func(network string, query *dns.Msg) [][]byte {
		packets := says(t, good, "", "", nil)(network, query)
		scrap := append([]byte{packets[0][0] ^ 1}, packets[0][1:20]...)
		return [][]byte{scrap, packets[0]}
	}
}

// cut sends the first n octets only; all but -n if it is negative.
func cut(s script, n int) script {
	return func(network string, query *dns.Msg) [][]byte {
		packets := s(network, query)
		end := n
		if n < 0 {
			end += len(packets[0])
		}
		packets[0] = packets[0][:end]
		return packets
	}
}

// truncated answers over TCP, and over UDP with the TC bit and an octet too few.
func truncated(s script) script {
	return func(network string, query *dns.Msg) [][]byte {
		packets := s(network, query)
		if network == "udp" {
			packets[0] = packets[0][:min(len(packets[0]), ednsSize)-1]
			packets[0][2] |= 0x02
		}
		return packets
	}
}

// emptyRecord answers with an A record without an address.
func emptyRecord(t *testing.T) script {
	return says(t, "", "", "", func(m *dns.Msg) {
		m.Answer = []dns.RR{&dns.RR_Header{Name: "host.test.", Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}}
	})
}

// noEDNS answers FORMERR to queries with EDNS, as servers did that know RFC 1035 only.
func noEDNS(t *testing.T) script {
	return func(network string, query *dns.Msg) [][]byte {
		if query.IsEdns0() != nil {
			return fails(t, dns.RcodeFormatError)(network, query)
		}
		return says(t, good, "", "", nil)(network, query)
	}
}

func many(n int) string {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = fmt.Sprintf("host.test. 60 IN A 10.0.%d.%d", i/256, i%256)
	}
	return strings.Join(lines, "\n")
}

// SERVFAIL, silence and the like are temporary: nothing but a definite answer makes a name missing.
func TestClientTemporary(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		script script
		want   string
		text   string
	}{
		"SERVFAIL": {fails(t, dns.RcodeServerFailure), CodeServFail, "192.0.2.1:53: SERVFAIL"},
		"REFUSED":  {fails(t, dns.RcodeRefused), CodeRefused, "192.0.2.1:53: REFUSED"},
		"silence":  {silence, CodeTimeout, "192.0.2.1:53: TIMEOUT"},
		"nobody":   {nil, CodeUnreachable, "connection refused"},
		"scraps":   {cut(says(t, good, "", "", nil), -3), CodeMalformed, "malformed message"},
		"lame":     {says(t, "", "test. 60 IN NS ns.test.", "", nil), CodeLame, "neither knows the name"},
		"circle":   {says(t, "host.test. 9 IN CNAME host.test.", "", "", nil), CodeLoop, "circle"},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &scripted{servers: map[string]script{first: c.script}}
			if c.script == nil {
				s.servers = nil
			}
			got, err := in(t, s.client(first), "host.test", "A")
			if got != c.want || !strings.Contains(fmt.Sprint(err), c.text) {
				t.Errorf("%s: %s, %v; want %s, %q", name, got, err, c.want, c.text)
			}
			if n := strings.Count(s.take(), first); n != defaultAttempts {
				t.Errorf("%s: asked %d times", name, n)
			}
		})
	}
	c := NewClient(ClientOptions{})
	if got, err := in(t, c, "host.test", "A"); got != CodeUnreachable {
		t.Errorf("without servers: %s, %v", got, err)
	}
}

func TestClientNames(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{servers: map[string]script{first: fails(t, dns.RcodeNameError)}}
		c := s.client(first)
		long := strings.Repeat("a", 63)
		for name, want := range map[string]string{
			"host.test": CodeNXDomain, "host.test.": CodeNXDomain, ".": CodeNXDomain, "a_b.test": CodeNXDomain,
			"": CodeBadName, "..": CodeBadName, ".test": CodeBadName, "a..test": CodeBadName, "b\u00fccher.test": CodeBadName,
			"a b.test": CodeBadName, "a\r\nb.test": CodeBadName, long + "a.test": CodeBadName, long + ".test": CodeNXDomain,
			strings.Repeat(long+".", 4): CodeBadName, strings.Repeat(long+".", 3) + long[2:]: CodeNXDomain,
		} {
			if got, _ := in(t, c, name, "A"); got != want {
				t.Errorf("%.20q: %s, want %s", name, got, want)
			}
		}
		if got, err := in(t, c, "host.test", "NOTYPE"); got != CodeServFail {
			t.Errorf("unknown type: %s, %v", got, err)
		}
	})
}

// RFC 1034 §3.6.1, RFC 2308 §5: answers are kept for their TTL, which counts down, negative ones for the SOA's.
func TestClientCaches(t *testing.T) {
	t.Parallel()
	soa := "test. 100 IN SOA ns.test. h.test. 1 2 3 4 50"
	nx := func(m *dns.Msg) { m.Rcode = dns.RcodeNameError }
	for name, c := range map[string]struct {
		script script
		ttl    uint32
	}{
		"records":            {says(t, good, "", "", nil), 60},
		"smallest":           {says(t, "host.test. 9 IN CNAME b.test.\nb.test. 60 IN A 192.0.2.8", "", "", nil), 9},
		"of a set":           {says(t, good+"\nhost.test. 7 IN A 192.0.2.8", "", "", nil), 7},
		"zero":               {says(t, "host.test. 0 IN A 192.0.2.8", "", "", nil), 0},
		"NODATA":             {says(t, "", soa, "", nil), 50},
		"NXDOMAIN":           {says(t, "", soa, "", nx), 50},
		"SOA's own TTL":      {says(t, "", "test. 30 IN SOA ns.test. h.test. 1 2 3 4 50", "", nx), 30},
		"longest negative":   {says(t, "", "test. 999999 IN SOA ns.test. h.test. 1 2 3 4 999999", "", nx), maxNegativeTTL},
		"NXDOMAIN, no SOA":   {says(t, "", "", "", nx), 0},
		"SOA of others":      {says(t, "", "other. 100 IN SOA ns.test. h.test. 1 2 3 4 50", "", nx), 0},
		"alias to nothing":   {says(t, "host.test. 9 IN CNAME b.test.", soa, "", nx), 9},
		"alias without data": {says(t, "host.test. 900 IN CNAME b.test.", soa, "", nil), 50},
		"SERVFAIL":           {fails(t, dns.RcodeServerFailure), 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &scripted{servers: map[string]script{first: c.script}}
			client := s.client(first)
			fresh, _ := client.Lookup(t.Context(), "host.test", "A")
			if fresh.TTL != c.ttl || fresh.Cached || fresh.Server != first || fresh.Name != "host.test" || fresh.Type != "A" {
				t.Errorf("%s: %+v", name, fresh)
			}
			s.take()
			for _, wait := range []uint32{0, c.ttl / 2, c.ttl - c.ttl/2 - 1} {
				if c.ttl == 0 {
					break
				}
				time.Sleep(time.Duration(wait) * time.Second)
				a, _ := client.Lookup(t.Context(), "HOST.test.", "a")
				age := uint32(time.Since(fresh.At) / time.Second)
				if !a.Cached || a.TTL != c.ttl-age || a.Code != fresh.Code || len(a.Records) != len(fresh.Records) {
					t.Errorf("%s: after %d s: %+v", name, age, a)
				}
				for i, r := range a.Records {
					if r.TTL != fresh.Records[i].TTL-age {
						t.Errorf("%s: after %d s: %s", name, age, r)
					}
				}
			}
			if asked := s.take(); asked != "" {
				t.Errorf("%s: asked %s", name, asked)
			}
			time.Sleep(time.Second)
			if a, _ := client.Lookup(t.Context(), "host.test", "A"); a.Cached || s.take() == "" {
				t.Errorf("%s: kept for too long: %+v", name, a)
			}
		})
	}
}

// RFC 2308 §5: that a name does not exist is known for all types; that it has no data, only for its own.
func TestClientCachesNamesThatDoNotExist(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		soa := "test. 100 IN SOA ns.test. h.test. 1 2 3 4 50"
		s := &scripted{servers: map[string]script{
			first: says(t, "", soa, "", func(m *dns.Msg) {
				if m.Question[0].Name == "gone.test." {
					m.Rcode = dns.RcodeNameError
				}
			}),
		}}
		c := s.client(first)
		for _, name := range []string{"gone.test", "there.test"} {
			for _, typ := range []string{"MX", "A"} {
				in(t, c, name, typ)
			}
		}
		want := "udp " + first + " gone.test MX, udp " + first + " there.test MX, udp " + first + " there.test A"
		if asked := s.take(); asked != want {
			t.Errorf("asked %s, want %s", asked, want)
		}
	})
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	c := newCache(10)
	now := time.Now()
	put := func(name string, n int) {
		rrs := rr(t, many(n))
		c.put(question{name, dns.TypeA}, newEntry(CodeNoError, rrs, nil, first, now))
	}
	has := func(name string) bool {
		_, ok := c.get(question{name, dns.TypeA}, now)
		return ok
	}
	for i := range 20 {
		put(fmt.Sprint(i), 1)
		has("0") // used, so it stays
	}
	if !has("0") || has("10") || !has("11") || c.order.Len() != 10 || len(c.byKey) != 10 || c.held != 10 {
		t.Errorf("%d entries, %d records", c.order.Len(), c.held)
	}
	put("big", 10*recordsPerEntry-1)
	if c.order.Len() != 2 || c.held != 10*recordsPerEntry {
		t.Errorf("%d entries, %d records", c.order.Len(), c.held)
	}
	put("bigger", 10*recordsPerEntry+1)
	if has("bigger") || !has("big") {
		t.Error("an entry larger than the cache went in")
	}
	put("big", 1)
	c.drop(question{"11", dns.TypeA})
	if c.held != 1 {
		t.Errorf("%d records, want 1", c.held)
	}
}

// A server that leaves the end of an alias to us is asked for it.
func TestClientFollowsAliases(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{servers: map[string]script{first: func(network string, query *dns.Msg) [][]byte {
			var n int
			answer := ""
			switch name := query.Question[0].Name; {
			case name == "a1.test.":
				answer = "a1.test. 9 IN A 192.0.2.1"
			case name == "c.test.":
				answer = "c.test. 9 IN CNAME d.test."
			case name == "d.test.":
				answer = "d.test. 9 IN CNAME c.test."
			default:
				fmt.Sscanf(name, "a%d.test.", &n)
				answer = fmt.Sprintf("a%d.test. 9 IN CNAME a%d.test.", n, n-1)
			}
			return says(t, answer, "", "", nil)(network, query)
		}}}
		c := s.client(first)
		if got, _ := in(t, c, "a3.test", "A"); got != "NOERROR a3.test. 9 IN CNAME a2.test. | a2.test. 9 IN CNAME a1.test. | a1.test. 9 IN A 192.0.2.1" {
			t.Error(got)
		}
		if got, _ := in(t, c, fmt.Sprintf("a%d.test", maxAliases), "A"); !strings.HasPrefix(got, CodeNoError) {
			t.Error(got)
		}
		for _, name := range []string{"a1000000.test", "c.test"} {
			s.take()
			if got, err := in(t, c, name, "A"); !strings.HasPrefix(got, CodeLoop) {
				t.Errorf("%s: %s, %v", name, got, err)
			}
			if n := strings.Count(s.take(), "udp"); n > maxAliases {
				t.Errorf("%s: %d questions", name, n)
			}
		}
	})
}

// A server that does not answer is asked last for a while.
func TestClientRestsSilentServers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{servers: map[string]script{first: silence, second: says(t, "", "", "", nil)}}
		c := s.client(first, second)
		ask := func(name, want string) {
			t.Helper()
			in(t, c, name, "A")
			if asked := s.take(); asked != want {
				t.Errorf("asked %s, want %s", asked, want)
			}
		}
		ask("a.test", "udp "+first+" a.test A, udp "+second+" a.test A")
		ask("b.test", "udp "+second+" b.test A")
		time.Sleep(restTime)
		ask("c.test", "udp "+first+" c.test A, udp "+second+" c.test A")
	})
}

// Callers with the same question share the answer; none waits longer than its own deadline, and the question goes
// on for as long as anybody waits.
func TestClientShares(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{servers: map[string]script{first: func(network string, query *dns.Msg) [][]byte {
			time.Sleep(3 * time.Second)
			return says(t, good, "", "", nil)(network, query)
		}}}
		c := s.client(first)
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if a, err := c.Lookup(t.Context(), "host.test", "A"); err != nil || a.Took != 3*time.Second {
					t.Errorf("%+v, %v", a, err)
				}
			})
		}
		wg.Go(func() {
			a, err := c.Lookup(impatient, "host.test", "A")
			if !errors.Is(err, context.DeadlineExceeded) || a.Code != CodeTimeout || a.Took != time.Second {
				t.Errorf("%+v, %v", a, err)
			}
		})
		wg.Wait()
		if asked := s.take(); strings.Count(asked, "udp") != 1 {
			t.Errorf("asked %s", asked)
		}
		alone, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		c.Lookup(alone, "other.test", "A")
		synctest.Wait()
		if len(c.flights.running) != 0 {
			t.Error("a question that nobody waits for goes on")
		}
		time.Sleep(time.Minute) // lets the server end
	})
}

// Addresses are not to be had only if both questions say so; what only one of them can tell is used.
func TestAddrsOfHalfAnAnswer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		a, aaaa script
		want    string
	}{
		"A fails":    {fails(t, dns.RcodeServerFailure), says(t, "", "", "", nil), "[] temporary"},
		"AAAA fails": {says(t, "", "", "", nil), fails(t, dns.RcodeServerFailure), "[] temporary"},
		"both fail":  {fails(t, dns.RcodeServerFailure), fails(t, dns.RcodeServerFailure), "[] temporary"},
		"none":       {says(t, "", "", "", nil), says(t, "", "", "", nil), "[] not found"},
		"A alone":    {says(t, good, "", "", nil), fails(t, dns.RcodeServerFailure), "[192.0.2.9]"},
		"AAAA alone": {fails(t, dns.RcodeServerFailure), says(t, "host.test. 60 IN AAAA 2001:db8::1", "", "", nil), "[2001:db8::1]"},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &scripted{servers: map[string]script{first: func(network string, query *dns.Msg) [][]byte {
				if query.Question[0].Qtype == dns.TypeA {
					return c.a(network, query)
				}
				return c.aaaa(network, query)
			}}}
			addrs, answers, err := s.client(first).Addrs(t.Context(), "host.test")
			got := fmt.Sprint(addrs)
			if errors.Is(err, ErrNotFound) {
				got += " not found"
			} else if err != nil {
				got += " temporary"
			}
			if got != c.want || len(answers) != 2 {
				t.Errorf("%s: %s, want %s (%v)", name, got, c.want, err)
			}
		})
	}
}
