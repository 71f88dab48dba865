package mail

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Limits of RFC 5321 §4.5.3.1, in octets.
const (
	MaxLocalPart = 64
	MaxDomain    = 255
	MaxPath      = 256
)

// Address is a mailbox: a local-part, unquoted, and a domain in lower-case A-label form or an
// address literal with its brackets (RFC 5321 §4.1.2). The zero Address is the null path "<>".
// Domain is empty only for the null path and for the bare "postmaster" of RFC 5321 §4.5.1.
//
// The local-part may be UTF-8 (RFC 6531 §3.3) and stays octet for octet as it was given, not even normalised to NFC: only
// the host that has the mailbox may say what is the same. The domain is in A-labels toward every peer, also one that knows
// SMTPUTF8: a U-label is never more than another way to write it (RFC 5890 §2.3.2.1), and A-labels need no extension.
type Address struct {
	Local  string
	Domain string
}

// IsNull says whether the address is the null path.
func (a Address) IsNull() bool { return a == Address{} }

// IsASCII says whether the address can be sent without SMTPUTF8.
func (a Address) IsASCII() bool { return isASCII(a.Local) && isASCII(a.Domain) }

// String returns local-part@domain, with the local-part quoted where the grammar needs it; "" for the null path.
func (a Address) String() string {
	local := a.Local
	if !isDotString(local) && !a.IsNull() {
		local = quote(local)
	}
	if a.Domain == "" {
		return local
	}
	return local + "@" + a.Domain
}

// Path returns the address in angle brackets, "<>" for the null path.
func (a Address) Path() string { return "<" + a.String() + ">" }

// Key returns the form under which accounts are kept and compared: everything in lower case.
func (a Address) Key() string { return strings.ToLower(a.String()) }

// MarshalText and UnmarshalText let an Address be a JSON string or key.
func (a Address) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (a *Address) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*a = Address{}
		return nil
	}
	if strings.EqualFold(string(b), "postmaster") {
		*a = Address{Local: string(b)}
		return nil
	}
	parsed, err := ParseAddress(string(b))
	*a = parsed
	return err
}

// ParseAddress reads local-part@domain by the grammar of RFC 5321 §4.1.2. The local-part keeps its
// case, the domain is normalised by ParseDomain. Errors say what is wrong, for people.
func ParseAddress(s string) (Address, error) {
	local, rest, err := parseLocalPart(s)
	if err != nil {
		return Address{}, err
	}
	if rest == "" || rest[0] != '@' {
		return Address{}, fmt.Errorf("address %q has no @domain", printable(s))
	}
	if len(local) > MaxLocalPart {
		return Address{}, fmt.Errorf("the local-part is longer than %d octets", MaxLocalPart)
	}
	domain, err := ParseDomain(rest[1:])
	if err != nil {
		return Address{}, err
	}
	return Address{Local: local, Domain: domain}, nil
}

// ParseDomain normalises a domain name to lower-case A-labels (RFC 5890), or checks an address
// literal "[192.0.2.1]" or "[IPv6:2001:db8::1]" (RFC 5321 §4.1.3).
func ParseDomain(s string) (string, error) {
	if len(s) > MaxDomain {
		return "", fmt.Errorf("the domain is longer than %d octets", MaxDomain)
	}
	if strings.HasPrefix(s, "[") {
		addr, err := ParseLiteral(s)
		if err != nil {
			return "", err
		}
		return Literal(addr), nil
	}
	if ascii := strings.ToLower(s); isHostname(ascii) && !strings.Contains(ascii, "xn--") {
		return ascii, nil
	}
	a, err := idna.Lookup.ToASCII(s)
	if err != nil || !utf8.ValidString(s) || !isHostname(a) || len(a) > MaxDomain {
		return "", fmt.Errorf("%q is not a domain name", printable(s))
	}
	return a, nil
}

