package queue

import (
	"context"
	"errors"
	"runtime/debug"

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
	untried   bool // no attempt was made: recipients without an outcome are as before, and none is counted
	delayed   bool // nobody is given up
}

// errPanicked: a delivery, or recording it, panicked.
var errPanicked = errors.New("panic")

func (q *Queue) logPanic(id mail.ID, p any) {
	q.Logger.Error("delivery panicked", "message", id, "panic", p, "stack", string(debug.Stack()))
}

// deliverRemote makes one attempt at another server and records it. The attempt runs without any lock: it may take
// minutes.
func (q *Queue) deliverRemote(ctx context.Context, tasks []*task) {
	t := tasks[0]
	t.entry.mu.Lock()
	a := t.attemptOf()
	moved := q.hasMoved(t)
	t.entry.mu.Unlock()
	var r report
	if moved {
		r.untried = true
	} else if !t.entry.valid() { // somebody else may be at it
		r.brokenOff = true
	} else if words, quiet := q.quiet(t.hop); quiet {
		r.outcomes = same(a.Recipients, notTried.WithText("not tried: %s does not answer (%s)", a.NextHop, words))
	} else {
		r = q.attempt(ctx, q.Remote, a, &store.Batch{})
		q.listen(t.hop, r.outcomes)
	}
	t.entry.mu.Lock()
	defer t.entry.mu.Unlock()
	t.entry.moved = t.entry.moved || r.untried
	q.record(ctx, t, func(*store.Batch) report { return r })
}

// hasMoved says whether a recipient of a task has another next hop than when the task was planned: the routes were changed,
// or its domain has come to be local. The entry's lock is held.
func (q *Queue) hasMoved(t *task) bool {
	for _, i := range t.recipients {
		if name, _ := q.nextHop(t.entry.item.Recipients[i].ForwardPath); name != t.nextHop {
			return true
		}
	}
	return false
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
		q.record(ctx, t, q.filing(ctx, t))
		t.entry.mu.Unlock()
	}
}

// filing makes the local attempt of a task, into whatever batch it gets.
func (q *Queue) filing(ctx context.Context, t *task) func(*store.Batch) report {
	return func(b *store.Batch) report { return q.attempt(ctx, q.Local, t.attemptOf(), b) }
}

// attempt calls the Deliverer. A panic there, on some strange message, must not take the other mail with it.
func (q *Queue) attempt(ctx context.Context, d Deliverer, a spool.Attempt, b *store.Batch) (r report) {
	defer func() {
		if p := recover(); p != nil {
			q.logPanic(a.Item.ID, p)
			*b = store.Batch{}
			r = report{outcomes: same(a.Recipients, mail.StatusOf(errPanicked)), panicked: true}
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
func (q *Queue) recordGroup(ctx context.Context, group []*task) (recorded bool) {
	if len(group) < 2 {
		return false
	}
	defer func() {
		if p := recover(); p != nil && !recorded { // each tries on its own
			q.logPanic(group[0].entry.id, p)
		}
	}()
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
