package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// internet is a few name servers on sockets of this machine, reached by the addresses that the zones name.
type internet struct {
	mu      sync.Mutex
	sockets map[string]string // logical → real
	seen    []Resolution
}

func (n *internet) dial(ctx context.Context, network, address string) (net.Conn, error) {
	n.mu.Lock()
	real, ok := n.sockets[address]
	n.mu.Unlock()
	if !ok {
		return nil, errNoServer
	}
	return (&net.Dialer{}).DialContext(ctx, network, real)
}

// add runs a server with zones at a logical address.
func (n *internet) add(t testing.TB, host string, zones ...*Zone) running {
	s := run(t, host, NewAuthority(zones...))
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sockets[serverAt(host)] = s.addr
	return s
}

func (n *internet) observe(r Resolution) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.seen = append(n.seen, r)
}

// take returns the resolutions since the last call.
func (n *internet) take() []Resolution {
	n.mu.Lock()
	defer n.mu.Unlock()
	seen := n.seen
	n.seen = nil
	return seen
}

// steps puts a resolution's steps into words: "root: REFERRAL com., …".
func steps(r Resolution) string {
	var words []string
	for _, s := range r.Steps {
		server := "(cache)"
		if !s.Cached {
			server = strings.TrimSuffix(s.Server, ":53")
		}
		word := server + " " + s.Name + " " + s.Type + " " + s.Code
		if s.Code == CodeReferral {
			word += " " + s.Records[0].Name
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}

const soaLine = "@ 3600 SOA ns hostmaster 1 1800 900 604800 300\n"

// newInternet starts a root (127.0.0.101), com. (102), two servers of example.com. (103; 104 is broken), other.com.
// (105), whose name server's address only com. knows by looking, and a Recursor (120) with a Client.
func newInternet(t testing.TB) (*internet, *Client, running) {
	n := &internet{sockets: map[string]string{}}
	n.add(t, "127.0.0.101", mustZone(t, ".", `
@ 3600 SOA ns.root. h.root. 1 1800 900 604800 300
com.     7200 NS ns.com.
ns.com.  7200 A  127.0.0.102
bad.          NS ns.bad.
ns.bad.       A  127.0.0.199
`))
	n.add(t, "127.0.0.102", mustZone(t, "com.", soaLine+`
@           NS ns
ns          A  127.0.0.102
example     600 NS ns1.example
example     600 NS ns2.example
ns1.example A  127.0.0.103
ns2.example A  127.0.0.104
other       NS ns.example
lame        NS ns.lame
ns.lame     A  127.0.0.103
loop1       NS ns.loop2
loop2       NS ns.loop1
noglue      NS ns.noglue
`))
	n.add(t, "127.0.0.103", mustZone(t, "example.com.", soaLine+`
@      NS ns1
@      NS ns2
@      60 MX 10 mail
mail   60 A  127.0.0.113
www    30 CNAME mail
far    CNAME there.other.com.
faraway CNAME gone.other.com.
ns     A  127.0.0.105
ns1    A  127.0.0.103
circle CNAME circle.other.com.
; SERVFAIL broken
big    TXT `+strings.Repeat("\""+strings.Repeat("x", 200)+"\" ", 20)+"\n"))
	n.add(t, "127.0.0.105", mustZone(t, "other.com.", soaLine+`
@      NS ns.example.com.
there  A  192.0.2.1
circle CNAME circle.example.com.
`))
	r := NewRecursor(RecursorOptions{
		Roots: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.101:53")}, Dial: n.dial, Observe: n.observe,
		Timeout: 10 * time.Second, Limit: time.Minute, // a busy machine is no dead server
	})
	s := run(t, "127.0.0.120", r)
	n.mu.Lock()
	n.sockets["127.0.0.120:53"] = s.addr
	n.mu.Unlock()
	c := NewClient(ClientOptions{Servers: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.120:53")}, Dial: n.dial, Timeout: time.Minute})
	return n, c, s
}

func TestRecursor(t *testing.T) {
	t.Parallel()
	n, c, _ := newInternet(t)
	for _, q := range []struct{ name, typ, want, steps string }{
		{"example.com", "MX", "NOERROR example.com. 60 IN MX 10 mail.example.com.",
			"127.0.0.101 example.com MX REFERRAL com., 127.0.0.102 example.com MX REFERRAL example.com., 127.0.0.103 example.com MX NOERROR"},
		{"mail.example.com", "A", "NOERROR mail.example.com. 60 IN A 127.0.0.113",
			"(cache) mail.example.com A REFERRAL example.com., 127.0.0.103 mail.example.com A NOERROR"},
		{"www.example.com", "A", "NOERROR www.example.com. 30 IN CNAME mail.example.com. | mail.example.com. 60 IN A 127.0.0.113",
			"(cache) www.example.com A REFERRAL example.com., 127.0.0.103 www.example.com A NOERROR"},
		{"mail.example.com", "AAAA", "NODATA", "(cache) mail.example.com AAAA REFERRAL example.com., 127.0.0.103 mail.example.com AAAA NODATA"},
		{"gone.example.com", "A", "NXDOMAIN", "(cache) gone.example.com A REFERRAL example.com., 127.0.0.103 gone.example.com A NXDOMAIN"},
		{"gone", "MX", "NXDOMAIN", "127.0.0.101 gone MX NXDOMAIN"},
		{"com", "NS", "NOERROR com. 3600 IN NS ns.com.", "(cache) com NS REFERRAL com., 127.0.0.102 com NS NOERROR"},
		{"there.other.com", "A", "NOERROR there.other.com. 3600 IN A 192.0.2.1",
			"(cache) there.other.com A REFERRAL com., 127.0.0.102 there.other.com A REFERRAL other.com., " +
				"(cache) ns.example.com A REFERRAL example.com., 127.0.0.103 ns.example.com A NOERROR, 127.0.0.105 there.other.com A NOERROR"},
		{"far.example.com", "A", "NOERROR far.example.com. 30 IN CNAME there.other.com. | there.other.com. 3600 IN A 192.0.2.1",
			"(cache) far.example.com A REFERRAL example.com., 127.0.0.103 far.example.com A NOERROR, (cache) there.other.com A NOERROR"},
		{"faraway.example.com", "A", "NXDOMAIN faraway.example.com. 30 IN CNAME gone.other.com.", ""},
		{"circle.example.com", "A", "SERVFAIL", ""},
		{"broken.example.com", "A", "SERVFAIL",
			"(cache) broken.example.com A REFERRAL example.com., 127.0.0.103 broken.example.com A SERVFAIL, 127.0.0.104 broken.example.com A UNREACHABLE"},
		{"x.lame.com", "A", "SERVFAIL",
			"(cache) x.lame.com A REFERRAL com., 127.0.0.102 x.lame.com A REFERRAL lame.com., 127.0.0.103 x.lame.com A REFUSED"},
		{"x.bad", "A", "SERVFAIL", "127.0.0.101 x.bad A REFERRAL bad., 127.0.0.199 x.bad A UNREACHABLE"},
		{"x.loop1.com", "A", "SERVFAIL", ""},
		{"x.noglue.com", "A", "SERVFAIL", ""},
	} {
		t.Run(q.name+" "+q.typ, func(t *testing.T) {
			n.take()
			got, _ := in(t, c, q.name, q.typ)
			seen := n.take()
			if got != q.want || len(seen) == 0 {
				t.Fatalf("got %s, want %s, %d questions", got, q.want, len(seen))
			}
			r := seen[0]
			if q.steps != "" && steps(r) != q.steps {
				t.Errorf("steps\n%s\nwant\n%s", strings.ReplaceAll(steps(r), ", ", "\n"), strings.ReplaceAll(q.steps, ", ", "\n"))
			}
			if r.Name != q.name || r.Type != q.typ || r.Cached || r.At.IsZero() || r.Took <= 0 || r.Code != strings.Fields(q.want)[0] {
				t.Errorf("%+v", r)
			}
			if _, err := netip.ParseAddrPort(r.Client); err != nil {
				t.Error(err)
			}
		})
	}
}

// What is cached is answered without asking anybody, and the evidence says so.
func TestRecursorCaches(t *testing.T) {
	t.Parallel()
	n, c, _ := newInternet(t)
	for _, q := range []struct{ name, typ, want string }{
		{"www.example.com", "A", "NOERROR"}, {"gone.example.com", "A", "NXDOMAIN"}, {"mail.example.com", "MX", "NODATA"},
	} {
		for _, cached := range []bool{false, true} {
			c.cache = newCache(1) // the Client's own must not help
			n.take()
			got, _ := in(t, c, q.name, q.typ)
			seen := n.take()
			if !strings.HasPrefix(got, q.want) || len(seen) != 1 || seen[0].Cached != cached {
				t.Fatalf("%s: %s, %+v", q.name, got, seen)
			}
			if all := !slices.ContainsFunc(seen[0].Steps, func(a Answer) bool { return !a.Cached }); all != cached {
				t.Errorf("%s: steps %s", q.name, steps(seen[0]))
			}
		}
	}
}

func TestRecursorOverTCP(t *testing.T) {
	t.Parallel()
	_, c, _ := newInternet(t)
	a, err := c.Lookup(t.Context(), "big.example.com", "TXT")
	if err != nil || len(a.Records) != 1 || len(a.Records[0].Data) < 4000 {
		t.Errorf("%v, %d records", err, len(a.Records))
	}
}

func TestRecursorRefuses(t *testing.T) {
	t.Parallel()
	_, _, s := newInternet(t)
	for name, c := range map[string]struct {
		change func(*dns.Msg)
		want   int
	}{
		"recursion not desired": {func(m *dns.Msg) { m.RecursionDesired = false }, dns.RcodeRefused},
		"ANY":                   {func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeANY }, dns.RcodeNotImplemented},
		"good":                  {func(*dns.Msg) {}, dns.RcodeSuccess},
	} {
		query := new(dns.Msg).SetQuestion("example.com.", dns.TypeMX)
		c.change(query)
		packet, _ := query.Pack()
		m, err := unpack(roundTrip(t, s.addr, packet))
		if err != nil || m.Rcode != c.want || c.want == 0 && (!m.RecursionAvailable || m.Authoritative) {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
}

// recursor returns a Recursor on a scripted network, with its root at 192.0.2.1.
func (s *scripted) recursor() *Recursor {
	return NewRecursor(RecursorOptions{Dial: s.dial, Roots: []netip.AddrPort{netip.MustParseAddrPort(first)}})
}

// ask asks a Recursor, and returns its answer as "RCODE record | record" with the Resolution.
func (r *Recursor) ask(t *testing.T, name string, qtype uint16) (string, Resolution) {
	var seen Resolution
	r.observe = func(res Resolution) { seen = res }
	m := r.respond(t.Context(), new(dns.Msg).SetQuestion(name, qtype), "192.0.2.99:1")
	var text []string
	for _, r := range records(m.Answer) {
		text = append(text, r.String())
	}
	return strings.TrimSpace(codeOf(m.Rcode) + " " + strings.Join(text, " | ")), seen
}

func authoritative(m *dns.Msg)   { m.Authoritative, m.RecursionAvailable = true, false }
func unauthoritative(m *dns.Msg) { m.Authoritative, m.RecursionAvailable = false, false }

// What a server that test. is delegated to may say about host.test, and what a Recursor makes of it; a second server
// of test. knows the answer.
func TestRecursorAgainstServers(t *testing.T) {
	t.Parallel()
	soa := "test. 100 IN SOA ns.test. h.test. 1 2 3 4 50"
	const next = "NOERROR host.test. 60 IN A 192.0.2.10"
	for name, c := range map[string]struct {
		script script
		want   string
		code   string // of the step
	}{
		"good":               {says(t, good, "", "", authoritative), "NOERROR " + good, CodeNoError},
		"not authoritative":  {says(t, good, "", "", unauthoritative), next, CodeLame},
		"NXDOMAIN":           {says(t, "", soa, "", func(m *dns.Msg) { authoritative(m); m.Rcode = dns.RcodeNameError }), "NXDOMAIN", CodeNXDomain},
		"NXDOMAIN, not auth": {says(t, "", soa, "", func(m *dns.Msg) { unauthoritative(m); m.Rcode = dns.RcodeNameError }), next, CodeLame},
		"NODATA":             {says(t, "", soa, "", authoritative), "NOERROR", CodeNoData},
		"NODATA, not auth":   {says(t, "", soa, "", unauthoritative), next, CodeLame},
		"empty":              {says(t, "", "", "", unauthoritative), next, CodeLame},
		"upward":             {says(t, "", ". 60 IN NS ns.evil.", "ns.evil. 60 IN A 192.0.2.66", unauthoritative), next, CodeLame},
		"to itself":          {says(t, "", "test. 60 IN NS ns.test.", "ns.test. 60 IN A 192.0.2.66", unauthoritative), next, CodeLame},
		"sideways":           {says(t, "", "bank.test. 60 IN NS ns.evil.", "ns.evil. 60 IN A 192.0.2.66", unauthoritative), next, CodeLame},
		"out of bailiwick":   {says(t, "bank. 60 IN A 192.0.2.66", "", "", authoritative), "NOERROR", CodeNoData},
		"SERVFAIL":           {fails(t, dns.RcodeServerFailure), next, CodeServFail},
		"silence":            {silence, next, CodeTimeout},
		"circle":             {says(t, "host.test. 9 IN CNAME host.test.", "", "", authoritative), next, CodeLoop},
		"alias within, and data from outside": {
			says(t, "host.test. 9 IN CNAME host.bank.\nhost.bank. 60 IN A 192.0.2.66", "", "", authoritative),
			"NOERROR host.test. 9 IN CNAME host.bank. | host.bank. 60 IN A 192.0.2.77", CodeNoError},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &scripted{servers: map[string]script{
				first: func(network string, query *dns.Msg) [][]byte {
					if query.RecursionDesired {
						t.Error("a Recursor does the work itself")
					}
					if query.Question[0].Name == "host.bank." {
						return says(t, "host.bank. 60 IN A 192.0.2.77", "", "", authoritative)(network, query)
					}
					return says(t, "", "test. 60 IN NS ns1.test.\ntest. 60 IN NS ns2.test.",
						"ns1.test. 60 IN A 192.0.2.2\nns2.test. 60 IN A 192.0.2.3", unauthoritative)(network, query)
				},
				second:         c.script,
				"192.0.2.3:53": says(t, "host.test. 60 IN A 192.0.2.10", "", "", authoritative),
			}}
			got, r := s.recursor().ask(t, "host.test.", dns.TypeA)
			if got != c.want {
				t.Errorf("%s: %s, want %s", name, got, c.want)
			}
			if i := slices.IndexFunc(r.Steps, func(a Answer) bool { return a.Server == second }); i < 0 || r.Steps[i].Code != c.code {
				t.Errorf("%s: steps %s, want %s", name, steps(r), c.code)
			}
			if asked := s.take(); strings.Contains(asked, "192.0.2.66") {
				t.Errorf("%s: asked a server that an impostor named: %s", name, asked)
			}
		})
	}
}

// Addresses of name servers come only from who may speak for them, and never become answers.
func TestRecursorGlue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{servers: map[string]script{
			first: func(network string, query *dns.Msg) [][]byte {
				if within("bank.", query.Question[0].Name) {
					return says(t, "", "bank. 60 IN NS ns.bank.", "ns.bank. 60 IN A 192.0.2.3", unauthoritative)(network, query)
				}
				return says(t, "", "test. 60 IN NS ns.test.", "ns.test. 60 IN A 192.0.2.2", unauthoritative)(network, query)
			},
			second: func(network string, query *dns.Msg) [][]byte { // test.'s own: delegates sub.test. with bank.'s server
				if !within("sub.test.", query.Question[0].Name) {
					return says(t, query.Question[0].Name+" 60 IN A 192.0.2.9", "", "", authoritative)(network, query)
				}
				return says(t, "", "sub.test. 60 IN NS ns.bank.", "ns.bank. 60 IN A 192.0.2.66", unauthoritative)(network, query)
			},
			"192.0.2.3:53": func(network string, query *dns.Msg) [][]byte {
				answer := query.Question[0].Name + " 60 IN A 192.0.2.3"
				return says(t, answer, "", "", authoritative)(network, query)
			},
		}}
		r := s.recursor()
		got, res := r.ask(t, "host.sub.test.", dns.TypeA)
		if got != "NOERROR host.sub.test. 60 IN A 192.0.2.3" {
			t.Errorf("%s: %s", got, steps(res))
		}
		// ns.test. came as glue of the root's referral: its own server is asked all the same.
		if got, res := r.ask(t, "ns.test.", dns.TypeA); got != "NOERROR ns.test. 60 IN A 192.0.2.9" {
			t.Errorf("%s: %s", got, steps(res))
		}
		if asked := s.take(); strings.Contains(asked, "192.0.2.66") {
			t.Errorf("asked %s", asked)
		}
	})
}

