package dns

import (
	"errors"
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

var (
	errBadName = errors.New("not a domain name")
	errBadType = errors.New("unknown type")
)

// question is what is asked, in the form in which it is compared: the name absolute and in lower case.
type question struct {
	name  string
	qtype uint16
}

// newQuestion checks a name and a type that a caller gave. Names are A-labels: other than printable ASCII is not a
// domain name here (RFC 5890 §2.3.2.1).
func newQuestion(name, typ string) (question, error) {
	qtype, ok := dns.StringToType[strings.ToUpper(typ)]
	if !ok || qtype == dns.TypeNone {
		return question{}, fmt.Errorf("%w %q", errBadType, typ)
	}
	q := question{dns.Fqdn(strings.ToLower(name)), qtype}
	for _, c := range []byte(name) {
		if c <= ' ' || c > '~' {
			return q, errBadName
		}
	}
	wire := make([]byte, maxNameOctets)
	_, ok = dns.IsDomainName(q.name)
	// The library takes leading dots for the root.
	if !ok || name == "" || strings.HasPrefix(name, ".") && name != "." {
		return q, errBadName
	}
	if _, err := dns.PackDomainName(q.name, wire, 0, nil, false); err != nil {
		return q, errBadName
	}
	// Back from the wire it has the one spelling that names in replies have ("\097" is "a").
	back, _, err := dns.UnpackDomainName(wire, 0)
	if err != nil {
		return q, errBadName
	}
	q.name = canonical(back)
	return q, nil
}

// maxNameOctets is the longest name on the wire (RFC 1035 §2.3.4).
const maxNameOctets = 255

// canonical is the form in which names are compared.
func canonical(name string) string { return dns.CanonicalName(name) }

// shortName is the form in which names are shown: without the final dot, but for the root.
func shortName(name string) string {
	if name == "." {
		return name
	}
	return strings.TrimSuffix(name, ".")
}

// within says whether name is zone or below it. Both are canonical.
func within(zone, name string) bool { return dns.IsSubDomain(zone, name) }

// parentName returns the name without its first label; "." for the root and its children.
func parentName(name string) string {
	if next, end := dns.NextLabel(name, 0); !end {
		return name[next:]
	}
	return "."
}

// hostName says whether a name from the network is fit to be shown as a host's in mail headers: letters, digits,
// hyphens, and the underscores that people use all the same (RFC 952, RFC 1123 §2.1).
func hostName(name string) bool {
	name = shortName(name)
	if name == "" || name == "." {
		return false
	}
	for _, c := range []byte(name) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return true
}
