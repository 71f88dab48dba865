package dnstest_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"waybill/internal/dns"
	"waybill/internal/dns/dnstest"
)

const zones = `
mail.a.test.  A 192.0.2.1
big.a.test.   TXT `

// Both kinds of server answer the same, a large answer over TCP too.
func TestServers(t *testing.T) {
	t.Parallel()
	text := zones + strings.Repeat("\""+strings.Repeat("x", 250)+"\" ", 20) + "\n"
	check := func(t *testing.T, c *dns.Client) {
		addrs, _, err := c.Addrs(t.Context(), "mail.a.test")
		if err != nil || len(addrs) != 1 || addrs[0].String() != "192.0.2.1" {
			t.Errorf("%v, %v", addrs, err)
		}
		if a, err := c.Lookup(t.Context(), "big.a.test", "TXT"); err != nil || len(a.Records[0].Data) < 5000 {
			t.Errorf("%+v, %v", a, err)
		}
		if _, err := c.Lookup(t.Context(), "mail.b.test", "A"); !errors.Is(err, dns.ErrNotFound) {
			t.Error(err)
		}
		if a, err := c.Lookup(t.Context(), "c.test", "SOA"); err != nil || a.Records[0].Name != "c.test." {
			t.Errorf("%+v, %v", a, err)
		}
	}
	second := "$ORIGIN c.test.\n@ SOA a b 1 2 3 4 5\n"
	check(t, dnstest.Start(t, text, second).Client)
	synctest.Test(t, func(t *testing.T) { check(t, dnstest.InMemory(t, text, second)) })
}

// In a bubble, a server that does not answer costs no real time.
func TestInMemoryTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := dnstest.InMemory(t, "; TIMEOUT late.test.\n")
		began := time.Now()
		a, err := c.Lookup(t.Context(), "late.test", "MX")
		if err == nil || errors.Is(err, dns.ErrNotFound) || a.Code != dns.CodeTimeout || time.Since(began) < time.Second {
			t.Errorf("%+v, %v", a, err)
		}
	})
}