// Endless referrals, and delegations to a crowd of servers, cost a bounded number of questions.
func TestRecursorIsBounded(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("a.", 100) + "test."
	var depth atomic.Int32
	for name, server := range map[string]script{
		"one label after another": func(network string, query *dns.Msg) [][]byte {
			labels := dns.SplitDomainName(query.Question[0].Name)
			down := int(depth.Add(1))
			zone := strings.Join(labels[max(0, len(labels)-down):], ".") + "."
			return says(t, "", zone+" 60 IN NS ns."+zone, "ns."+zone+" 60 IN A 192.0.2.1", unauthoritative)(network, query)
		},
		"a crowd without addresses": func(network string, query *dns.Msg) [][]byte {
			var ns strings.Builder
			name := query.Question[0].Name
			for i := range 100 {
				fmt.Fprintf(&ns, "%s 60 IN NS x%d.%d.victim.\n", name, i, len(name)+i)
			}
			return says(t, "", ns.String(), "", unauthoritative)(network, query)
		},
		"a crowd of silent ones": func(network string, query *dns.Msg) [][]byte {
			var glue strings.Builder
			for i := range 100 {
				fmt.Fprintf(&glue, "ns.test. 60 IN A 198.51.100.%d\n", i)
			}
			return says(t, "", "test. 60 IN NS ns.test.", glue.String(), unauthoritative)(network, query)
		},
		"aliases for ever": func(network string, query *dns.Msg) [][]byte {
			name := query.Question[0].Name
			return says(t, name+" 60 IN CNAME b"+name[max(0, len(name)-200):], "", "", authoritative)(network, query)
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &scripted{servers: map[string]script{first: server}}
			for i := range 100 {
				s.servers[fmt.Sprintf("198.51.100.%d:53", i)] = silence
			}
			began := time.Now()
			got, r := s.recursor().ask(t, deep, dns.TypeA)
			if !strings.HasPrefix(got, "SERVFAIL") || r.Code != CodeServFail {
				t.Errorf("%s: %s", name, got)
			}
			if n := strings.Count(s.take(), "udp"); n > maxExchanges || len(r.Steps) > maxSteps || time.Since(began) > defaultRecursorLimit {
				t.Errorf("%s: %d questions, %d steps, %v", name, n, len(r.Steps), time.Since(began))
			}
		})
	}
}

