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
	late   []result      // deferred recipients that wait for it too

	dsn       *spool.Item // nil: none
	dsnEvents []trail.Event
	draft     *bodies.Draft
}

// verdicts are a task's outcomes, sorted.
type verdicts struct {
	outcomes []spool.Outcome
	done     []result
	failed   []result
	deferred []result // to be tried again
}

// result is what an attempt came to for one recipient.
type result struct {
	recipient int
	host      string      // that gave the last status; "" if none did
	last      mail.Status // the outcome of the last attempt: the reason, unless the message's time is over
	untold    string      // why the sender gets no DSN about a failure; "": it does
	passed    bool        // host reports on it from now on
}

// settle adds a task's outcomes to b: the recipients' new states with the time of the next attempt or the end of
// custody, the DSN about those of whom the sender is to hear, and all events. The entry's lock is held; the entry is not changed yet.
// A panic, on some strange message, is errPanicked.
func (q *Queue) settle(ctx context.Context, b *store.Batch, t *task, r report) (s *settlement, err error) {
	item := cloneItem(t.entry.item)
	if !r.untried {
		item.Attempts = t.entry.attempt
	}
	s = &settlement{task: t, item: item}
	defer func() {
		if p := recover(); p != nil {
			q.logPanic(item.ID, p)
			err = errPanicked
		}
		if err != nil {
			discard([]*settlement{s})
		}
	}()
	return s, q.fill(ctx, b, s, r)
}

// fill does the work of settle.
func (q *Queue) fill(ctx context.Context, b *store.Batch, s *settlement, r report) error {
	t, e, item, now := s.task, s.task.entry, s.item, time.Now()
	last := e.open == 1
	v := judge(item, t.recipients, r, now, last)
	late, held := e.late, e.held
	if last && !r.brokenOff && !r.delayed && !now.Before(item.Expires) {
		v.giveUp(item, late, now)
		late, held = nil, nil
	}
	if !r.untried {
		s.events = q.routed(t)
	}
	s.events = append(s.events, r.events...)

	due, why := item.Due, ""
	if last && !r.brokenOff {
		due, why = q.nextAttempt(e, slices.Concat(late, v.deferred), now)
	}
	s.late = slices.Concat(late, v.deferred)
	var delays []notice
	if last && !r.brokenOff && !r.delayed {
		delays = q.delays(s, s.late, now) // before the record is written, which says of whom
	}
	q.Spool.Settle(b, item, v.outcomes, due)

	s.held = append(slices.Clone(held), q.deferred(item, v, now)...)
	if last {
		for i := range s.held {
			s.held[i].NextAt = due
			if why != "" {
				s.held[i].Facts = append(s.held[i].Facts, trail.Fact{Name: "next attempt", Value: why})
			}
		}
		s.events, s.held = append(s.events, s.held...), nil
	}
	s.events = append(s.events, q.failed(item, v, now)...)
	if !r.delayed {
		if err := q.tell(ctx, b, s, append(q.notices(s, v, now), delays...), now); err != nil {
			return err
		}
	}
	if !slices.ContainsFunc(item.Recipients, isPending) {
		s.events = append(s.events, q.event(item, trail.Done, now))
	}
	q.Trail.Append(b, item.ID, s.events)
	return nil
}

// nextAttempt is when a message is due after the last task of a round. Recipients that had no turn in it, for want of
// room in memory, are due as before, unless others have to wait. why is a reason besides the schedule.
func (q *Queue) nextAttempt(e *entry, deferred []result, now time.Time) (due time.Time, why string) {
	if e.item.IsHeld() { // an operator was faster than the attempt
		return e.item.Due, ""
	}
	if e.lost || (e.left != "" || e.moved) && len(deferred) == 0 {
		return e.item.Due, ""
	}
	expires := e.item.Expires
	if e.delayed {
		expires = now.Add(q.Expire)
	}
	due = q.schedule.next(now, e.attempt, expires)
	if soon, grey := greyDelay(deferred, e.attempt); grey && now.Add(soon).Before(due) {
		return now.Add(soon), "sooner than the schedule says: the host greylists, and takes what comes again"
	}
	return due, ""
}

func isPending(r spool.Recipient) bool { return r.State == spool.Pending }

// judge sorts the outcomes of the recipients that are still pending. Whoever has none, or one that SMTP does not
// know, is tried again; whoever would be tried again after the message's time is given up with the last task of the round.
func judge(item *spool.Item, recipients []int, r report, now time.Time, last bool) (v verdicts) {
	given := make(map[int]spool.Outcome, len(r.outcomes))
	for _, o := range r.outcomes {
		given[o.Recipient] = o
	}
	for _, i := range recipients {
		if !isPending(item.Recipients[i]) {
			continue
		}
		o, ok := given[i]
		if !ok && (r.brokenOff || r.untried) {
			continue // as if it had not been tried
		}
		if !o.Status.Success() && !o.Status.Permanent() && !o.Status.Temporary() {
			o.Status = mail.StatusOf(errNoOutcome)
		}
		o.Recipient = i
		res := result{recipient: i, host: o.RemoteMTA, last: o.Status, untold: o.Untold, passed: o.Passed}
		if last && o.Status.Temporary() && !now.Before(item.Expires) && !r.delayed {
			o.Status = expired(item, o.Status, now)
		}
		v.outcomes = append(v.outcomes, o)
		switch {
		case o.Status.Success():
			v.done = append(v.done, res)
		case o.Status.Permanent():
			v.failed = append(v.failed, res)
		default:
			v.deferred = append(v.deferred, res)
		}
	}
	return v
}

// giveUp adds the recipients that earlier tasks of the round would have tried again after the message's time: so its sender
// gets one report about all.
func (v *verdicts) giveUp(item *spool.Item, late []result, now time.Time) {
	for _, r := range late {
		if isPending(item.Recipients[r.recipient]) {
			v.outcomes = append(v.outcomes, spool.Outcome{Recipient: r.recipient, Status: expired(item, r.last, now), RemoteMTA: r.host})
			v.failed = append(v.failed, r)
		}
	}
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
	if !b.Lazy {
		b.ID = store.NewBatchID(time.Now())
	}
	for _, s := range settlements {
		if s.task.managed { // an operator asks whatever node there is
			q.oursOrTell(b, s.item.ID)
		} else {
			q.Lease.Fence(b, s.item.ID.Node())
		}
	}
	result, err := q.apply(ctx, b)
	if err != nil {
		discard(settlements)
		return fmt.Errorf("commit: %w", err)
	}
	for _, s := range settlements {
		s.item.Version = result.Version
		s.task.entry.item, s.task.entry.held, s.task.entry.late = s.item, s.held, s.late
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

// apply commits a batch. Where the outcome stays unknown it commits the batch again once the store is well, which tells
// if the batch has an ID; so what an attempt came to is not recorded twice.
func (q *Queue) apply(ctx context.Context, b *store.Batch) (result store.Result, err error) {
	unknown := false
	for range recordTries {
		result, err = q.Store.Commit(context.WithoutCancel(ctx), b)
		unknown = unknown || errors.Is(err, store.ErrUnknown)
		again := errors.Is(err, store.ErrUnknown) || errors.Is(err, store.ErrUnavailable)
		if !unknown || !again || b.ID == (store.BatchID{}) || q.await(ctx) != nil {
			break
		}
	}
	return result, err
}

// discard frees what settlements hold that did not become true.
func discard(settlements []*settlement) {
	for _, s := range settlements {
		if s.draft != nil {
			s.draft.Discard()
		}
	}
}
