package mua

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"waybill/internal/dns"
	"waybill/internal/mail"
	"waybill/internal/trail"
)

// Service is one that the DNS may name servers of.
type Service struct {
	Name     string   // "_pop3s._tcp"
	Security Security // with which it is used
}

// ForeignError: every server that the DNS names is outside the user's domain. Whoever can forge the DNS could so have the
// password sent to a server of his own, with a good certificate; so the user must say that it is the right one (RFC 6186 §6).
type ForeignError struct {
	Domain  string
	Servers []Server
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("the DNS says that the server of %s is %s, which is outside that domain", e.Domain, e.Servers[0])
}

// maxServers bounds what the DNS can have us try.
const maxServers = 20

// Discover asks the DNS for the servers of services of a domain (RFC 6186 §3, RFC 8314 §5.1), in the order in which they are to
// be tried: one service after the other, by priority, and at random by weight where that is equal (RFC 2782). Servers outside
// the domain count only where they are in one of the trusted domains. A server's certificate must be valid for the name that
// the DNS gives. Errors: dns.ErrNotFound where the domain names none, a ForeignError, those of a failing DNS.
func (c *Client) Discover(ctx context.Context, domain string, trusted []string, services ...Service) ([]Server, error) {
	var own, foreign []Server
	var errs []error
	for _, service := range services {
		found, err := c.services(ctx, service, domain)
		if err != nil && !errors.Is(err, dns.ErrNotFound) {
			errs = append(errs, err)
		}
		for _, s := range found {
			if isWithin(s.Host, append([]string{domain}, trusted...)) {
				own = append(own, s)
			} else {
				foreign = append(foreign, s)
			}
		}
	}
	switch {
	case len(own) > 0:
		return own[:min(len(own), maxServers)], nil
	case len(errs) > 0: // a better one may be named where nobody answered
		return nil, errors.Join(errs...)
	case len(foreign) > 0:
		return nil, &ForeignError{domain, foreign}
	}
	return nil, fmt.Errorf("%s: %w", domain, dns.ErrNotFound)
}

// isWithin says whether a host is in one of the domains.
func isWithin(host string, domains []string) bool {
	return slices.ContainsFunc(domains, func(d string) bool { return host == d || strings.HasSuffix(host, "."+d) })
}

// services are the servers that the DNS names for one service.
func (c *Client) services(ctx context.Context, service Service, domain string) (servers []Server, err error) {
	began := time.Now()
	found, answers, err := c.Resolver.SRV(ctx, service.Name, domain)
	c.observe(trail.Event{Kind: trail.Lookup, At: began, Took: time.Since(began),
		Text: "Which servers have " + service.Name + " for " + domain + "?", DNS: trail.Evidence(answers)})
	for _, s := range byWeight(found, rand.IntN) {
		if s.Host != "" {
			servers = append(servers, Server{Host: s.Host, Port: s.Port, Security: service.Security})
		}
	}
	return servers, lookupFailed(err)
}

// byWeight puts servers, which come by priority, into the order in which they are to be tried: of those of one priority, each
// next one is chosen at random, in proportion to its weight; one of weight 0 rarely comes first (RFC 2782).
func byWeight(servers []dns.SRV, random func(n int) int) []dns.SRV {
	var ordered []dns.SRV
	for rest := slices.Clone(servers); len(rest) > 0; {
		same := slices.IndexFunc(rest, func(s dns.SRV) bool { return s.Priority != rest[0].Priority })
		if same < 0 {
			same = len(rest)
		}
		chosen := pick(rest[:same], random)
		ordered = append(ordered, rest[chosen])
		rest = slices.Delete(rest, chosen, chosen+1)
	}
	return ordered
}

// pick chooses among servers of one priority, which are sorted by weight, the heavier first.
func pick(servers []dns.SRV, random func(n int) int) int {
	sum := 0
	for _, s := range servers {
		sum += int(s.Weight)
	}
	mark, running := random(sum+1), 0
	for i := len(servers) - 1; i > 0; i-- { // those of weight 0 first, which mark is rarely as low as
		if running += int(servers[i].Weight); running >= mark {
			return i
		}
	}
	return 0
}

// mxPort is where mail servers take mail.
const mxPort = 25

// ErrSeveralDomains: no server takes the mail of all recipients.
var ErrSeveralDomains = errors.New("the recipients are in several domains, which have servers of their own")

// Exchangers asks the DNS for the servers that take mail for the domain that all these addresses have, by preference, and at
// random where that is equal (RFC 5321 §5.1): for a letter that is handed over directly, without a server of one's own.
// Errors: ErrSeveralDomains before anybody is asked, a null MX, those of a failing DNS.
func (c *Client) Exchangers(ctx context.Context, to []mail.Address) ([]Server, error) {
	domain := ""
	for _, a := range to {
		if domain != "" && a.Domain != domain {
			return nil, ErrSeveralDomains
		}
		domain = a.Domain
	}
	if addr, err := mail.ParseLiteral(domain); err == nil {
		return []Server{{Host: addr.String(), Port: mxPort, Security: Auto}}, nil
	}
	began := time.Now()
	hosts, answers, err := c.Resolver.MX(ctx, domain)
	c.observe(trail.Event{Kind: trail.MXChosen, At: began, Took: time.Since(began),
		Text: "Which servers take mail for " + domain + "?", DNS: trail.Evidence(answers)})
	switch {
	case errors.Is(err, dns.ErrNotFound): // the domain may be its own mail server (RFC 5321 §5.1)
		return []Server{{Host: domain, Port: mxPort, Security: Auto}}, nil
	case err != nil:
		return nil, lookupFailed(err)
	case hosts[0].Null():
		return nil, fmt.Errorf("%s takes no mail (null MX, RFC 7505)", domain)
	}
	rand.Shuffle(len(hosts), func(i, j int) { hosts[i], hosts[j] = hosts[j], hosts[i] })
	slices.SortStableFunc(hosts, func(a, b dns.MX) int { return int(a.Preference) - int(b.Preference) })
	var servers []Server
	for _, h := range hosts[:min(len(hosts), maxServers)] {
		servers = append(servers, Server{Host: h.Host, Port: mxPort, Security: Auto})
	}
	return servers, nil
}
