// Package lab is the mail Internet of the reference scenario on one machine: DNS servers from the root down, a
// resolver for each side, two mail servers, and the clients. Everything runs in one process, each part with its own
// address, and speaks to the others only through sockets. The mail servers are ordinary nodes.
package lab

import (
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"waybill/internal/config"
	"waybill/internal/dns"
	"waybill/internal/mail"
	"waybill/internal/mua"
	"waybill/internal/node"
	"waybill/internal/store/postgres/pgserver"
	"waybill/internal/trail"
)

//go:embed zones/*.zone
var zoneFiles embed.FS

// Options is what a Lab is made of.
type Options struct {
	Dir      string            // for the nodes' data; must exist
	Nodes    int               // of the receiving side, up to MaxNodes, on a PostgreSQL that the lab runs; 0: one server with a store of its own
	Programs string            // directory of PostgreSQL's programs, if there are nodes; default: where Debian and the path have them
	Tell     func(string)      // is told what takes a while; may be nil
	Logger   *slog.Logger      // required
	Observe  func(trail.Event) // sees every event of every part at once; may be nil
}

// Lab is a running lab.
type Lab struct {
	network  *network
	journal  *journal
	users    [2]User
	nodes    []mailServer
	database *pgserver.Server // nil if the receiving side is one server
	stop     context.CancelFunc
	running  sync.WaitGroup
	logger   *slog.Logger
}

// User is one of the two people of the scenario, with the email settings of their client.
type User struct {
	Address  mail.Address
	Password string
	client   host
	servers  []host // of the side; more than one: nodes of one store
	names    host   // resolver
}

// mailServer is one that runs.
type mailServer struct {
	host
	*node.Node
}

// people are the two of the scenario, with passwords for this run.
func people(receivers []host) [2]User {
	return [2]User{
		{Address: mail.Address{Local: "me", Domain: "sendingemail.com"}, Password: rand.Text()[:12],
			client: senderClient, servers: []host{senderMail}, names: senderNames},
		{Address: mail.Address{Local: "you", Domain: "receivingemail.com"}, Password: rand.Text()[:12],
			client: recvClient, servers: receivers, names: receiverName},
	}
}

// shutdownTime bounds how long Close waits for what is under way.
const shutdownTime = 5 * time.Second

// Start brings everything up. The lab runs until Close.
func Start(ctx context.Context, o Options) (*Lab, error) {
	receivers := receivers(o.Nodes)
	network, err := openNetwork(sockets(receivers))
	if err != nil {
		return nil, err
	}
	l := &Lab{network: network, journal: newJournal(o.Observe), logger: o.Logger}
	l.users = people(receivers)
	if err := l.start(ctx, o); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (l *Lab) start(ctx context.Context, o Options) error {
	stopped := ctx
	ctx, l.stop = context.WithCancel(context.WithoutCancel(ctx))
	if o.Nodes > 0 {
		if err := l.startDatabase(stopped, o); err != nil {
			return err
		}
	}
	for _, a := range authorities {
		if err := l.startAuthority(ctx, a); err != nil {
			return fmt.Errorf("start %s: %w", a.host.name, err)
		}
	}
	for _, r := range resolvers {
		if err := l.startResolver(ctx, r); err != nil {
			return fmt.Errorf("start %s: %w", r.name, err)
		}
	}
	for i, u := range l.users {
		for _, h := range u.servers {
			if err := l.startNode(ctx, nodeConfig(filepath.Join(o.Dir, h.name), u, h, l.store(u)), h, uint16(i+1)); err != nil {
				return fmt.Errorf("start %s: %w", h.name, err)
			}
		}
		if err := l.nodes[len(l.nodes)-1].AddAccount(ctx, u.Address, u.Password); err != nil {
			return err
		}
	}
	return nil
}

// Close shuts everything down.
func (l *Lab) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	var errs []error
	for _, n := range l.nodes {
		errs = append(errs, n.Shutdown(ctx))
	}
	l.stop()
	l.running.Wait()
	if l.database != nil {
		errs = append(errs, l.database.Close())
	}
	return errors.Join(append(errs, l.network.close())...)
}

func (l *Lab) startAuthority(ctx context.Context, a authority) error {
	var zones []*dns.Zone
	for _, origin := range a.zones {
		name := strings.TrimSuffix(origin, ".")
		if name == "" {
			name = "root"
		}
		text, err := zoneFiles.Open("zones/" + name + ".zone")
		if err != nil {
			return err
		}
		zone, err := dns.ParseZone(origin, io.MultiReader(text, strings.NewReader(records(origin, l.users[1].servers))))
		text.Close()
		if err != nil {
			return err
		}
		zones = append(zones, zone)
	}
	return l.serveDNS(ctx, a.host, dns.NewAuthority(zones...))
}

