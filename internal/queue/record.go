package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"waybill/internal/mail"
	"waybill/internal/spool"
	"waybill/internal/store"
)

// noRoom is the outcome when a counter of the batch, as of a mailbox's messages, has reached its limit.
var noRoom = mail.NewStatus(452, "4.2.2", "the mailbox is full")

// recordTries bounds how often one outcome meets a conflict before the message is left to a later scan.
const recordTries = 10

// record puts what deliver reports into a durable batch and ends the task, whatever happens: if the store fails it
// waits until the store is back, reads the item again and records what is still pending there. The entry's lock
// is held. A local delivery is made again into each new batch; a remote one's report stays as it is.
func (q *Queue) record(ctx context.Context, t *task, deliver func(*store.Batch) report) {
	defer q.finish(t)
	defer func() {
		if p := recover(); p != nil {
			q.logPanic(t.entry.id, p)
			t.entry.stuck = true
		}
	}()
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
		if deliver, err = q.another(ctx, t, deliver, tried{r, err}); err != nil {
			if !errors.Is(err, store.ErrNotFound) { // else it has ended: the batch of unknown outcome was applied
				q.Logger.Error("outcome not recorded", "message", t.entry.id, "error", err)
				t.entry.lost = true
			}
			return
		}
	}
	t.entry.lost = true
}

var errNotOurs = errors.New("another node took the message over")

// tried is a report and why it was not recorded.
type tried struct {
	report
	err error
}

// another returns what is to be recorded after a try that failed, or why nothing is.
func (q *Queue) another(ctx context.Context, t *task, deliver func(*store.Batch) report, f tried) (func(*store.Batch) report, error) {
	switch {
	case errors.Is(f.err, errPanicked) && f.delayed:
		t.entry.stuck = true
		return nil, f.err
	case errors.Is(f.err, errPanicked):
		t.entry.delayed = true
		d := delayed(t, f.report)
		return func(*store.Batch) report { return d }, nil
	case errors.Is(f.err, store.ErrLimit) && t.nextHop == localHop:
		return q.narrow(ctx, t, deliver), nil
	}
	q.Logger.Warn("outcome not recorded yet", "message", t.entry.id, "error", f.err)
	before := t.entry.item.Version
	err := q.reload(ctx, t.entry, f.err)
	if err == nil && errors.Is(f.err, store.ErrConflict) && t.entry.item.Version == before && !t.managed {
		err = q.isOurs(t)
	}
	return deliver, err
}

// isOurs finds out whether a message whose record is as it was is another node's by now: then nothing is recorded of it.
func (q *Queue) isOurs(t *task) error {
	if !q.Lease.Doubt() {
		return nil
	}
	time.Sleep(doubtPause)
	switch {
	case q.Lease.Holds(t.entry.id.Node()):
		return nil
	case t.nextHop == localHop:
		return errNotOurs
	}
	return fmt.Errorf("%w, which this one tried to deliver too: it may be delivered twice", errNotOurs)
}

// doubtPause is how long it may take to find out.
const doubtPause = 250 * time.Millisecond

// delayed is what is recorded where recording r panicked: who has the message has it, everybody else is tried again
// later. In a mailbox it is not, since r's batch was dropped.
func delayed(t *task, r report) report {
	d := report{brokenOff: r.brokenOff, delayed: true}
	for _, o := range r.outcomes {
		if o.Status.Success() && t.nextHop != localHop {
			d.outcomes = append(d.outcomes, o)
		}
	}
	return d
}

// narrow returns what is to be recorded of a local task where a counter met its limit: for one recipient, that the
// mailbox is full; of several each is recorded on its own, since only one of the mailboxes may be full.
func (q *Queue) narrow(ctx context.Context, t *task, deliver func(*store.Batch) report) func(*store.Batch) report {
	pending := t.attemptOf().Recipients
	if len(pending) < 2 {
		full := report{outcomes: same(pending, noRoom)}
		return func(*store.Batch) report { return full }
	}
	t.recipients = pending[:1]
	q.mu.Lock()
	t.entry.running += len(pending) - 1
	q.mu.Unlock()
	t.entry.open += len(pending) - 1
	for _, i := range pending[1:] {
		alone := &task{entry: t.entry, nextHop: t.nextHop, hop: t.hop, recipients: []int{i}}
		q.record(ctx, alone, q.filing(ctx, alone))
	}
	return deliver
}

// reload reads the entry's item again after cause kept its batch from being recorded, once the store is well.
// store.ErrNotFound says that the item is no longer in custody.
func (q *Queue) reload(ctx context.Context, e *entry, cause error) error {
	if errors.Is(cause, store.ErrClosed) {
		return cause
	}
	// A DSN of a batch that was applied although we were not told is in the spool, but in nobody's memory.
	defer q.startOver(time.Now())
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
