package queue

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"waybill/internal/mail"
	"waybill/internal/spool"
	"waybill/internal/store"
	"waybill/internal/trail"
)

// report is what an attempt came to.
type report struct {
	outcomes  []spool.Outcome
	events    []trail.Event
	brokenOff bool // the queue is closing: recipients without an outcome were not tried
	panicked  bool
}

// deliverRemote makes one attempt at another server and records it. The attempt runs without any lock: it may take
// minutes.
func (q *Queue) deliverRemote(ctx context.Context, tasks []*task) {
	t := tasks[0]
	t.entry.mu.Lock()
	a := t.attemptOf()
	t.entry.mu.Unlock()
	var r report
	if words, quiet := q.quiet(t.hop); quiet {
		r.outcomes = same(a.Recipients, notTried.WithText("not tried: %s does not answer (%s)", a.NextHop, words))
	} else {
		r = q.attempt(ctx, q.Remote, a, &store.Batch{})
		q.listen(t.hop, r.outcomes)
	}
	t.entry.mu.Lock()
	defer t.entry.mu.Unlock()
	q.record(ctx, t, func(*store.Batch) report { return r })
}

// deliverLocal files several messages in one batch. If that batch meets an obstacle, each gets its own.
func (q *Queue) deliverLocal(ctx context.Context, tasks []*task) {
	single := tasks
	if len(tasks) > 1 {
		var group []*task
		single = nil
		for _, t := range tasks {
			if t.entry.mu.TryLock() { // waiting here for one entry while holding another could be a deadlock
				group = append(group, t)
			} else {
				single = append(single, t)
			}
		}
		recorded := q.recordGroup(ctx, group)
		for _, t := range group {
			t.entry.mu.Unlock()
		}
		if !recorded {
			single = append(single, group...)
		}
	}
	for _, t := range single {
		t.entry.mu.Lock()
		q.record(ctx, t, func(b *store.Batch) report { return q.attempt(ctx, q.Local, t.attemptOf(), b) })
		t.entry.mu.Unlock()
	}
}

// attempt calls the Deliverer. A panic there, on some strange message, must not take the other mail with it.
func (q *Queue) attempt(ctx context.Context, d Deliverer, a spool.Attempt, b *store.Batch) (r report) {
	defer func() {
		if p := recover(); p != nil {
			q.Logger.Error("delivery panicked", "message", a.Item.ID, "panic", p, "stack", string(debug.Stack()))
			*b = store.Batch{}
			r = report{outcomes: same(a.Recipients, mail.StatusOf(errors.New("panic"))), panicked: true}
		}
		if ctx.Err() != nil { // an attempt that was broken off proves nothing against its next hop
			r.outcomes, r.brokenOff = final(r.outcomes), true
		}
	}()
	if len(a.Recipients) == 0 {
		return report{}
	}
	r.outcomes, r.events = d.Deliver(ctx, a, b)
	return r
}

// same gives all recipients one status.
func same(recipients []int, s mail.Status) []spool.Outcome {
	outcomes := make([]spool.Outcome, len(recipients))
	for i, recipient := range recipients {
		outcomes[i] = spool.Outcome{Recipient: recipient, Status: s}
	}
	return outcomes
}

// final returns the outcomes that no further attempt changes.
func final(outcomes []spool.Outcome) []spool.Outcome {
	var kept []spool.Outcome
	for _, o := range outcomes {
		if o.Status.Success() || o.Status.Permanent() {
			kept = append(kept, o)
		}
	}
	return kept
}

// recordGroup records several messages in one batch; their entries' locks are held. It tries once.
func (q *Queue) recordGroup(ctx context.Context, group []*task) bool {
	if len(group) < 2 {
		return false
	}
	var b store.Batch
	settlements := make([]*settlement, 0, len(group))
	for _, t := range group {
		r := q.attempt(ctx, q.Local, t.attemptOf(), &b)
		s, err := q.settle(ctx, &b, t, r)
		if err != nil || r.panicked {
			discard(settlements)
			return false
		}
		settlements = append(settlements, s)
	}
	if err := q.commit(ctx, &b, settlements); err != nil {
		return false
	}
	for _, t := range group {
		q.finish(t)
	}
	return true
}

// noRoom is the outcome when a counter of the batch, as of a mailbox's messages, has reached its limit.
var noRoom = mail.NewStatus(452, "4.2.2", "the mailbox is full")

// recordTries bounds how often one outcome meets a conflict before the message is left to a later scan.
const recordTries = 10

// record puts what deliver reports into a durable batch and ends the task, whatever happens: if the store fails it
// waits until the store is back, reads the item again and records what is still pending there. The entry's lock
// is held. A local delivery is made again into each new batch; a remote one's report stays as it is.
func (q *Queue) record(ctx context.Context, t *task, deliver func(*store.Batch) report) {
	defer q.finish(t)
	for range recordTries {
		var b store.Batch
		r := deliver(&b)
		if r.brokenOff {
			t.entry.lost = true // for this process; the spool has it as it was
			if len(r.outcomes) == 0 {
				return
			}
		}
		s, err := q.settle(ctx, &b, t, r)
		if err == nil {
			err = q.commit(ctx, &b, []*settlement{s})
		}
		if err == nil {
			return
		}
		if errors.Is(err, store.ErrLimit) {
			full := report{outcomes: same(t.attemptOf().Recipients, noRoom)}
			deliver = func(*store.Batch) report { return full }
			continue
		}
		q.Logger.Warn("outcome not recorded yet", "message", t.entry.id, "error", err)
		if err = q.reload(ctx, t.entry, err); err != nil {
			if !errors.Is(err, store.ErrNotFound) {
				q.Logger.Error("outcome not recorded", "message", t.entry.id, "error", err)
				break
			}
			return // the message has ended: the batch of unknown outcome was applied
		}
	}
	t.entry.lost = true
}

// reload reads the entry's item again after cause kept its batch from being recorded, once the store is well.
// store.ErrNotFound says that the item is no longer in custody.
func (q *Queue) reload(ctx context.Context, e *entry, cause error) error {
	if errors.Is(cause, store.ErrClosed) {
		return cause
	}
	// A DSN of a batch that was applied although we were not told is in the spool, but in nobody's memory.
	defer func() { q.wantScan(time.Now()) }()
	for {
		if !errors.Is(cause, store.ErrConflict) {
			if err := q.await(ctx); err != nil {
				return fmt.Errorf("%w (%w)", err, cause)
			}
		}
		item, err := q.Spool.Load(ctx, e.id)
		switch {
		case err == nil:
			e.item = item
			return nil
		case errors.Is(err, store.ErrNotFound):
			for i := range e.item.Recipients { // nothing is left to do
				e.item.Recipients[i].State = spool.Delivered
			}
			return err
		case errors.Is(err, store.ErrClosed):
			return err
		}
		cause = err
	}
}

const healthPause = 250 * time.Millisecond

// await returns when the store takes batches, after a pause at least; an error says that ctx is done.
func (q *Queue) await(ctx context.Context) error {
	tick := time.NewTicker(healthPause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return errClosing
		case <-tick.C:
		}
		if q.Store.Healthy() == nil {
			return nil
		}
	}
}
