package config

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/idna"
)

// listenAddress reads address:port, where port suggests what was meant when there is none.
func listenAddress(port int) func(string) (netip.AddrPort, *mistake) {
	return func(s string) (netip.AddrPort, *mistake) { return addrPort(s, port) }
}

// serverAddress reads address:port of a server, which neither may be a wildcard.
func serverAddress(s string) (netip.AddrPort, *mistake) {
	ap, m := addrPort(s, 53)
	if m == nil && (ap.Addr().IsUnspecified() || ap.Port() == 0) {
		return ap, wrong(fmt.Sprintf("%q is nobody's address", s), `write the server's, like "192.0.2.53:53"`)
	}
	return ap, m
}

func addrPort(s string, port int) (netip.AddrPort, *mistake) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), nil
	}
	write := func(host, port string) string {
		if strings.Contains(host, ":") {
			host = "[" + strings.Trim(host, "[]") + "]"
		}
		return fmt.Sprintf("write %q", host+":"+port)
	}
	number := strconv.Itoa(port)
	if host, given, ok := cutLast(s, ':'); ok && strings.Count(s, ":") > 1 && s[0] != '[' {
		if addr, err := netip.ParseAddr(host); err == nil && given != "" {
			return netip.AddrPort{}, wrong(fmt.Sprintf("%q has no brackets around its IPv6 address", s), write(addr.String(), given))
		}
	}
	if addr, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return netip.AddrPort{}, wrong(fmt.Sprintf("%q has no port", s), write(addr.String(), number))
	}
	host, given, ok := cutLast(s, ':')
	if !ok {
		return netip.AddrPort{}, wrong(fmt.Sprintf("%q is not address:port", s), write("127.0.0.1", number))
	}
	if n, err := strconv.ParseUint(given, 10, 16); err != nil || strconv.FormatUint(n, 10) != given {
		return netip.AddrPort{}, wrong(fmt.Sprintf("%q is not a port: a number from 1 to 65535 is", given), write(hostOr(host, "127.0.0.1"), number))
	}
	if host == "" {
		return netip.AddrPort{}, wrong(fmt.Sprintf("%q has no address", s), write("0.0.0.0", given)+` for every IPv4 address, or "[::]:`+given+`" for IPv6`)
	}
	if addr, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return netip.AddrPort{}, wrong(fmt.Sprintf("%q is not address:port", s), write(addr.String(), given))
	}
	return netip.AddrPort{}, wrong(fmt.Sprintf("%q is not an IP address", host), write("127.0.0.1", given)+", or another address of this machine, not a name")
}

// hostOr returns host if it is an address.
func hostOr(host, otherwise string) string {
	if addr, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return addr.String()
	}
	return otherwise
}

func network(s string) (netip.Prefix, *mistake) {
	if addr, err := netip.ParseAddr(s); err == nil {
		return netip.Prefix{}, wrong(fmt.Sprintf("%q has no prefix length", s),
			fmt.Sprintf("write %q for this one address", netip.PrefixFrom(addr, addr.BitLen())))
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, wrong(fmt.Sprintf("%q is not a network", s), `write address/length, like "192.0.2.0/24" or "2001:db8::/32"`)
	}
	if p.Addr().Is4In6() {
		return p, wrong(fmt.Sprintf("%q is IPv4 in the clothes of IPv6", s), "write the IPv4 network")
	}
	if p != p.Masked() {
		return p, wrong(fmt.Sprintf("%q has bits behind its prefix length", s),
			fmt.Sprintf("write %q for the network, or %q for the one address", p.Masked(), netip.PrefixFrom(p.Addr(), p.Addr().BitLen())))
	}
	return p, nil
}

func sourceAddress(s string) (netip.Addr, *mistake) {
	if addr, err := netip.ParseAddr(s); err == nil && !addr.IsUnspecified() {
		return addr.Unmap(), nil
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return netip.Addr{}, wrong(fmt.Sprintf("%q has a port, which outbound connections choose themselves", s), fmt.Sprintf("write %q", ap.Addr()))
	}
	return netip.Addr{}, wrong(fmt.Sprintf("%q is not an address of this machine", s), `write one, like "192.0.2.25"; or leave the list empty`)
}

func duration(s string) (time.Duration, *mistake) {
	d, err := time.ParseDuration(s)
	switch {
	case err == nil && d > 0:
		return d, nil
	case err == nil:
		return 0, wrong(fmt.Sprintf("%q is not a time to wait", s), `write one above 0, like "15m"`)
	}
	if days, ok := strings.CutSuffix(strings.TrimSpace(s), "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return 0, wrong(fmt.Sprintf("%q: days are not a unit here", s), fmt.Sprintf(`write "%dh"`, n*24))
		}
	}
	if n, err := strconv.ParseUint(s, 10, 32); err == nil {
		return 0, wrong(fmt.Sprintf("%q has no unit", s), fmt.Sprintf(`write "%ds" for seconds`, n))
	}
	return 0, wrong(fmt.Sprintf("%q is not a time", s), `write a number with a unit, like "90s", "15m" or "120h"`)
}

// units of sizes, in octets.
var units = []struct {
	name   string
	octets int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}}

func size(s string) (int64, *mistake) {
	for _, u := range units {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		if n, err := strconv.ParseUint(digits, 10, 63); err == nil && int64(n) <= math.MaxInt64/u.octets {
			return int64(n) * u.octets, nil
		}
	}
	if n, err := strconv.ParseUint(s, 10, 63); err == nil {
		return int64(n), nil
	}
	return 0, wrong(fmt.Sprintf("%q is not a size", s), sizeFix(s))
}

// sizeFix guesses what was meant by "50 MB" or "50m".
func sizeFix(s string) string {
	digits := strings.TrimSpace(strings.TrimRight(s, "KMGkmgiIBb "))
	rest := strings.ToUpper(strings.TrimSpace(strings.TrimPrefix(s, digits)))
	if _, err := strconv.ParseUint(digits, 10, 32); err == nil && rest != "" && strings.ContainsAny(rest[:1], "KMG") {
		return fmt.Sprintf("write %q", digits+rest[:1]+"iB")
	}
	return `write a number of octets or one with KiB, MiB or GiB, like "50MiB"`
}

// domainName normalises a domain to lower-case A-labels.
func domainName(s string) (string, *mistake) {
	if _, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return "", wrong(fmt.Sprintf("%q is an address", s), `write a name, like "mail.example.test"`)
	}
	name, err := idna.Lookup.ToASCII(strings.TrimSuffix(s, "."))
	if lower := strings.ToLower(s); err != nil && isHostname(lower) { // with underscores, which real hosts have
		name, err = lower, nil
	}
	if err != nil || !isHostname(name) {
		return "", wrong(fmt.Sprintf("%q is not a domain name", s), `write letters, digits and hyphens between dots, like "mail.example.test"`)
	}
	return name, nil
}

func isHostname(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}

// address reads name@domain, without quoting, as a postmaster's is.
func address(s string) (string, *mistake) {
	at := strings.LastIndexByte(s, '@')
	if at <= 0 || at > 64 || strings.ContainsAny(s[:at], " \t\r\n\"(),:;<>@[\\]") {
		return "", wrong(fmt.Sprintf("%q is not an address", s), `write name@domain, like "admin@example.test"`)
	}
	domain, m := domainName(s[at+1:])
	return s[:at] + "@" + domain, m
}
