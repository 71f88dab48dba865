package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"waybill/internal/dns"
	"waybill/internal/mail"
	"waybill/internal/mua"
)

// defaultPorts by protection.
type defaultPorts struct{ plain, implicit uint16 }

// server is the one that --server names.
func (f *serverFlags) server(ports defaultPorts) (mua.Server, error) {
	s := mua.Server{Host: f.Server, Port: ports.plain, Security: mua.Security(f.TLS)}
	if s.Security == mua.Implicit {
		s.Port = ports.implicit
	}
	if addr, err := netip.ParseAddr(strings.Trim(f.Server, "[]")); err == nil {
		s.Host = addr.String()
		return s, nil
	}
	if strings.Contains(f.Server, ":") {
		host, port, err := net.SplitHostPort(f.Server)
		if err != nil {
			return s, usageErrorf("--server %q is neither HOST nor HOST:PORT", f.Server)
		}
		number, err := strconv.ParseUint(port, 10, 16)
		if err != nil || number == 0 {
			return s, usageErrorf("--server %s: %q is not a port", f.Server, port)
		}
		s.Host, s.Port = host, uint16(number)
	}
	if s.Security == mua.Auto && s.Port == ports.implicit { // where nobody speaks without TLS
		s.Security = mua.Implicit
	}
	if addr, err := netip.ParseAddr(s.Host); err == nil {
		s.Host = addr.String()
		return s, nil
	}
	host, err := mail.ParseDomain(s.Host)
	if err != nil {
		return s, usageErrorf("--server: %v", err)
	}
	s.Host = host
	return s, nil
}

// discover finds the user's servers by DNS, the most secure ones first.
func (f *serverFlags) discover(ctx context.Context, client *mua.Client, services ...mua.Service) ([]mua.Server, error) {
	user, err := parseAddress("--user", f.User)
	if err != nil {
		return nil, fmt.Errorf("%w; name the server with --server", err)
	}
	var trusted []string
	for _, p := range f.Provider {
		domain, err := mail.ParseDomain(p)
		if err != nil {
			return nil, usageErrorf("--provider: %v", err)
		}
		trusted = append(trusted, domain)
	}
	servers, err := client.Discover(ctx, user.Domain, trusted, services...)
	if foreign, ok := errors.AsType[*mua.ForeignError](err); ok {
		host := foreign.Servers[0].Host
		return nil, fmt.Errorf("%w; if it is the right one, say so with --provider %s, or name it with --server: else your password might go to a stranger", err, host)
	}
	if errors.Is(err, dns.ErrNotFound) {
		var names []string
		for _, s := range services {
			names = append(names, s.Name+"."+user.Domain)
		}
		return nil, fmt.Errorf("the DNS names no server (there is no SRV record %s); name it with --server", strings.Join(names, " or "))
	}
	return servers, err
}

func (f *serverFlags) nameServers() ([]netip.AddrPort, error) {
	if len(f.Resolver) == 0 {
		return dns.SystemServers()
	}
	var servers []netip.AddrPort
	for _, s := range f.Resolver {
		ap, err := netip.ParseAddrPort(s)
		if err != nil {
			return nil, usageErrorf("--resolver %s: write address:port, as 127.0.0.1:53", s)
		}
		servers = append(servers, ap)
	}
	return servers, nil
}