// RFC 9520 §3.2: a failure is remembered for a moment, not longer.
func TestRecursorRemembersFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{servers: map[string]script{first: fails(t, dns.RcodeServerFailure)}}
		r := s.recursor()
		for _, c := range []struct {
			wait time.Duration
			want string
		}{{0, "udp " + first + " test A"}, {failureTTL*time.Second - 1, ""}, {1, "udp " + first + " test A"}} {
			time.Sleep(c.wait)
			if got, _ := r.ask(t, "test.", dns.TypeA); got != CodeServFail {
				t.Error(got)
			}
			if asked := s.take(); asked != c.want {
				t.Errorf("after %v: asked %q, want %q", c.wait, asked, c.want)
			}
		}
	})
}

// TTLs count down in the answers of a Recursor, and what has expired is asked for again.
func TestRecursorCountsDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{servers: map[string]script{first: says(t, good, "", "", authoritative)}}
		r := s.recursor()
		for _, c := range []struct {
			ttl    int
			cached bool
		}{{60, false}, {30, true}, {60, false}} {
			got, res := r.ask(t, "host.test.", dns.TypeA)
			if got != fmt.Sprintf("NOERROR host.test. %d IN A 192.0.2.9", c.ttl) || res.Cached != c.cached {
				t.Errorf("%s, cached %v; want %+v", got, res.Cached, c)
			}
			if ttl := res.Steps[0].TTL; ttl != uint32(c.ttl) {
				t.Errorf("TTL %d, want %d", ttl, c.ttl)
			}
			time.Sleep(30 * time.Second)
		}
	})
}

