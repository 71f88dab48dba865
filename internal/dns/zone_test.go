package dns

import (
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func TestParseZone(t *testing.T) {
	t.Parallel()
	z := mustZone(t, "Example.TEST", `
$TTL 2h
@ IN SOA ns hostmaster ( 1 ; serial
    2 3 4 5 )
; SERVFAIL one
;SERVFAIL is no failure line without the space
; TIMEOUT @
; REFUSED three.example.test.
  ; SERVFAIL indented
; This comment says REFUSED, but does not begin with it
$ORIGIN sub.example.test.
; TIMEOUT four
Host A 192.0.2.1
     A 192.0.2.1
\097  A 192.0.2.1
`)
	if z.Origin() != "example.test." || len(z.names["host.sub.example.test."][dns.TypeA]) != 1 ||
		z.soa.Minttl != 5 || z.names["a.sub.example.test."] == nil {
		t.Errorf("%+v", z)
	}
	if got, want := fmt.Sprint(z.failing), "map[example.test.:TIMEOUT four.sub.example.test.:TIMEOUT indented.example.test.:SERVFAIL "+
		"one.example.test.:SERVFAIL three.example.test.:REFUSED]"; got != want {
		t.Errorf("failing %s, want %s", got, want)
	}
}

func TestParseZoneErrors(t *testing.T) {
	t.Parallel()
	const soa = "@ SOA ns h 1 2 3 4 5\n"
	for name, c := range map[string]struct{ origin, text, want string }{
		"empty":              {"test.", "", "zone test.: 0 SOA records at its origin; it needs one"},
		"two SOA":            {"test.", soa + "@ SOA ns h 2 2 3 4 5\n", "2 SOA records"},
		"SOA elsewhere":      {"test.", soa + "a SOA ns h 2 2 3 4 5\n", "a.test. SOA: not at the origin"},
		"outside":            {"test.", soa + "a.other. A 192.0.2.1\n", "a.other. A: outside the zone"},
		"alias and more":     {"test.", soa + "a A 192.0.2.1\na CNAME b\n", "a.test. CNAME: an alias beside other records"},
		"more and alias":     {"test.", soa + "a CNAME b\na A 192.0.2.1\n", "a.test. A: an alias beside other records"},
		"two aliases":        {"test.", soa + "a CNAME b\na CNAME c\n", "an alias beside other records"},
		"no data":            {"test.", soa + "a 5 A ", "a.test. A: without data"},
		"half a SOA":         {"test.", "@ SOA ", "SOA: without data"},
		"DNAME":              {"test.", soa + "a DNAME b\n", "a.test. DNAME: not supported"},
		"class":              {"test.", soa + "a CH A 192.0.2.1\n", "class CH"},
		"$INCLUDE":           {"test.", soa + "$INCLUDE /etc/passwd\n", "line 2: $INCLUDE is not supported"},
		"$generate":          {"test.", soa + "$generate 1-65535 a$ A 192.0.2.1\n", "line 2: $GENERATE is not supported"},
		"syntax":             {"test.", soa + "a A nonsense\n", "line: 2"},
		"failure of nothing": {"test.", soa + "; SERVFAIL\n", "line 2: SERVFAIL takes one name"},
		"failure of two":     {"test.", soa + "; TIMEOUT a b\n", "line 2: TIMEOUT takes one name"},
		"failure outside":    {"test.", soa + "; TIMEOUT a.other.\n", "line 2: a.other. is outside the zone"},
		"failure of no name": {"test.", soa + "; REFUSED a..b\n", "line 2: \"a..b.test.\": not a domain name"},
		"origin":             {"a..b", soa, "not a domain name"},
		"no origin":          {"", soa, "not a domain name"},
		"large":              {"test.", soa + strings.Repeat(";\n", maxZoneOctets/2), "larger than"},
	} {
		_, err := ParseZone(c.origin, strings.NewReader(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
