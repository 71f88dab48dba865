package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"waybill/internal/config"
	"waybill/internal/control"
	"waybill/internal/dns"
	"waybill/internal/mail"
	"waybill/internal/pop3"
	"waybill/internal/receiver"
	"waybill/internal/smtp"
)

// service is one open listener and what serves it.
type service struct {
	protocol string
	listener net.Listener
	serve    func(context.Context, net.Listener) error
	shutdown func(context.Context) error
	sessions func() int
}

// openListeners opens everything that the configuration lists, and the control socket.
func (n *Node) openListeners(ctx context.Context) error {
	tlsConf := n.certs.tlsConfig()
	n.admission = smtp.NewAdmission(n.config.Limits.Sessions, n.config.Limits.SessionsPerAddress)
	l := n.config.Listen
	for _, group := range []struct {
		protocol string
		addrs    []netip.AddrPort
		make     func() service
	}{
		{"smtp", l.SMTP, func() service { return n.smtpService(receiver.MTA, tlsConf, false) }},
		{"submission", l.Submission, func() service { return n.smtpService(receiver.MSA, tlsConf, false) }},
		{"submissions", l.Submissions, func() service { return n.smtpService(receiver.MSA, tlsConf, true) }},
		{"pop3", l.POP3, func() service { return n.pop3Service(tlsConf, false) }},
		{"pop3s", l.POP3S, func() service { return n.pop3Service(tlsConf, true) }},
	} {
		for _, addr := range group.addrs {
			listener, err := n.listen(ctx, group.protocol, addr)
			if err != nil {
				return err
			}
			s := group.make()
			s.protocol, s.listener = group.protocol, n.behindProxy(listener, group.protocol)
			n.services = append(n.services, s)
		}
	}
	if err := n.openWeb(ctx); err != nil {
		return err
	}
	var err error
	n.control, err = control.Listen(filepath.Join(n.config.Data, control.SocketName), n, n.logger)
	return err
}

func (n *Node) listen(ctx context.Context, protocol string, addr netip.AddrPort) (net.Listener, error) {
	listener, err := n.network.Listen(ctx, addr.String())
	if err != nil {
		return nil, fmt.Errorf("listen.%s %s: %w", protocol, addr, explainListen(err, addr))
	}
	n.bound = append(n.bound, Bound{Protocol: protocol, Addr: listener.Addr()})
	return listener, nil
}

// explainListen says what to do about the two usual causes.
func explainListen(err error, addr netip.AddrPort) error {
	switch {
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%w: ports below 1024 need root or the capability CAP_NET_BIND_SERVICE; or use a higher port", err)
	case strings.Contains(err.Error(), "address already in use"):
		return fmt.Errorf("%w: another program listens there; `ss -ltnp sport = :%d` names it", err, addr.Port())
	}
	return err
}

func (n *Node) smtpService(kind receiver.Kind, tlsConf *tls.Config, implicit bool) service {
	s := &smtp.Server{
		Hostname: n.config.Hostname, Limits: smtpLimits(n.config.Limits), TLS: tlsConf, ImplicitTLS: implicit,
		NewSession: n.receiver.Sessions(kind), Logger: n.logger, Admission: n.admission,
		NormaliseLineEnds: kind == receiver.MSA && n.config.Submission.NormaliseLineEnds,
		TurnedAway:        func(peer net.Addr, status mail.Status, err error) { n.turnedAway(string(kind), peer, status, err) },
	}
	return service{serve: s.Serve, shutdown: s.Shutdown, sessions: s.Sessions}
}

func smtpLimits(c config.Limits) smtp.Limits {
	l := smtp.DefaultLimits()
	l.MessageSize, l.Recipients = c.MessageSize, c.Recipients
	l.Sessions, l.SessionsPerAddress, l.Errors = c.Sessions, c.SessionsPerAddress, c.Errors
	l.CommandTimeout, l.DataTimeout, l.ContentRate = c.CommandTimeout, c.DataTimeout, c.MinRate
	return l
}

func (n *Node) pop3Service(tlsConf *tls.Config, implicit bool) service {
	limits := pop3.DefaultLimits()
	limits.Sessions, limits.SessionsPerAddress = n.config.Limits.Sessions, n.config.Limits.SessionsPerAddress
	s := &pop3.Server{
		Hostname: n.config.Hostname, Limits: limits, TLS: tlsConf, ImplicitTLS: implicit,
		NewSession: n.maildrop.NewSession, Logger: n.logger,
		TurnedAway: func(client net.Addr, err error) {
			n.turnedAway("POP3 server", client, mail.Status{Text: pop3.ErrSessions.Error()}, err)
		},
	}
	return service{serve: s.Serve, shutdown: s.Shutdown, sessions: s.Present}
}

// resolverServers returns the configured name servers, or those of the system.
func resolverServers(c config.Config) ([]netip.AddrPort, error) {
	if len(c.Resolver.Servers) > 0 {
		return c.Resolver.Servers, nil
	}
	return dns.SystemServers()
}