// The servers of a cached delegation may have gone: then the parent is asked again.
func TestRecursorForgetsDeadDelegations(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		moved := false
		s := &scripted{servers: map[string]script{
			first: func(network string, query *dns.Msg) [][]byte {
				glue := "ns.test. 3600 IN A 192.0.2.2"
				if moved {
					glue = "ns.test. 3600 IN A 192.0.2.3"
				}
				return says(t, "", "test. 3600 IN NS ns.test.", glue, unauthoritative)(network, query)
			},
			second: says(t, "a.test. 60 IN A 192.0.2.9", "", "", authoritative),
		}}
		r := s.recursor()
		if got, _ := r.ask(t, "a.test.", dns.TypeA); got != "NOERROR a.test. 60 IN A 192.0.2.9" {
			t.Error(got)
		}
		delete(s.servers, second)
		s.servers["192.0.2.3:53"] = says(t, "b.test. 60 IN A 192.0.2.9", "", "", authoritative)
		moved = true
		if got, _ := r.ask(t, "c.test.", dns.TypeA); got != CodeServFail {
			t.Error(got)
		}
		if got, _ := r.ask(t, "b.test.", dns.TypeA); got != "NOERROR b.test. 60 IN A 192.0.2.9" {
			t.Error(got)
		}
	})
}

