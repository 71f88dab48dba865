package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"waybill/internal/mail"
	"waybill/internal/spool"
	"waybill/internal/store"
	"waybill/internal/store/record"
	"waybill/internal/trail"
)

// conflictPause is how long whoever met a scan or an attempt that is being recorded waits before it looks again, longer each time.
const conflictPause = 5 * time.Millisecond

// Errors of Manage.
var (
	ErrNotQueued = errors.New("the message is not in the queue")
	ErrUnderWay  = errors.New("an attempt is under way; try again when it is over")
	ErrNotHeld   = errors.New("the message is not held")
	ErrHeld      = errors.New("the message is held: release lets it go")
)

// Statuses of recipients whom an operator ends (RFC 3463 §3.8: X.7.0, a policy).
var (
	dropped  = mail.NewStatus(554, "5.7.0", "dropped from the queue by the operator")
	returned = mail.NewStatus(554, "5.7.0", "returned by the operator of this server before it could be delivered")
)

// Manage does something to a message. What an attempt under way comes to is recorded all the same; a message cannot be
// ended while one is. Errors: ErrNotQueued, ErrUnderWay, ErrNotHeld, ErrHeld, those of the store.
func (q *Queue) Manage(ctx context.Context, id mail.ID, action spool.Action) error {
	var err error
	for try := range recordTries {
		if err = q.manage(ctx, id, action); !errors.Is(err, store.ErrConflict) {
			break
		}
		q.Lease.Doubt()
		time.Sleep(conflictPause << min(try, 6))
	}
	if errors.Is(err, store.ErrNotFound) {
		err = ErrNotQueued
	}
	if err != nil {
		return fmt.Errorf("message %s: %w", id, err)
	}
	return nil
}

func (q *Queue) manage(ctx context.Context, id mail.ID, action spool.Action) error {
	item, err := q.Spool.Load(ctx, id)
	switch {
	case errors.Is(err, record.ErrCorrupt) && action == spool.Drop:
		return q.erase(ctx, id)
	case err != nil:
		return err
	}
	if action == spool.Drop || action == spool.Bounce {
		if item, err = q.withdraw(ctx, item); err != nil {
			return err
		}
	}
	now := time.Now()
	switch action {
	case spool.Retry:
		if item.IsHeld() {
			return ErrHeld
		}
		return q.reschedule(ctx, item, now, "it is to be tried now")
	case spool.Hold:
		return q.reschedule(ctx, item, spool.Held(), "it is held: no attempt until it is released")
	case spool.Release:
		if !item.IsHeld() {
			return ErrNotHeld
		}
		return q.reschedule(ctx, item, now, "it is released, and tried now")
	case spool.Drop:
		return q.end(ctx, item, dropped, "the operator dropped the message")
	case spool.Bounce:
		return q.end(ctx, item, returned, "")
	}
	return fmt.Errorf("there is no action %q", action)
}

// erase drops a message whose record cannot be read.
func (q *Queue) erase(ctx context.Context, id mail.ID) error {
	var b store.Batch
	if err := q.Spool.Erase(ctx, &b, id); err != nil {
		return err
	}
	ev := q.event(&spool.Item{ID: id}, trail.Managed, time.Now())
	ev.Text = "the operator dropped the message, whose record could not be read"
	q.Trail.Append(&b, id, []trail.Event{ev})
	if _, err := q.Store.Commit(ctx, &b); err != nil {
		return err
	}
	q.Trail.Publish([]trail.Event{ev})
	return nil
}

// reschedule gives a message another time. If it waits in memory, it has its turn there, unless it is held.
func (q *Queue) reschedule(ctx context.Context, item *spool.Item, due time.Time, what string) error {
	var b store.Batch
	q.Spool.Reschedule(&b, item, due)
	ev := q.event(item, trail.Managed, time.Now())
	ev.Text = what
	q.Trail.Append(&b, item.ID, []trail.Event{ev})
	q.oursOrTell(&b, item.ID)
	if _, err := q.Store.Commit(ctx, &b); err != nil {
		return err
	}
	q.Trail.Publish([]trail.Event{ev})
	q.rescheduled(item)
	return nil
}

// rescheduled is told that an operator gave a message another time.
func (q *Queue) rescheduled(item *spool.Item) {
	if item.IsHeld() {
		q.takeBack(item.ID)
		return
	}
	q.rouse(item)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.isDueAt(item.Due)
}

// takeBack takes a message that was just put off out of memory, if it waits there, or is about to come there from a scan that
// saw it before.
func (q *Queue) takeBack(id mail.ID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e := q.active[id]; e != nil && e.reserved {
		e.withdrawn = true
		return
	}
	q.evict(id)
}

// rouse has the next hops of a message tried although they did not answer a moment ago: an operator knows why.
func (q *Queue) rouse(item *spool.Item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, r := range item.Recipients {
		name, _ := q.nextHop(r.ForwardPath)
		if h := q.remote.hops[name]; h != nil && isPending(r) {
			h.failures, h.quietUntil = 0, time.Time{}
			q.remote.rouse(h)
		}
	}
}

// evict takes a message out of memory that waits there. If it does not, an attempt is under way or a scan is about to read it,
// and it is left. Queue.mu is held.
func (q *Queue) evict(id mail.ID) error {
	e := q.active[id]
	switch {
	case e == nil:
		return nil
	case e.reserved:
		return store.ErrConflict
	case e.running > 0:
		return ErrUnderWay
	}
	others := func(t *task) bool { return t.entry != e }
	q.local.clear(others)
	q.remote.clear(others)
	q.remove(e)
	return nil
}

// occupy puts an entry with one task into memory, in the place of one that waits there: nobody attempts the message meanwhile.
func (q *Queue) occupy(e *entry) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.evict(e.id); err != nil {
		return err
	}
	e.open, e.size, e.running = 1, len(e.item.Recipients), 1
	q.active[e.id] = e
	q.recipients += e.size
	return nil
}

// end gives all recipients that are pending a final status, in one batch, so that the sender gets one report; untold is why
// it hears nothing, "" if it does.
func (q *Queue) end(ctx context.Context, item *spool.Item, status mail.Status, untold string) error {
	e := newEntry(item)
	t := &task{entry: e, managed: true}
	for i, r := range item.Recipients {
		if isPending(r) {
			t.recipients = append(t.recipients, i)
		}
	}
	if err := q.occupy(e); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	q.record(ctx, t, func(*store.Batch) report {
		r := report{outcomes: same(t.attemptOf().Recipients, status), untried: true}
		for i := range r.outcomes {
			r.outcomes[i].Untold = untold
		}
		return r
	})
	if e.lost {
		return errors.New("it could not be recorded; see the log")
	}
	return nil
}
