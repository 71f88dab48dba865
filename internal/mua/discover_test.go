package mua

import (
	"errors"
	"strings"
	"testing"

	"waybill/internal/dns"
	"waybill/internal/dns/dnstest"
	"waybill/internal/mail"
)

func TestDiscover(t *testing.T) {
	t.Parallel()
	c := &Client{Resolver: dnstest.Start(t, `$ORIGIN test.
_pop3s._tcp.a SRV 10 5 995 second.a
_pop3s._tcp.a SRV 0 0 1995 light.a
_pop3s._tcp.a SRV 0 9 2995 Heavy.a
_pop3._tcp.a SRV 0 0 0 .
; SERVFAIL _pop3s._tcp.b.test.
a MX 20 mx2.a
a MX 10 mx1.a
none MX 0 .
own A 192.0.2.1
`).Client}
	s, err := c.Discover(t.Context(), "_pop3s._tcp", "a.test", Implicit)
	if err != nil || s != (Server{"heavy.a.test", 2995, Implicit}) {
		t.Errorf("%+v, %v", s, err)
	}
	for _, domain := range []string{"a.test", "c.test"} {
		if _, err := c.Discover(t.Context(), "_pop3._tcp", domain, StartTLS); !errors.Is(err, dns.ErrNotFound) {
			t.Errorf("%s: %v", domain, err)
		}
	}
	if _, err := c.Discover(t.Context(), "_pop3s._tcp", "b.test", Implicit); err == nil || errors.Is(err, dns.ErrNotFound) {
		t.Errorf("a server that fails: %v", err)
	}
	for to, want := range map[string]string{"a.test": "mx1.a.test", "own.test": "own.test", "none.test": "takes no mail", "a.test own.test": "several domains"} {
		var paths []mail.Address
		for domain := range strings.FieldsSeq(to) {
			paths = append(paths, mail.Address{Local: "you", Domain: domain})
		}
		s, err := c.Exchanger(t.Context(), paths)
		if err == nil && s != (Server{want, 25, Auto}) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v", to, s, err)
		}
	}
}