func TestRecursorStops(t *testing.T) {
	t.Parallel()
	n, c, s := newInternet(t)
	n.add(t, "127.0.0.199", mustZone(t, "bad.", soaLine+"; TIMEOUT x\n"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ended := make(chan error)
	go func() {
		_, err := c.Lookup(ctx, "x.bad", "A")
		ended <- err
	}()
	s.stop() // with a question under way, or not yet
	cancel()
	if err := <-ended; err == nil || errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

// RFC 9520 §3.1 allows a few retries: one lost message is not a failure.
func TestRecursorAsksTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		s := &scripted{servers: map[string]script{first: func(network string, query *dns.Msg) [][]byte {
			if asked.Add(1) == 1 {
				return nil
			}
			return says(t, good, "", "", authoritative)(network, query)
		}}}
		if got, r := s.recursor().ask(t, "host.test.", dns.TypeA); got != "NOERROR "+good || len(r.Steps) != 2 {
			t.Errorf("%s: %s", got, steps(r))
		}
	})
}

func TestDelegationIsBounded(t *testing.T) {
	t.Parallel()
	var ns, glue strings.Builder
	for i := range 50 {
		fmt.Fprintf(&ns, "test. 60 IN NS ns%d.test.\ntest. 60 IN NS ns%d.elsewhere.\n", i, i)
		fmt.Fprintf(&glue, "ns%d.test. 60 IN A 192.0.2.%d\n", i, i)
	}
	if d := newDelegation(rr(t, ns.String()), rr(t, glue.String()), "."); len(d.servers) != maxServers || len(d.hosts) != maxHosts {
		t.Errorf("%d servers, %d hosts", len(d.servers), len(d.hosts))
	}
}
