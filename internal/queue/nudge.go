package queue

import (
	"context"
	"errors"

	"waybill/internal/mail"
	"waybill/internal/store"
	"waybill/internal/store/keys"
)

// nudge adds to the batch, which changes a message for an operator, a word to the node that works on it, if that is another.
func (q *Queue) nudge(b *store.Batch, id mail.ID) {
	if !q.Lease.Holds(id.Node()) {
		b.Put(keys.Nudge(id), nil)
	}
}

// watchNudges hears of messages that operators changed on other nodes.
func (q *Queue) watchNudges(ctx context.Context) {
	nudged, cancel := q.Store.Watch(keys.Nudges())
	defer cancel()
	for {
		select {
		case <-nudged:
			if err := q.readNudges(ctx); err != nil && !isPassing(ctx, err) { // when the store is back there is another change
				q.Logger.Warn("what operators did on other nodes could not be read", "error", err)
			}
		case <-q.closing:
			return
		case <-ctx.Done():
			return
		}
	}
}

// readNudges looks at the messages of this node that were changed, as they are now.
func (q *Queue) readNudges(ctx context.Context) error {
	nudges, err := q.nudges()
	if err != nil {
		return err
	}
	for _, n := range nudges {
		switch item, err := q.Spool.Load(ctx, n.id); {
		case errors.Is(err, store.ErrNotFound):
			q.takeBack(n.id)
		case isPassing(ctx, err):
			return err
		case err == nil:
			q.rescheduled(item)
		}
		var b store.Batch
		b.Check(keys.Nudge(n.id), n.version)
		b.Delete(keys.Nudge(n.id))
		if _, err := q.Store.Commit(ctx, &b); err != nil && !errors.Is(err, store.ErrConflict) { // else there is another word
			return err
		}
	}
	return nil
}

// nudge is a word that a message was changed.
type nudge struct {
	id      mail.ID
	version store.Version
}

// mostNudges is how many are read at once.
const mostNudges = 1000

// nudges returns those for messages of this node.
func (q *Queue) nudges() (found []nudge, err error) {
	snap, err := q.Store.Snapshot()
	if err != nil {
		return nil, err
	}
	defer snap.Close()
	for e, err := range snap.Scan(store.Prefix(keys.Nudges())) {
		if err != nil {
			return nil, err
		}
		if id, ok := keys.ParseNudge(e.Key); ok && q.Lease.Holds(id.Node()) {
			found = append(found, nudge{id, e.Version})
		}
		if len(found) == mostNudges {
			break
		}
	}
	return found, nil
}
