// Package mua is the mail client at both ends: it submits a letter to its server by SMTP, and retrieves mail
// from its mailbox by POP3. It finds its servers by DNS as any client does, and tells each step as an event.
package mua

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"waybill/internal/dialogue"
	"waybill/internal/dns"
	"waybill/internal/mail"
	"waybill/internal/trail"
)

// Security says how a connection to a server is protected.
type Security string

const (
	Plain    Security = "none"     // never TLS
	StartTLS Security = "starttls" // TLS by STARTTLS or STLS, required
	Implicit Security = "tls"      // TLS from the first byte
	Auto     Security = "auto"     // STARTTLS when it is offered; without it no password is sent, but to this machine
)

// Server is one entry of a client's email settings.
type Server struct {
	Host     string // name or address
	Port     uint16
	Security Security
}

// Settings are a user's email settings.
type Settings struct {
	Address  mail.Address
	User     string // login; empty: do not log in to SMTP
	Password string
	SMTP     Server
	POP3     Server
}

// Resolver finds the addresses of a name, and the servers of a domain.
type Resolver interface {
	SRV(ctx context.Context, service, domain string) ([]dns.SRV, []dns.Answer, error)
	MX(ctx context.Context, domain string) ([]dns.MX, []dns.Answer, error)
	Addrs(ctx context.Context, host string) ([]netip.Addr, []dns.Answer, error)
}

// Client is a mail client on one computer. It is safe for concurrent use.
type Client struct {
	Name     string // of this computer, for EHLO
	Resolver Resolver
	Dial     func(ctx context.Context, network, address string) (net.Conn, error)
	Roots    *tls.Config // how certificates are checked; nil: the system's authorities
	Observe  func(trail.Event)
	Live     func(dialogue.Line) // sees each line of a dialogue as it is said; may be nil
}

const (
	roleClient     = "mail client"
	connectTimeout = 30 * time.Second
)

func (c *Client) observe(e trail.Event) {
	e.Actor, e.Role = c.Name, roleClient
	if c.Observe != nil {
		c.Observe(e)
	}
}

// connect looks the server up and connects to the first of its addresses that answers. It returns that address:port too.
func (c *Client) connect(ctx context.Context, s Server) (net.Conn, string, error) {
	addrs, err := c.lookup(ctx, s.Host)
	if err != nil {
		return nil, "", err
	}
	var errs []error
	for _, addr := range addrs {
		target := netip.AddrPortFrom(addr, s.Port).String()
		dialCtx, cancel := context.WithTimeout(ctx, connectTimeout)
		conn, err := c.Dial(dialCtx, "tcp", target)
		cancel()
		if err == nil {
			conn, err = c.secure(ctx, conn, s)
			return conn, target, err
		}
		errs = append(errs, err)
	}
	return nil, "", fmt.Errorf("cannot connect to %s port %d: %w", s.Host, s.Port, errors.Join(errs...))
}

func (c *Client) secure(ctx context.Context, conn net.Conn, s Server) (net.Conn, error) {
	if s.Security != Implicit {
		return conn, nil
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	secured := tls.Client(conn, c.tlsConfig(s.Host))
	if err := secured.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("TLS with %s: %w", net.JoinHostPort(s.Host, strconv.Itoa(int(s.Port))), err)
	}
	return secured, nil
}

// ErrNoTLS: a password would have gone over the network in clear.
var ErrNoTLS = errors.New("the server offers no TLS, so the password is not sent (--tls none sends it all the same)")

// passwordAllowed says whether a password may be sent on a connection without TLS: only if the settings say so, or to this
// machine. Else whoever takes the offer of STARTTLS away would get it.
func passwordAllowed(s Server, conn net.Conn) error {
	if s.Security == Plain || dialogue.PeerAddr(conn.RemoteAddr()).IsLoopback() {
		return nil
	}
	return ErrNoTLS
}

func (c *Client) tlsConfig(host string) *tls.Config {
	conf := &tls.Config{}
	if c.Roots != nil {
		conf = c.Roots.Clone()
	}
	conf.ServerName = host
	conf.MinVersion = tls.VersionTLS12
	return conf
}

// lookup asks DNS where the server is.
func (c *Client) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil
	}
	began := time.Now()
	addrs, answers, err := c.Resolver.Addrs(ctx, host)
	c.observe(trail.Event{
		Kind: trail.Lookup, At: began, Took: time.Since(began),
		Text: "Where is " + host + "?", DNS: trail.Evidence(answers),
	})
	if err != nil {
		return nil, fmt.Errorf("cannot find %s in DNS: %w", host, err)
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("%s has no address in DNS", host)
	}
	return addrs, nil
}
