package dns_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"waybill/internal/dns"
	"waybill/internal/dns/dnstest"
)

const zone = `
$ORIGIN test.
a            MX    20 mx2
a            MX    10 mx1.a
a            MX    20 MX1
a            MX    10 mx1.a
null         MX    0  .
null2        MX    5  .
mixed        MX    0  .
mixed        MX    10 mx1
implicit     A     192.0.2.3
alias        CNAME a
; SERVFAIL broken
; REFUSED refused
; TIMEOUT silent
mx1          A     192.0.2.1
mx1          A     192.0.2.2
mx1          AAAA  2001:db8::1
mx2          AAAA  2001:db8::2
mapped       AAAA  ::ffff:192.0.2.7
toalias      CNAME mx1
many         A     192.0.2.4
v6           AAAA  2001:db8::6
`

const reverseZone = `
$ORIGIN arpa.
1.2.0.192.in-addr   PTR   MX1.test.
2.2.0.192.in-addr   PTR   other.test.
3.2.0.192.in-addr   CNAME 3.sub.2.0.192.in-addr
3.sub.2.0.192.in-addr PTR implicit.test.
4.2.0.192.in-addr   PTR   liar.test.
4.2.0.192.in-addr   PTR   broken.test.
4.2.0.192.in-addr   PTR   many.test.
5.2.0.192.in-addr   PTR   mx1.test.
6.2.0.192.in-addr   PTR   a\013\010b.test.
7.2.0.192.in-addr   PTR   .
8.2.0.192.in-addr   PTR   broken.test.
; SERVFAIL 9.2.0.192.in-addr
10.2.0.192.in-addr  PTR   mx2.test.
11.2.0.192.in-addr  PTR   null.test.
6.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6 PTR v6.test.
`

func TestMX(t *testing.T) {
	t.Parallel()
	s := dnstest.Start(t, zone)
	for domain, want := range map[string]string{
		"a.test":        "[{mx1.a.test 10} {mx1.test 20} {mx2.test 20}] NOERROR",
		"A.Test.":       "[{mx1.a.test 10} {mx1.test 20} {mx2.test 20}] NOERROR",
		"alias.test":    "[{mx1.a.test 10} {mx1.test 20} {mx2.test 20}] NOERROR",
		"null.test":     "[{ 0}] NOERROR",
		"null2.test":    "[{ 5}] NOERROR",
		"mixed.test":    "[{mx1.test 10}] NOERROR",
		"implicit.test": "[] NODATA not found",
		"gone.test":     "[] NXDOMAIN not found",
		"not a domain":  "[] BADNAME not found",
		"broken.test":   "[] SERVFAIL temporary",
		"refused.test":  "[] REFUSED temporary",
		"other":         "[] REFUSED temporary",
	} {
		hosts, answers, err := s.Client.MX(t.Context(), domain)
		if got := outcome(hosts, answers, err); got != want {
			t.Errorf("%s: %s, want %s (%v)", domain, got, want, err)
		}
		if null := len(hosts) == 1 && hosts[0].Null(); null != strings.HasPrefix(domain, "null") {
			t.Errorf("%s: null MX: %v", domain, null)
		}
	}
}

// outcome puts a result, the codes of its answers, and what kind of error there is into words.
func outcome(result any, answers []dns.Answer, err error) string {
	words := []string{fmt.Sprint(result)}
	for _, a := range answers {
		words = append(words, a.Code)
	}
	switch {
	case errors.Is(err, dns.ErrNotFound):
		words = append(words, "not found")
	case err != nil:
		words = append(words, "temporary")
	}
	return strings.Join(words, " ")
}

func TestAddrs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := dnstest.InMemory(t, zone)
		for host, want := range map[string]string{
			"mx1.test":     "[192.0.2.1 192.0.2.2 2001:db8::1] NOERROR NOERROR",
			"mx2.test":     "[2001:db8::2] NODATA NOERROR",
			"mapped.test":  "[192.0.2.7] NODATA NOERROR",
			"toalias.test": "[192.0.2.1 192.0.2.2 2001:db8::1] NOERROR NOERROR",
			"a.test":       "[] NODATA NODATA not found",
			"gone.test":    "[] NXDOMAIN NXDOMAIN not found",
			"broken.test":  "[] SERVFAIL SERVFAIL temporary",
			"silent.test":  "[] TIMEOUT TIMEOUT temporary",
			"192.0.2.1":    "[] REFUSED REFUSED temporary", // no literal: a name like any other
		} {
			addrs, answers, err := c.Addrs(t.Context(), host)
			if got := outcome(addrs, answers, err); got != want {
				t.Errorf("%s: %s, want %s (%v)", host, got, want, err)
			}
		}
	})
}

