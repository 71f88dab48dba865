package node

import (
	"context"
	"log/slog"

	"waybill/internal/config"
	"waybill/internal/directory"
	"waybill/internal/dns"
	"waybill/internal/localdelivery"
	"waybill/internal/mail"
	"waybill/internal/mailbox"
	"waybill/internal/queue"
	"waybill/internal/relay"
	"waybill/internal/routing"
	"waybill/internal/spool"
	"waybill/internal/store/bodies"
	"waybill/internal/store/lease"
	"waybill/internal/trail"
)

// core is what a node is without its listeners: the stores, and the way out. The commands work on it too, while no server
// runs. Its exported methods are what an operator can do (control.Node).
type core struct {
	config    config.Config
	network   Network
	logger    *slog.Logger
	engine    engine
	lease     *lease.Lease // of this node's part of the queue
	ids       *mail.IDs
	bodies    *bodies.Bodies
	spool     *spool.Spool
	mailboxes *mailbox.Mailboxes
	directory *directory.Directory
	trail     *trail.Trail
	resolver  *dns.Client
	routes    *routing.Table
	relay     *relay.Relay
	queue     *queue.Queue
}

// newCore wires the stores, in that engine, and the way out. Nothing runs yet.
func newCore(o Options, e engine, observe func(trail.Event)) (*core, error) {
	c := o.Config
	k := &core{config: c, network: o.Network, logger: o.Logger, engine: e}
	servers, err := resolverServers(c)
	if err != nil {
		return nil, err
	}
	if k.routes, err = routing.New(c.Routes); err != nil {
		return nil, err
	}
	if k.bodies, err = openBodies(c, e, k.logger); err != nil {
		return nil, err
	}
	if k.lease, err = newLease(o, e); err != nil { // from here on nothing fails: somebody has to leave
		return nil, err
	}
	k.ids = mail.IDsOf(k.lease.Number)
	k.spool = spool.New(k.engine, k.bodies, k.lease)
	k.mailboxes = mailbox.New(k.engine, k.bodies, k.lease)
	k.directory = directory.New(k.engine, c.Domains, directory.Options{Hostname: c.Hostname, Logger: k.logger})
	k.trail = trail.New(k.engine, trail.Options{Observe: observe, Logger: k.logger})
	k.resolver = dns.NewClient(dns.ClientOptions{Servers: servers, Dial: k.dial, Logger: k.logger})
	k.relay = relay.New(relay.Options{
		Hostname: c.Hostname, Resolver: k.resolver, Routes: k.routes, Dial: k.dial, Content: k.content, IsSelf: k.isSelf, Logger: k.logger,
	})
	k.queue = queue.New(queue.Options{
		Store: k.engine, Spool: k.spool, Lease: k.lease, Trail: k.trail, IsLocal: k.directory.IsLocal,
		NextHop: k.routes.NextHop, Limits: k.limits, Targets: k.targets,
		Local: localdelivery.New(localdelivery.Options{
			Directory: k.directory, Mailboxes: k.mailboxes, Spool: k.spool, Hostname: c.Hostname,
			MaxReceived: c.Limits.Received, MailboxSize: c.Limits.MailboxSize, Logger: k.logger,
		}),
		Remote:   k.relay,
		Hostname: c.Hostname, IDs: k.ids, Retry: c.Queue.Retry, Expire: c.Queue.Expire, Logger: k.logger,
	})
	return k, nil
}

// newLease makes the process one of the nodes of the store, or the only one if the store is its own.
func newLease(o Options, e engine) (*lease.Lease, error) {
	if e.Shared() {
		return lease.Join(context.Background(), lease.Options{Store: e, Name: o.Config.Hostname, Guest: o.guest, Logger: o.Logger})
	}
	others, err := lease.Slices(e)
	if err != nil {
		return nil, err
	}
	return lease.Alone(o.Number, others...), nil
}
