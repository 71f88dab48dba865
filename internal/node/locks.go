package node

import (
	"context"
	"time"

	"waybill/internal/store"
)

// freeInterval is how often locks are looked for that could not be ended with their sessions.
const freeInterval = 5 * time.Second

// freeLocks ends the locks of maildrops that could not be ended because the store was away, when it is back.
func (n *Node) freeLocks(ctx context.Context) {
	reopened, cancel := n.engine.Watch(store.Reopened())
	defer cancel()
	tick := time.NewTicker(freeInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-reopened:
		case <-tick.C:
		}
		if err := n.mailboxes.FreeLocks(ctx); err != nil && ctx.Err() == nil && n.engine.Healthy() == nil { // else the store has said so
			n.logger.Warn("the lock of a maildrop could not be ended", "error", err)
		}
	}
}