func TestReverse(t *testing.T) {
	t.Parallel()
	s := dnstest.Start(t, reverseZone)
	for addr, want := range map[string]string{
		"192.0.2.1":          "[mx1.test] NOERROR",
		"::ffff:192.0.2.1":   "[mx1.test] NOERROR",
		"192.0.2.3":          "[implicit.test] NOERROR",
		"2001:db8::6":        "[v6.test] NOERROR",
		"2001:db8::6%eth0":   "[v6.test] NOERROR",
		"192.0.2.200":        "[] NXDOMAIN not found",
		"192.0.2.9":          "[] SERVFAIL temporary",
		"2001:db8::ffff:6:6": "[] NXDOMAIN not found",
	} {
		names, answers, err := s.Client.Reverse(t.Context(), netip.MustParseAddr(addr))
		if got := outcome(names, answers, err); got != want {
			t.Errorf("%s: %s, want %s (%v)", addr, got, want, err)
		}
	}
	names, answers, err := s.Client.Reverse(t.Context(), netip.Addr{})
	if got := outcome(names, answers, err); got != "[] BADNAME not found" {
		t.Errorf("no address: %s", got)
	}
}

// RFC 8601 §2.7.3: only a name that leads back to the address is one.
func TestConfirm(t *testing.T) {
	t.Parallel()
	s := dnstest.Start(t, zone, reverseZone)
	for addr, want := range map[string]string{
		"192.0.2.1":   "mx1.test NOERROR NOERROR",
		"192.0.2.2":   " NOERROR NXDOMAIN",
		"192.0.2.3":   "implicit.test NOERROR NOERROR",
		"192.0.2.4":   "many.test NOERROR NXDOMAIN SERVFAIL NOERROR",
		"192.0.2.5":   " NOERROR NOERROR",
		"192.0.2.6":   " NOERROR", // no name to show anybody
		"192.0.2.7":   " NOERROR",
		"192.0.2.8":   " NOERROR SERVFAIL temporary",
		"192.0.2.9":   " SERVFAIL temporary",
		"192.0.2.10":  " NOERROR NODATA", // the name has an IPv6 address only
		"192.0.2.99":  " NXDOMAIN",
		"2001:db8::6": "v6.test NOERROR NOERROR",
	} {
		name, answers, err := s.Client.Confirm(t.Context(), netip.MustParseAddr(addr))
		if got := outcome(name, answers, err); got != want {
			t.Errorf("%s: %q, want %q (%v)", addr, got, want, err)
		}
	}
}

func TestConfirmIsBounded(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	for i := range 50 {
		fmt.Fprintf(&text, "1.2.0.192.in-addr.arpa. PTR name%d.test.\n", i)
	}
	s := dnstest.Start(t, text.String())
	name, answers, err := s.Client.Confirm(t.Context(), netip.MustParseAddr("192.0.2.1"))
	if name != "" || err != nil || len(answers) != 6 {
		t.Errorf("%q, %d answers, %v", name, len(answers), err)
	}
}

// The caller's deadline ends a lookup, whatever the servers do; the evidence says so.
func TestConfirmDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := dnstest.InMemory(t, "; TIMEOUT 1.2.0.192.in-addr.arpa.\n")
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		name, answers, err := c.Confirm(ctx, netip.MustParseAddr("192.0.2.1"))
		if name != "" || !errors.Is(err, context.DeadlineExceeded) || len(answers) != 1 || answers[0].Code != dns.CodeTimeout {
			t.Errorf("%q, %v, %v", name, answers, err)
		}
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestAnswerIsEvidence(t *testing.T) {
	t.Parallel()
	s := dnstest.Start(t, zone)
	want := []string{"alias.test. 3600 IN CNAME a.test.", "a.test. 3600 IN MX 20 mx2.test.",
		"a.test. 3600 IN MX 10 mx1.a.test.", "a.test. 3600 IN MX 20 MX1.test."}
	for _, cached := range []bool{false, true} {
		before := time.Now()
		a, err := s.Client.Lookup(t.Context(), "Alias.TEST", "mx")
		if err != nil || a.Name != "alias.test" || a.Type != "MX" || a.Code != dns.CodeNoError || a.Server != s.Addr.String() ||
			a.Cached != cached || a.Took <= 0 || a.At.Before(before) {
			t.Errorf("%+v, %v", a, err)
		}
		if !cached && (!slices.Equal(a.Text(), want) || a.TTL != 3600) {
			t.Errorf("%q", a.Text())
		}
	}
}
