package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"waybill/internal/mail"
	"waybill/internal/spool"
	"waybill/internal/store"
	"waybill/internal/store/bodies"
	"waybill/internal/trail"
)

// settlement is what a batch makes of one task. It becomes true when the batch is committed.
type settlement struct {
	task   *task
	item   *spool.Item // as the batch leaves it
	events []trail.Event
	held   []trail.Event // Deferred events that wait for the item's last task

	dsn       *spool.Item // nil: none
	dsnEvents []trail.Event
	draft     *bodies.Draft
}

// verdicts are a task's outcomes, sorted.
type verdicts struct {
	outcomes []spool.Outcome
	failed   []failure
	deferred []int // recipients to be tried again
}

// failure is a recipient given up.
type failure struct {
	recipient int
	host      string      // that gave the last status; "" if none did
	last      mail.Status // the outcome of the last attempt: the reason, unless the message's time is over
}

// settle adds a task's outcomes to b: the recipients' new states with the time of the next attempt or the end of
// custody, the DSN for those given up, and all events. The entry's lock is held; the entry is not changed yet.
func (q *Queue) settle(ctx context.Context, b *store.Batch, t *task, r report) (*settlement, error) {
	e, now := t.entry, time.Now()
	item := cloneItem(e.item)
	item.Attempts = e.attempt
	v := judge(item, t.recipients, r, now)
	s := &settlement{task: t, item: item, events: append(q.routed(t), r.events...)}

	due, last := item.Due, e.open == 1
	if last && !e.lost && !r.brokenOff {
		due = q.schedule.next(now, e.attempt, item.Expires)
	}
	q.Spool.Settle(b, item, v.outcomes, due)

	s.held = append(slices.Clone(e.held), q.deferred(item, v, now)...)
	if last {
		for i := range s.held {
			s.held[i].NextAt = due
		}
		s.events, s.held = append(s.events, s.held...), nil
	}
	s.events = append(s.events, q.failed(item, v, now)...)
	if len(v.failed) > 0 {
		if err := q.bounce(ctx, b, s, v.failed, now); err != nil {
			return nil, err
		}
	}
	if !slices.ContainsFunc(item.Recipients, isPending) {
		s.events = append(s.events, q.event(item, trail.Done, now))
	}
	q.Trail.Append(b, item.ID, s.events)
	return s, nil
}

func isPending(r spool.Recipient) bool { return r.State == spool.Pending }

// judge sorts the outcomes of the recipients that are still pending. Whoever has none, or one that SMTP does not
// know, is tried again; whoever would be tried again after the message's time is given up.
func judge(item *spool.Item, recipients []int, r report, now time.Time) (v verdicts) {
	given := make(map[int]spool.Outcome, len(r.outcomes))
	for _, o := range r.outcomes {
		given[o.Recipient] = o
	}
	for _, i := range recipients {
		if !isPending(item.Recipients[i]) {
			continue
		}
		o, ok := given[i]
		if !ok && r.brokenOff {
			continue // as if it had not been tried
		}
		if !o.Status.Success() && !o.Status.Permanent() && !o.Status.Temporary() {
			o.Status = mail.StatusOf(errNoOutcome)
		}
		o.Recipient = i
		f := failure{recipient: i, host: o.RemoteMTA, last: o.Status}
		if o.Status.Temporary() && !now.Before(item.Expires) {
			o.Status = expired(item, o.Status, now)
		}
		v.outcomes = append(v.outcomes, o)
		switch {
		case o.Status.Permanent():
			v.failed = append(v.failed, f)
		case o.Status.Temporary():
			v.deferred = append(v.deferred, i)
		}
	}
	return v
}

var errNoOutcome = errors.New("no outcome")

// expired is the status of a recipient whose message was tried for as long as it may be (RFC 3463 §3.5: X.4.7).
func expired(item *spool.Item, last mail.Status, now time.Time) mail.Status {
	age := now.Sub(item.Accepted).Round(time.Second)
	return mail.NewStatus(550, "5.4.7", fmt.Sprintf("given up after %s; the last attempt ended with: %s", age, last))
}

// commit makes settlements true: the batch first, then memory. Mail that was only filed need not be durable at
// once, since custody ends in the same batch; what somebody else is told of, or has taken over, must be.
func (q *Queue) commit(ctx context.Context, b *store.Batch, settlements []*settlement) error {
	b.Lazy = true
	for _, s := range settlements {
		if s.dsn != nil || s.task.nextHop != localHop {
			b.Lazy = false
		}
	}
	result, err := q.Store.Commit(context.WithoutCancel(ctx), b)
	if err != nil {
		discard(settlements)
		return fmt.Errorf("commit: %w", err)
	}
	for _, s := range settlements {
		s.item.Version = result.Version
		s.task.entry.item, s.task.entry.held = s.item, s.held
		q.Trail.Publish(s.events)
		if s.dsn != nil {
			s.draft.Committed()
			s.draft.Discard()
			s.dsn.Version = result.Version
			q.Trail.Publish(s.dsnEvents)
			q.Enqueue(s.dsn)
		}
	}
	return nil
}

// discard frees what settlements hold that did not become true.
func discard(settlements []*settlement) {
	for _, s := range settlements {
		if s.draft != nil {
			s.draft.Discard()
		}
	}
}
