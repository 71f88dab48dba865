package mua

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"waybill/internal/dns"
	"waybill/internal/dns/dnstest"
	"waybill/internal/mail"
)

var withTLS, withSTLS = Service{"_pop3s._tcp", Implicit}, Service{"_pop3._tcp", StartTLS}

func TestDiscover(t *testing.T) {
	t.Parallel()
	c := &Client{Resolver: dnstest.Start(t, `$ORIGIN test.
_pop3s._tcp.a SRV 10 5 995 second.a
_pop3s._tcp.a SRV 0 0 1995 First.a
_pop3._tcp.a SRV 0 0 110 Plain.a
_pop3._tcp.c SRV 0 0 0 .
; SERVFAIL _pop3s._tcp.b.test.
_pop3._tcp.b SRV 0 0 110 mail.b
; SERVFAIL _pop3s._tcp.d.test.
_pop3s._tcp.e SRV 0 0 995 e
_pop3s._tcp.e SRV 1 0 995 mail.provider
_pop3s._tcp.f SRV 0 0 995 mail.provider
_pop3s._tcp.f SRV 1 0 995 notf
`).Client}
	for domain, want := range map[string]string{
		"a.test": "first.a.test:1995 tls, second.a.test:995 tls, plain.a.test:110 starttls",
		"b.test": "mail.b.test:110 starttls", // which has TLS too
		"e.test": "e.test:995 tls",
	} {
		servers, err := c.Discover(t.Context(), domain, nil, withTLS, withSTLS)
		if got := describe(servers); err != nil || got != want {
			t.Errorf("%s: %s, %v", domain, got, err)
		}
	}
	for _, domain := range []string{"c.test", "x.test"} {
		if servers, err := c.Discover(t.Context(), domain, nil, withTLS, withSTLS); !errors.Is(err, dns.ErrNotFound) {
			t.Errorf("%s: %v, %v", domain, servers, err)
		}
	}
	if _, err := c.Discover(t.Context(), "d.test", nil, withTLS, withSTLS); err == nil || errors.Is(err, dns.ErrNotFound) {
		t.Errorf("a server that fails: %v", err)
	}
	// What lies outside needs consent.
	var foreign *ForeignError
	if _, err := c.Discover(t.Context(), "f.test", []string{"ider.test", "f"}, withTLS); !errors.As(err, &foreign) || describe(foreign.Servers) != "mail.provider.test:995 tls, notf.test:995 tls" {
		t.Errorf("%v", err)
	}
	servers, err := c.Discover(t.Context(), "f.test", []string{"provider.test"}, withTLS)
	if got := describe(servers); err != nil || got != "mail.provider.test:995 tls" {
		t.Errorf("%s, %v", got, err)
	}
}

func describe(servers []Server) string {
	var all []string
	for _, s := range servers {
		all = append(all, fmt.Sprintf("%s %s", s, s.Security))
	}
	return strings.Join(all, ", ")
}

// TestByWeight: every server is tried once, those of one priority in proportion to their weights (RFC 2782).
func TestByWeight(t *testing.T) {
	t.Parallel()
	servers := []dns.SRV{{Host: "a", Weight: 60}, {Host: "b", Weight: 30}, {Host: "c", Weight: 10}, {Host: "d"}, {Host: "e", Priority: 1, Weight: 1}, {Host: "f", Priority: 1}}
	random := rand.New(rand.NewPCG(1, 2)).IntN
	first := map[string]int{}
	const rounds = 10_000
	for range rounds {
		ordered := byWeight(servers, random)
		first[ordered[0].Host]++
		var names []string
		for _, s := range ordered {
			names = append(names, s.Host)
		}
		if slices.Sort(names[:4]); !strings.Contains("abcdef abcdfe", strings.Join(names, "")) {
			t.Fatalf("order %q", names)
		}
	}
	for host, percent := range map[string]int{"a": 60, "b": 30, "c": 10, "d": 1} {
		if n := first[host] * 100 / rounds; n < percent-3 || n > percent+3 || first[host] == 0 {
			t.Errorf("%s was the first %d times of %d", host, first[host], rounds)
		}
	}
}

func TestExchangers(t *testing.T) {
	t.Parallel()
	c := &Client{Resolver: dnstest.Start(t, `$ORIGIN test.
a MX 20 mx2.a
a MX 10 mx1.a
a MX 10 mx0.a
none MX 0 .
own A 192.0.2.1
`).Client}
	seen := map[string]bool{}
	for range 40 {
		servers, err := c.Exchangers(t.Context(), []mail.Address{{Local: "you", Domain: "a.test"}})
		if err != nil {
			t.Fatal(err)
		}
		seen[describe(servers)] = true
	}
	if len(seen) != 2 || !seen["mx1.a.test:25 auto, mx0.a.test:25 auto, mx2.a.test:25 auto"] {
		t.Errorf("orders %v", seen)
	}
	for to, want := range map[string]string{
		"own.test": "own.test:25 auto", "[192.0.2.7]": "192.0.2.7:25 auto", "[IPv6:2001:db8::1]": "[2001:db8::1]:25 auto",
		"none.test": "takes no mail", "a.test own.test": "several domains",
	} {
		var paths []mail.Address
		for domain := range strings.FieldsSeq(to) {
			paths = append(paths, mail.Address{Local: "you", Domain: domain})
		}
		servers, err := c.Exchangers(t.Context(), paths)
		if err == nil && describe(servers) != want || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v", to, servers, err)
		}
	}
}
