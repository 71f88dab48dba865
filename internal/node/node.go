// Package node builds a mail server from a configuration: stores, agents and listeners, wired explicitly. It is
// the only package that knows all of them.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"waybill/internal/config"
	"waybill/internal/control"
	"waybill/internal/guard"
	"waybill/internal/login"
	"waybill/internal/maildrop"
	"waybill/internal/metrics"
	"waybill/internal/receiver"
	"waybill/internal/smtp"
	"waybill/internal/store"
	"waybill/internal/trail"
)

// Options is what a Node is made of.
type Options struct {
	Config  config.Config
	Network Network           // default: System
	Logger  *slog.Logger      // required
	Engine  store.Store       // default: the one that Config.Store names
	Observe func(trail.Event) // sees every event once it is published; may be nil
	Number  uint16            // of this node, in message ids, if it has its store to itself
	guest   bool              // nothing of it will run: it is a command
}

// Node is one mail server.
type Node struct {
	*core
	logins   *login.Service
	commits  *watched // is engine
	certs    *certificates
	metrics  *metrics.Metrics // nil without a listener for HTTP
	receiver *receiver.Receiver
	maildrop *maildrop.Service

	admission *smtp.Admission // of all SMTP listeners together
	services  []service
	web       []service // outlive the others, to tell of the shutdown
	draining  atomic.Bool
	bound     []Bound
	control   *control.Server
	stop      context.CancelFunc
	running   sync.WaitGroup
}

// Bound is a listener that is open.
type Bound struct {
	Protocol string // the key in [listen]
	Addr     net.Addr
}

// New opens the store and builds the node; nothing is listening yet.
func New(o Options) (*Node, error) {
	if o.Network == nil {
		o.Network = System{}
	}
	if err := os.MkdirAll(o.Config.Data, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	engine := &opened{Store: o.Engine}
	var err error
	if o.Engine == nil {
		engine, err = openStore(o.Config, o.Logger)
	} else {
		err = adoptForm(o.Engine, false, o.Logger)
	}
	if err != nil {
		return nil, err
	}
	n := &Node{commits: watch(engine, o.Config.Limits.CommitTime)}
	if err := n.build(o); err != nil {
		return nil, errors.Join(err, n.leave(context.Background()), n.commits.Close())
	}
	return n, nil
}

// build wires the layers, from the stores up to the agents.
func (n *Node) build(o Options) (err error) {
	c := o.Config
	if n.core, err = newCore(o, n.commits, n.observer(o.Observe)); err != nil {
		return err
	}
	if len(c.Listen.HTTP) > 0 {
		n.metrics = metrics.New(n.states())
	}
	if n.certs, err = openCertificates(c, n.logger); err != nil {
		return err
	}
	failures, err := n.newGuard()
	if err != nil {
		return err
	}
	n.logins = &login.Service{Directory: n.directory, Guard: failures, Logger: n.logger}
	n.receiver = receiver.New(receiver.Options{
		Hostname: c.Hostname, IDs: n.ids, Store: taking{n.commits}, Spool: n.spool, Trail: n.trail,
		Directory: n.directory, Owners: n.directory, Logins: n.logins, Names: n.resolver, Queue: n.queue,
		Trusted: c.Relay.Trusted, CleartextFrom: c.Auth.CleartextFrom, Expire: c.Queue.Expire,
		MinFree: uint64(c.Limits.MinFree), DiskFree: n.engine.DiskFree,
		MailboxSize: c.Limits.MailboxSize, Usage: n.mailboxes.Usage,
		HeaderSize: int(c.Limits.HeaderSize), MaxReceived: c.Limits.Received,
		RatePerAddress: c.Limits.RatePerAddress, RatePerAccount: c.Limits.RatePerAccount, Shared: n.engine.Shared(), Logger: n.logger,
	})
	n.maildrop = maildrop.New(maildrop.Options{
		Logins: n.logins, Mailboxes: n.mailboxes, Trail: n.trail, Store: n.engine,
		Hostname: c.Hostname, CleartextFrom: c.Auth.CleartextFrom, Logger: n.logger,
	})
	return nil
}

// newGuard returns what counts failed logins, together with the other nodes if the store is shared.
func (n *Node) newGuard() (*guard.Guard, error) {
	o := guard.Options{BanAfter: n.config.Auth.BanAfter, BanTime: n.config.Auth.BanTime, Logger: n.logger}
	if !n.engine.Shared() {
		return guard.New(o), nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), openTime)
	defer cancel()
	return guard.NewShared(ctx, o, n.engine)
}

// Start recovers the queue, opens the listeners and serves until Shutdown. If one cannot be opened, nothing stays open.
func (n *Node) Start(ctx context.Context) error {
	ctx, n.stop = context.WithCancel(context.WithoutCancel(ctx))
	if err := n.claimObjects(ctx); err != nil {
		return errors.Join(err, n.Shutdown(ctx))
	}
	if err := n.openListeners(ctx); err != nil {
		return errors.Join(err, n.Shutdown(ctx))
	}
	if err := n.queue.Start(ctx); err != nil {
		return errors.Join(fmt.Errorf("recover the queue: %w", err), n.Shutdown(ctx))
	}
	for _, s := range slices.Concat(n.services, n.web) {
		n.running.Go(func() {
			if err := s.serve(ctx, s.listener); err != nil && ctx.Err() == nil {
				n.logger.Error("listener ended", "protocol", s.protocol, "error", err)
			}
		})
	}
	n.running.Go(func() { n.sweep(ctx) })
	n.running.Go(func() { n.freeLocks(ctx) })
	n.running.Go(func() { n.logins.Guard.Share(ctx) })
	n.running.Go(func() { n.receiver.Share(ctx) })
	if n.config.Bodies.Endpoint != "" {
		n.running.Go(func() { n.collect(ctx) })
	}
	n.running.Go(func() { n.certs.watch(ctx) })
	return nil
}

// Listeners returns what is open, in the order of the configuration.
func (n *Node) Listeners() []Bound { return n.bound }

const (
	openTime       = 30 * time.Second // for what is read of the store while a node is built
	sweepInterval  = time.Minute
	draftLife      = time.Hour
	expireInterval = 24 * time.Hour
	trailLife      = 30 * 24 * time.Hour // beyond the longest time that a message is in the queue
)

// sweep frees bodies that nobody refers to and drafts that were never committed, and forgets old waybills.
func (n *Node) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepInterval)
	defer tick.Stop()
	var expired time.Time
	worthTelling := func(err error) bool { return err != nil && ctx.Err() == nil && n.engine.Healthy() == nil } // else the store has
	for {
		if _, err := n.mailboxes.Purge(ctx); worthTelling(err) {
			n.logger.Warn("the mail of removed accounts could not be deleted", "error", err)
		}
		if _, err := n.bodies.Sweep(ctx, draftLife); worthTelling(err) {
			n.logger.Warn("bodies could not be swept", "error", err)
		}
		if now := time.Now(); now.Sub(expired) >= expireInterval {
			expired = now
			if err := n.directory.ForgetForwards(ctx, now); worthTelling(err) {
				n.logger.Warn("old reverse-paths could not be deleted", "error", err)
			}
			if err := n.trail.Expire(ctx, now.Add(-trailLife-n.config.Queue.Expire)); worthTelling(err) {
				n.logger.Warn("old waybills could not be deleted", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
