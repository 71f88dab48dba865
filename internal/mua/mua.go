// Package mua is the mail client at both ends: it submits a letter to its server by SMTP, and retrieves mail
// from its mailbox by POP3. It finds its servers by DNS as any client does, and tells each step as an event.
package mua

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/netip"
	"strconv"
	"strings"
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

func (s Server) String() string { return net.JoinHostPort(s.Host, strconv.Itoa(int(s.Port))) }

// Settings are a user's email settings.
type Settings struct {
	Address  mail.Address
	User     string // login; empty: do not log in to SMTP
	Password string
	SMTP     []Server // tried in this order
	POP3     []Server // the same
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

// target is one address of a server.
type target struct {
	server Server
	addr   netip.AddrPort
}

// targets are the addresses of all servers in their order, each server looked up when it is its turn; one that cannot be found
// is an error.
func (c *Client) targets(ctx context.Context, servers []Server) iter.Seq2[target, error] {
	return func(yield func(target, error) bool) {
		for _, s := range servers {
			addrs, err := c.lookup(ctx, s.Host)
			if err != nil && !yield(target{}, err) {
				return
			}
			for _, addr := range addrs[:min(len(addrs), maxAddresses)] {
				if !yield(target{s, netip.AddrPortFrom(addr, s.Port)}, nil) {
					return
				}
			}
		}
	}
}

// maxAddresses bounds the addresses of one server that are tried: their number is the DNS's.
const maxAddresses = 10

// connect connects to one address of a server, by TLS where that comes first.
func (c *Client) connect(ctx context.Context, t target) (net.Conn, error) {
	if c.Live != nil {
		c.Live(dialogue.Line{At: time.Now(), Side: dialogue.Note, Text: fmt.Sprintf("connecting to %s, %s", t.server, t.addr)})
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := c.Dial(ctx, "tcp", t.addr.String())
	if err != nil || t.server.Security != Implicit {
		return conn, err
	}
	secured := tls.Client(conn, c.tlsConfig(t.server.Host))
	if err := secured.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("TLS: %w", err)
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

// loopback are the addresses of this machine.
func loopback() []netip.Addr {
	return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
}

// lookup asks DNS where the server is, but not for localhost and the names below it: these are this machine (RFC 6761 §6.3).
func (c *Client) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil
	}
	if isWithin(strings.ToLower(host), []string{"localhost"}) {
		return loopback(), nil
	}
	began := time.Now()
	addrs, answers, err := c.Resolver.Addrs(ctx, host)
	c.observe(trail.Event{
		Kind: trail.Lookup, At: began, Took: time.Since(began),
		Text: "Where is " + host + "?", DNS: trail.Evidence(answers),
	})
	if err != nil {
		return nil, fmt.Errorf("cannot find %s in DNS: %w", host, lookupFailed(err))
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("%s has no address in DNS", host)
	}
	return addrs, nil
}