func (l *Lab) startResolver(ctx context.Context, r host) error {
	return l.serveDNS(ctx, r, dns.NewRecursor(dns.RecursorOptions{
		Roots:   []netip.AddrPort{rootDNS.port(dnsPort)},
		Dial:    l.dialFrom(r.ip()),
		Observe: func(res dns.Resolution) { l.journal.add(resolutionEvent(r, res)) },
	}))
}

// resolutionEvent tells how a resolver found an answer.
func resolutionEvent(r host, res dns.Resolution) trail.Event {
	return trail.Event{
		Kind: trail.Resolution, At: res.At, Took: res.Took, Actor: r.name, Role: r.role,
		Text: res.Name + " " + res.Type, Peer: &trail.Peer{Addr: res.Client}, DNS: trail.Evidence(res.Steps),
	}
}

// dnsServer answers questions on a socket.
type dnsServer interface {
	ServeUDP(ctx context.Context, pc net.PacketConn) error
	ServeTCP(ctx context.Context, l net.Listener) error
}

func (l *Lab) serveDNS(ctx context.Context, h host, s dnsServer) error {
	pc, err := l.network.listenPacket(h.port(dnsPort))
	if err != nil {
		return err
	}
	listener, err := l.network.Listen(ctx, h.port(dnsPort).String())
	if err != nil {
		return errors.Join(err, pc.Close())
	}
	ended := func(err error) {
		if err != nil && ctx.Err() == nil {
			l.logger.Error("DNS server ended", "name", h.name, "error", err)
		}
	}
	l.running.Go(func() { ended(s.ServeUDP(ctx, pc)) })
	l.running.Go(func() { ended(s.ServeTCP(ctx, listener)) })
	return nil
}

// startNode starts a mail server.
func (l *Lab) startNode(ctx context.Context, c config.Config, h host, number uint16) error {
	n, err := node.New(node.Options{
		Config: c, Network: l.network, Logger: l.logger.With("node", h.name), Observe: l.journal.add, Number: number,
	})
	if err != nil {
		return err
	}
	if err := n.Start(ctx); err != nil {
		return err
	}
	l.nodes = append(l.nodes, mailServer{h, n})
	return nil
}

// nodeConfig is the configuration that an operator would write for that server of a user.
func nodeConfig(dir string, u User, h host, store config.StoreURL) config.Config {
	c := config.Default()
	c.Hostname, c.Data, c.Store = h.name, dir, store
	for protocol, list := range map[string]*[]netip.AddrPort{
		"smtp": &c.Listen.SMTP, "submission": &c.Listen.Submission, "submissions": &c.Listen.Submissions,
		"pop3": &c.Listen.POP3, "pop3s": &c.Listen.POP3S,
	} {
		*list = []netip.AddrPort{h.port(portOf(protocol))}
	}
	own := []netip.Prefix{exactly(u.client), exactly(terminal)}
	if h == senderMail {
		c.Relay.Trusted = own // the scenario: from one's own network relaying is allowed
	}
	c.Auth.CleartextFrom = own
	c.Resolver.Servers = []netip.AddrPort{u.names.port(dnsPort)}
	c.Domains = []config.Domain{{Name: u.Address.Domain, Postmaster: u.Address.String()}}
	return c
}

func portOf(protocol string) uint16 {
	for _, p := range protocols {
		if p.name == protocol {
			return p.port
		}
	}
	return 0
}

func exactly(h host) netip.Prefix { return netip.PrefixFrom(h.ip(), 32) }

// dialFrom returns a dialer from one of the lab's addresses.
func (l *Lab) dialFrom(source netip.Addr) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, proto, address string) (net.Conn, error) {
		return l.network.Dial(ctx, proto, source, address)
	}
}

// client returns the mail client on a computer, which asks that resolver.
func (l *Lab) client(h, resolver host) *mua.Client {
	dial := l.dialFrom(h.ip())
	return &mua.Client{
		Name: h.name,
		Resolver: dns.NewClient(dns.ClientOptions{
			Servers: []netip.AddrPort{resolver.port(dnsPort)}, Dial: dial, Logger: l.logger,
		}),
		Dial: dial, Observe: l.journal.add,
	}
}

// settings are the email settings of a user with that server.
func (u User) settings(server host) mua.Settings {
	return mua.Settings{
		Address: u.Address, User: u.Address.String(), Password: u.Password,
		SMTP: []mua.Server{{Host: server.name, Port: portOf("smtp"), Security: mua.Plain}},
		POP3: []mua.Server{{Host: server.name, Port: portOf("pop3"), Security: mua.Plain}},
	}
}

// TempDir makes a directory for a lab's data and returns what removes it.
func TempDir() (dir string, remove func(), err error) {
	dir, err = os.MkdirTemp("", "waybill-lab-")
	return dir, func() { os.RemoveAll(dir) }, err
}
