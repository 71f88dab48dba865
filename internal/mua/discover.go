package mua

import (
	"context"
	"errors"
	"fmt"
	"time"

	"waybill/internal/dns"
	"waybill/internal/mail"
	"waybill/internal/trail"
)

// Discover asks the DNS for the server of a service of a domain (RFC 6186 §3), with which protection it is used then. The
// server's certificate must be valid for the name that the DNS gives; that the name is the right one rests on the DNS.
// Errors: dns.ErrNotFound where the domain names none.
func (c *Client) Discover(ctx context.Context, service, domain string, security Security) (Server, error) {
	began := time.Now()
	servers, answers, err := c.Resolver.SRV(ctx, service, domain)
	c.observe(trail.Event{Kind: trail.Lookup, At: began, Took: time.Since(began),
		Text: "Which server has " + service + " for " + domain + "?", DNS: trail.Evidence(answers)})
	if err != nil {
		return Server{}, err
	}
	for _, s := range servers {
		if s.Host != "" {
			return Server{Host: s.Host, Port: s.Port, Security: security}, nil
		}
	}
	return Server{}, fmt.Errorf("%s does not offer %s: %w", domain, service, dns.ErrNotFound)
}

// mxPort is where mail servers take mail.
const mxPort = 25

// Exchanger asks the DNS for the server that takes mail for the domain that all these addresses have: for a letter that is
// handed over directly, without a server of one's own.
func (c *Client) Exchanger(ctx context.Context, to []mail.Address) (Server, error) {
	domain := ""
	for _, a := range to {
		if domain != "" && a.Domain != domain {
			return Server{}, errors.New("the recipients are in several domains, which have servers of their own; name one with --server, or --user for yours")
		}
		domain = a.Domain
	}
	began := time.Now()
	hosts, answers, err := c.Resolver.MX(ctx, domain)
	c.observe(trail.Event{Kind: trail.MXChosen, At: began, Took: time.Since(began),
		Text: "Which server takes mail for " + domain + "?", DNS: trail.Evidence(answers)})
	switch {
	case errors.Is(err, dns.ErrNotFound): // the domain may be its own mail server (RFC 5321 §5.1)
		return Server{Host: domain, Port: mxPort, Security: Auto}, nil
	case err != nil:
		return Server{}, err
	case hosts[0].Null():
		return Server{}, fmt.Errorf("%s takes no mail (null MX, RFC 7505)", domain)
	}
	return Server{Host: hosts[0].Host, Port: mxPort, Security: Auto}, nil
}
