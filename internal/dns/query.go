package dns

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"slices"

	"github.com/miekg/dns"
)

// MX is a mail exchanger of a domain.
type MX struct {
	Host       string // lower case, without final dot; "" is the null MX
	Preference uint16 // lower is tried first
}

// Null says whether this is a null MX: the domain takes no mail (RFC 7505).
func (m MX) Null() bool { return m.Host == "" }

// MX looks up the mail exchangers of a domain, ordered by preference, then by name; the caller shuffles those of
// equal preference (RFC 5321 §5.1). A domain that takes no mail has exactly one, which is Null; a null MX beside
// others means nothing and is left out (RFC 7505 §3). ErrNotFound with the Answer's Code NODATA is where the domain's
// own address counts as MX (the implicit MX, RFC 5321 §5.1), which is left to the caller; with NXDOMAIN there is no
// such domain.
func (c *Client) MX(ctx context.Context, domain string) ([]MX, []Answer, error) {
	answer, rrs, err := c.lookup(ctx, domain, "MX")
	if err != nil {
		return nil, []Answer{answer}, err
	}
	var hosts []MX
	for _, rr := range rrs {
		mx := rr.(*dns.MX)
		host := ""
		if mx.Mx != "." {
			host = shortName(canonical(mx.Mx))
		}
		hosts = append(hosts, MX{host, mx.Preference})
	}
	slices.SortFunc(hosts, func(a, b MX) int {
		return cmp.Or(cmp.Compare(a.Preference, b.Preference), cmp.Compare(a.Host, b.Host))
	})
	if real := slices.DeleteFunc(slices.Clone(hosts), MX.Null); len(real) > 0 {
		return real, []Answer{answer}, nil
	}
	return hosts[:1], []Answer{answer}, nil
}

// SRV is a server of a service (RFC 2782).
type SRV struct {
	Host             string // lower case, without final dot; "" says that the service is not offered
	Port             uint16
	Priority, Weight uint16
}

// SRV looks up the servers of a service, as "_submissions._tcp", of a domain, ordered by priority, the heavier first where that
// is equal; the caller chooses among those at random (RFC 2782).
func (c *Client) SRV(ctx context.Context, service, domain string) ([]SRV, []Answer, error) {
	answer, rrs, err := c.lookup(ctx, service+"."+domain, "SRV")
	if err != nil {
		return nil, []Answer{answer}, err
	}
	var servers []SRV
	for _, rr := range rrs {
		srv := rr.(*dns.SRV)
		host := ""
		if srv.Target != "." {
			host = shortName(canonical(srv.Target))
		}
		servers = append(servers, SRV{host, srv.Port, srv.Priority, srv.Weight})
	}
	slices.SortFunc(servers, func(a, b SRV) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(b.Weight, a.Weight), cmp.Compare(a.Host, b.Host))
	})
	return servers, []Answer{answer}, nil
}

// Addrs looks up the IPv4 and IPv6 addresses of a host at the same time and returns them in that order, with both
// answers as evidence. Where one of the two cannot be found out the addresses of the other are returned without an
// error; without any address the error is temporary unless both questions have a definite answer.
func (c *Client) Addrs(ctx context.Context, host string) ([]netip.Addr, []Answer, error) {
	type result struct {
		addrs  []netip.Addr
		answer Answer
		err    error
	}
	v6 := make(chan result, 1)
	ask := func(typ string) result {
		answer, rrs, err := c.lookup(ctx, host, typ)
		return result{addresses(rrs), answer, err}
	}
	go func() { v6 <- ask("AAAA") }()
	a, aaaa := ask("A"), <-v6
	addrs, answers := append(a.addrs, aaaa.addrs...), []Answer{a.answer, aaaa.answer}
	switch {
	case len(addrs) > 0:
		return addrs, answers, nil
	case a.err == nil || errors.Is(a.err, ErrNotFound) && aaaa.err != nil:
		return nil, answers, aaaa.err
	}
	return nil, answers, a.err
}

// addresses returns those of A and AAAA records.
func addresses(rrs []dns.RR) []netip.Addr {
	var addrs []netip.Addr
	for _, rr := range rrs {
		var addr netip.Addr
		ok := false
		switch rr := rr.(type) {
		case *dns.A:
			addr, ok = netip.AddrFromSlice(rr.A.To4())
		case *dns.AAAA:
			addr, ok = netip.AddrFromSlice(rr.AAAA.To16())
		}
		if ok && !slices.Contains(addrs, addr.Unmap()) {
			addrs = append(addrs, addr.Unmap())
		}
	}
	return addrs
}

// Reverse looks up the names that an address leads to (RFC 1035 §3.5, RFC 3596 §2.5), lower case, without final dot,
// as its owner wrote them: nothing says that they lead back. See Confirm.
func (c *Client) Reverse(ctx context.Context, addr netip.Addr) ([]string, []Answer, error) {
	arpa, err := dns.ReverseAddr(addr.Unmap().WithZone("").String())
	if err != nil {
		arpa = "" // not an address: no name either
	}
	answer, rrs, err := c.lookup(ctx, arpa, "PTR")
	var names []string
	for _, rr := range rrs {
		names = append(names, shortName(canonical(rr.(*dns.PTR).Ptr)))
	}
	return names, []Answer{answer}, err
}

// maxConfirmed is how many of an address's names are tried: who owns the address decides how many it has.
const maxConfirmed = 5

// Confirm returns the name of an address that leads back to it (RFC 8601 §2.7.3 "iprev"): the first of its names,
// of at most five, with that address among its own. The name is "" when there is none. The error is temporary: it
// could not be found out. The caller sets the deadline.
func (c *Client) Confirm(ctx context.Context, addr netip.Addr) (name string, answers []Answer, err error) {
	addr = addr.Unmap().WithZone("")
	names, answers, err := c.Reverse(ctx, addr)
	if errors.Is(err, ErrNotFound) {
		return "", answers, nil
	}
	typ := "A"
	if addr.Is6() {
		typ = "AAAA"
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !hostName(name) })
	for _, name := range names[:min(len(names), maxConfirmed)] {
		answer, rrs, failed := c.lookup(ctx, name, typ)
		answers = append(answers, answer)
		if slices.Contains(addresses(rrs), addr) {
			return name, answers, nil
		}
		if failed != nil && !errors.Is(failed, ErrNotFound) {
			err = failed
		}
	}
	return "", answers, err
}