// ParseLiteral reads an address literal with its brackets (RFC 5321 §4.1.3).
func ParseLiteral(s string) (netip.Addr, error) {
	inner, ok := strings.CutPrefix(s, "[")
	if inner, ok = cutSuffix(inner, "]", ok); !ok {
		return netip.Addr{}, fmt.Errorf("%q is not an address literal", printable(s))
	}
	want6 := false
	if len(inner) > 5 && strings.EqualFold(inner[:5], "IPv6:") {
		inner, want6 = inner[5:], true
	}
	addr, err := netip.ParseAddr(inner)
	if err != nil || addr.Zone() != "" || addr.Is6() != want6 {
		return netip.Addr{}, fmt.Errorf("%q is not an address literal", printable(s))
	}
	return addr, nil
}

// Literal returns addr as an address literal.
func Literal(addr netip.Addr) string {
	addr = addr.Unmap()
	if addr.Is6() {
		return "[IPv6:" + addr.String() + "]"
	}
	return "[" + addr.String() + "]"
}

func cutSuffix(s, suffix string, ok bool) (string, bool) {
	if !ok {
		return s, false
	}
	return strings.CutSuffix(s, suffix)
}

// ErrEmptyPath is returned for a path that is missing altogether.
var ErrEmptyPath = errors.New("the address is missing")

// ParsePath reads a reverse-path or forward-path from the start of s and returns what follows it.
// As people type it, the angle brackets may be missing. A source route is stripped (RFC 5321
// §4.1.1.3, appendix C). "<>" gives the null path and "<postmaster>" the address without a domain.
func ParsePath(s string) (a Address, rest string, err error) {
	if s == "" || s[0] == ' ' {
		return a, s, ErrEmptyPath
	}
	if s[0] != '<' {
		end := pathEnd(s, ' ')
		if end+2 > MaxPath {
			return a, s[end:], fmt.Errorf("the path is longer than %d octets", MaxPath)
		}
		a, err = parseMailbox(s[:end])
		return a, s[end:], err
	}
	end := pathEnd(s[1:], '>') + 1
	if end == len(s) {
		return a, "", fmt.Errorf("the path %q has no closing >", printable(s))
	}
	inner, rest := s[1:end], s[end+1:]
	if len(inner)+2 > MaxPath {
		return a, rest, fmt.Errorf("the path is longer than %d octets", MaxPath)
	}
	if inner == "" {
		return Address{}, rest, nil
	}
	if inner[0] == '@' {
		if inner, err = stripSourceRoute(inner); err != nil {
			return a, rest, err
		}
	}
	a, err = parseMailbox(inner)
	return a, rest, err
}

func parseMailbox(s string) (Address, error) {
	if strings.EqualFold(s, "postmaster") {
		return Address{Local: s}, nil
	}
	return ParseAddress(s)
}

// stripSourceRoute removes "@one.example,@two.example:" (RFC 5321 §4.1.2, A-d-l).
func stripSourceRoute(s string) (string, error) {
	colon := pathEnd(s, ':')
	if colon == len(s) {
		return "", fmt.Errorf("the source route in %q has no colon", printable(s))
	}
	route, mailbox := s[:colon], s[colon+1:]
	for hop := range strings.SplitSeq(route, ",") {
		name, ok := strings.CutPrefix(hop, "@")
		if !ok {
			return "", fmt.Errorf("%q is not a source route", printable(route))
		}
		if _, err := ParseDomain(name); err != nil {
			return "", err
		}
	}
	return mailbox, nil
}

// pathEnd returns the index of the first stop in s that is neither quoted nor in an address literal, or len(s).
func pathEnd(s string, stop byte) int {
	quoted, literal := false, false
	for i := 0; i < len(s); i++ {
		switch {
		case !quoted && s[i] == '[':
			literal = true
		case !quoted && s[i] == ']':
			literal = false
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case !quoted && !literal && s[i] == stop:
			return i
		}
	}
	return len(s)
}

// isHostname checks the LDH rule with underscores forgiven, which real hosts use.
func isHostname(s string) bool {
	if s == "" || len(s) > MaxDomain {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
				return false
			}
		}
	}
	return true
}

// printable bounds s and replaces what must not reach a terminal.
func printable(s string) string {
	if len(s) > 80 {
		s = s[:80] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return '?'
		}
		return r
	}, s)
}
