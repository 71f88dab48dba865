package queue

import (
	"context"
	"errors"
	"slices"
	"time"

	"waybill/internal/mail"
	"waybill/internal/spool"
	"waybill/internal/store"
	"waybill/internal/store/record"
)

const (
	scanPause = 5 * time.Second            // after an error
	farAhead  = 200 * 365 * 24 * time.Hour // of any clock
	scanRest  = 15 * time.Minute           // longest time without a look at the index
)

// wantScan asks for a look at the due index at that time.
func (q *Queue) wantScan(at time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.wantScanLocked(at)
}

// isDueAt says that a message that is not in memory is due at that time, which may be past. Queue.mu is held.
func (q *Queue) isDueAt(due time.Time) {
	q.front.backTo(due)
	q.wantScanLocked(due)
}

func (q *Queue) wantScanLocked(at time.Time) {
	if q.wanted.IsZero() || at.Before(q.wanted) {
		q.wanted = at
		q.poke()
	}
}

// startOver asks for a look at all that is in the due index, at that time.
func (q *Queue) startOver(at time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.front.restart()
	q.back = slices.DeleteFunc(q.back, func(w *walk) bool { return w.hop == nil }) // the front sees all that
	q.wantScanLocked(at)
}

func (q *Queue) poke() {
	select {
	case q.kick <- struct{}{}:
	default:
	}
}

// scanLoop looks at the due index whenever something is due.
func (q *Queue) scanLoop(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-q.closing:
			return
		case <-q.kick:
		case <-timer.C:
		}
		q.refill(ctx)
		q.mu.Lock()
		wait := time.Until(q.wanted)
		if wait <= 0 {
			q.wanted = time.Time{}
		}
		q.mu.Unlock()
		if wait <= 0 {
			q.wantScan(q.scan(ctx))
			q.mu.Lock()
			wait = time.Until(q.wanted)
			q.mu.Unlock()
		}
		timer.Reset(max(wait, 0))
	}
}

// scan takes what is due out of the index into memory, as far as memory goes, and returns when to look again.
func (q *Queue) scan(ctx context.Context) (next time.Time) {
	now := time.Now()
	q.forget(now)
	unfinished := false
	err := q.goOn(ctx, now)
	if err == nil {
		// What is due later than any retry was put off by a clock that has been set back since, or by a longer schedule.
		far := &walk{at: spool.DueEntry{Due: now.Add(q.schedule.longest())}, until: now.Add(farAhead)}
		err = q.goThrough(ctx, far, now)
	}
	if err == nil {
		unfinished, err = q.goBack(ctx, now)
	}
	switch {
	case err != nil:
		return q.scanFailed(ctx, now, err)
	case unfinished:
		return now
	}
	return q.nextScan(ctx, now)
}

// isDue says whether an attempt is to be made now.
func (q *Queue) isDue(due, now time.Time) bool {
	return !due.After(now) || due.After(now.Add(q.schedule.longest())) && !due.Equal(spool.Held())
}

func (q *Queue) scanFailed(ctx context.Context, now time.Time, err error) time.Time {
	if ctx.Err() == nil && q.Store.Healthy() == nil { // else the store has said so itself
		q.Logger.Warn("the due index could not be read", "error", err)
	}
	return now.Add(scanPause)
}

// nextScan is when the first entry after those looked at is due.
func (q *Queue) nextScan(ctx context.Context, now time.Time) time.Time {
	next := now.Add(scanRest)
	entries, err := q.Spool.Due(ctx, next, spool.DueEntry{Due: now.Add(time.Microsecond)}, 1)
	switch {
	case err != nil:
		return q.scanFailed(ctx, now, err)
	case len(entries) > 0:
		return entries[0].Due
	}
	return next
}

// reserve keeps places in memory for messages that a scan found, and returns those that have none yet, and how many entries
// it looked at before memory was full. Queue.mu is held.
func (q *Queue) reserve(entries []spool.DueEntry) (ids []mail.ID, seen int) {
	for i, due := range entries {
		if _, inLine := q.left[due.ID]; inLine || q.closed || q.active[due.ID] != nil {
			continue
		}
		if !q.hasRoom() {
			q.full = true
			return ids, i
		}
		q.active[due.ID] = &entry{id: due.ID, reserved: true}
		ids = append(ids, due.ID)
	}
	return ids, len(entries)
}

// load reads the messages that have a place in memory and puts the tasks of those that are still due before the
// workers: a message may have been attempted and recorded since the scan saw its entry. They come from the line of
// called, if that is not nil.
func (q *Queue) load(ctx context.Context, ids []mail.ID, now time.Time, called *hop) error {
	if len(ids) == 0 {
		return nil
	}
	items, err := q.items(ctx, ids, now)
	if err == nil {
		// What the scan saw may not be durable yet, and nothing leaves on the strength of that.
		err = q.Store.Barrier(ctx)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	var withdrawn []mail.ID
	for _, id := range ids {
		if q.active[id].withdrawn {
			withdrawn = append(withdrawn, id)
		}
		delete(q.active, id)
	}
	if err != nil || q.closed {
		return err
	}
	for _, item := range items {
		if slices.Contains(withdrawn, item.ID) {
			continue
		}
		if e, tasks := q.plan(item); len(tasks) > 0 {
			e.scanned = true
			q.admit(e, tasks, called)
		}
	}
	return nil
}

// items reads those of the messages that are in custody and due.
func (q *Queue) items(ctx context.Context, ids []mail.ID, now time.Time) ([]*spool.Item, error) {
	items := make([]*spool.Item, 0, len(ids))
	err := q.Spool.LoadEach(ctx, ids, func(id mail.ID, item *spool.Item, err error) error {
		switch {
		case errors.Is(err, store.ErrNotFound):
			return nil
		case err != nil && !isPassing(ctx, err): // it must not hold up what stands behind it in the index
			q.leaveAlone(id, err)
			return nil
		case err != nil:
			return err
		}
		if q.isDue(item.Due, now) {
			items = append(items, item)
		}
		return nil
	})
	return items, err
}

// maxUnreadable bounds the messages of which is remembered that their records cannot be read.
const maxUnreadable = 1000

// leaveAlone says once that a message cannot be read.
func (q *Queue) leaveAlone(id mail.ID, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.unreadable[id] || len(q.unreadable) >= maxUnreadable {
		return
	}
	q.unreadable[id] = true
	what := "a message in the queue cannot be read and is left alone"
	if errors.Is(err, record.ErrCorrupt) { // of others the disk may know more later
		what += "; it can be dropped: waybill queue drop " + string(id)
	}
	q.Logger.Error(what, "message", id, "error", err)
}

// forget drops what need not be remembered any more.
func (q *Queue) forget(now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for id, ended := range q.scanned {
		if now.Sub(ended) > scanMemory {
			delete(q.scanned, id)
		}
	}
	q.remote.forgetQuiet(now)
}
