package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"waybill/internal/mail"
	"waybill/internal/spool"
	"waybill/internal/store"
	"waybill/internal/store/keys"
)

// oursOrTell adds to a batch, which changes a message for an operator, what makes it fail if the message is not this node's, as it
// believes; or, if it is another's, a word to that one.
func (q *Queue) oursOrTell(b *store.Batch, id mail.ID) {
	if q.Lease.Holds(id.Node()) {
		q.Lease.Fence(b, id.Node())
	} else {
		b.Put(keys.Nudge(id), nil)
	}
}

// lookForNudges asks for a look at what operators did on other nodes.
func (q *Queue) lookForNudges() {
	select {
	case q.nudged <- struct{}{}:
	default:
	}
}

// nudgePause is how long it takes until a word that could not be followed is looked at again.
const nudgePause = time.Second

// watchNudges hears of messages that operators changed on other nodes.
func (q *Queue) watchNudges(ctx context.Context) {
	nudged, cancel := q.Store.Watch(keys.Nudges())
	defer cancel()
	again := time.NewTimer(nudgePause)
	defer again.Stop()
	for {
		select {
		case <-nudged:
		case <-q.nudged:
		case <-again.C:
		case <-q.closing:
			return
		case <-ctx.Done():
			return
		}
		left, err := q.followNudges(ctx)
		if err != nil && !isPassing(ctx, err) {
			q.Logger.Warn("what operators did on other nodes could not be read", "error", err)
		}
		if left || err != nil {
			again.Reset(nudgePause)
		}
	}
}

// followNudges looks at the messages of this node that were changed, as they are now. What an attempt is under way of is left
// until that is over: then whoever waits for it knows that there is none.
func (q *Queue) followNudges(ctx context.Context) (left bool, err error) {
	nudges, err := q.nudges()
	if err != nil {
		return false, err
	}
	for _, n := range nudges {
		switch item, err := q.Spool.Load(ctx, n.id); {
		case isPassing(ctx, err):
			return true, err
		case err == nil:
			q.rescheduled(item)
		default:
			q.takeBack(n.id)
		}
		if q.isUnderWay(n.id) {
			left = true
			continue
		}
		var b store.Batch
		b.Check(keys.Nudge(n.id), n.version)
		b.Delete(keys.Nudge(n.id))
		if _, err := q.Store.Commit(ctx, &b); err != nil && !errors.Is(err, store.ErrConflict) { // else there is another word
			return true, err
		}
	}
	return left, nil
}

// isUnderWay says whether a message is being attempted, or is about to be.
func (q *Queue) isUnderWay(id mail.ID) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.active[id]
	return e != nil && (e.reserved || e.running > 0)
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

// errNoAnswer: another node was asked to attempt a message no more, and did not say that it will not.
var errNoAnswer = errors.New("the node that has the message attempts it just now, or does not answer; try again in half a minute")

const (
	answerTime = 5 * time.Second // for another node
	answerLook = 100 * time.Millisecond
)

// withdraw holds a message that is another node's until that one attempts it no more, and returns it as it is then. One of this
// node is returned as it is.
func (q *Queue) withdraw(ctx context.Context, item *spool.Item) (*spool.Item, error) {
	if q.Lease.Holds(item.ID.Node()) {
		return item, nil
	}
	due, word := item.Due, keys.Nudge(item.ID)
	if err := q.reschedule(ctx, item, spool.Held(), "it is to be ended: no attempt any more"); err != nil {
		return nil, err
	}
	for end := time.Now().Add(answerTime); ; {
		switch version, err := store.VersionOf(q.Store, word); {
		case err != nil:
			return nil, err
		case version == store.Absent:
			return q.Spool.Load(ctx, item.ID)
		}
		if time.Now().After(end) || ctx.Err() != nil {
			break
		}
		time.Sleep(answerLook)
	}
	item, err := q.Spool.Load(ctx, item.ID)
	if err == nil {
		err = q.reschedule(ctx, item, due, "it could not be ended, and is attempted as before")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	return nil, errNoAnswer
}
