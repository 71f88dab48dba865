package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"waybill/internal/metrics"
	"waybill/internal/spool"
	"waybill/internal/web"
)

// openWeb opens the listeners for metrics and health.
func (n *Node) openWeb(ctx context.Context) error {
	for _, addr := range n.config.Listen.HTTP {
		listener, err := n.listen(ctx, "http", addr)
		if err != nil {
			return err
		}
		s := web.New(web.Options{Metrics: n.metrics.Handler(), Health: n.health, Logger: n.logger})
		n.web = append(n.web, service{protocol: "http", listener: listener, serve: s.Serve, shutdown: s.Shutdown})
	}
	return nil
}

var (
	errDraining  = errors.New("shutting down")
	errStoreDown = errors.New("the store is unavailable; the log says why")
)

// health returns nil, or why this node should get no new mail. Whoever may ask learns no names of files.
func (n *Node) health() error {
	switch err := (taking{n.commits}).Healthy(); {
	case n.draining.Load():
		return errDraining
	case errors.Is(err, errSlow):
		return errSlow
	case err != nil:
		return errStoreDown
	}
	least := n.config.Limits.MinFree
	if free, err := n.engine.DiskFree(); err == nil && free < uint64(least) {
		return fmt.Errorf("%d octets are free on the disk of data, fewer than limits.min_free, %d", free, least)
	}
	return nil
}

// states are what the metrics ask for.
func (n *Node) states() metrics.States {
	return metrics.States{
		Sessions: n.sessionsOpen, Queue: n.queueState, Healthy: n.health, DiskFree: n.engine.DiskFree,
		CommitsWaiting: func() int { return int(n.commits.waiting.Load()) },
		CertificateEnd: func() time.Time { return n.certs.current.Load().Leaf.NotAfter },
	}
}

// sessionsOpen counts by protocol.
func (n *Node) sessionsOpen() map[string]int {
	open := map[string]int{}
	for _, s := range n.services {
		open[s.protocol] += s.sessions()
	}
	return open
}

const (
	queueLookTime = 5 * time.Second
	queueLook     = 100_000 // messages that are counted
)

// queueState looks at the due index.
func (n *Node) queueState() metrics.QueueState {
	ctx, cancel := context.WithTimeout(context.Background(), queueLookTime)
	defer cancel()
	now := time.Now()
	entries, err := n.spool.Due(ctx, spool.Held(), spool.DueEntry{}, queueLook)
	if err != nil {
		return metrics.QueueState{}
	}
	s := metrics.QueueState{Messages: len(entries), Known: true}
	if len(entries) > 0 {
		s.Overdue = max(0, now.Sub(entries[0].Due))
	}
	return s
}
