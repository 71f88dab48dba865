package queue

import (
	"context"
	"errors"
	"time"

	"waybill/internal/spool"
)

// The due index is walked once: what is due up to the front of the walk is in memory, in line for its next hop, or behind
// what the line of its next hop can hold, and then the hop knows from where on (hop.from). So a large backlog is not read
// again whenever something else is due. Whoever leaves a message on disk says when it is due, by isDueAt, and the front goes
// back there if it has passed that time. Where a next hop has room for what is behind its line, a walk of its own looks for
// that, a page at a time, between which the front goes on.
//
// Should anybody ever forget to say so, a walk through all that is behind the front finds it, every scanRest.

const (
	scanLimit = 256 // entries of the due index that are read at once: a page
	frontStep = 16  // pages that the front goes on at once
)

// walk is a way through the due index. Its fields are guarded by Queue.mu.
type walk struct {
	at     spool.DueEntry // the last entry that was looked at
	until  time.Time      // where it ends; of the front, where its last page does
	hop    *hop           // it looks for what waits for that; nil: for everything
	turned int            // how often it was set back: a page that was read before does not take it on
}

// backTo makes the walk see what is due at that time, again if it was seen. Queue.mu is held.
func (w *walk) backTo(due time.Time) {
	due = due.Truncate(time.Microsecond)
	if !due.After(w.until) { // the page that is being read may be from before
		w.turned++
	}
	if !due.After(w.at.Due) {
		w.at = spool.DueEntry{Due: due.Add(-time.Microsecond)}
	}
}

// behind is a place in the due index behind all that is due at that time: no id has a tilde.
func behind(due time.Time) spool.DueEntry {
	return spool.DueEntry{ID: "~", Due: due.Truncate(time.Microsecond)}
}

// restart makes the walk see everything again. Queue.mu is held.
func (w *walk) restart() {
	w.at = spool.DueEntry{}
	w.turned++
}

// goOn moves the front until now. If that is far, as at a start with a backlog, a walk of its own gets the rest: what is due
// just now does not wait for that.
func (q *Queue) goOn(ctx context.Context, now time.Time) error {
	q.mu.Lock()
	q.front.until = now
	q.mu.Unlock()
	for range frontStep {
		switch end, err := q.page(ctx, &q.front, now); {
		case errors.Is(err, errFull):
			return nil
		case end || err != nil:
			return err
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.back = append(q.back, &walk{at: q.front.at, until: now})
	q.front.at = behind(now)
	return nil
}

// goThrough walks to the end, as far as memory goes.
func (q *Queue) goThrough(ctx context.Context, w *walk, now time.Time) error {
	for {
		switch end, err := q.page(ctx, w, now); {
		case errors.Is(err, errFull):
			return nil
		case end || err != nil:
			return err
		}
	}
}

// goBack walks a page of one of the walks behind the front; unfinished says that there is more to walk.
func (q *Queue) goBack(ctx context.Context, now time.Time) (unfinished bool, err error) {
	w := q.nextBack(now)
	if w == nil {
		return false, nil
	}
	end, err := q.page(ctx, w, now)
	full := errors.Is(err, errFull)
	if full {
		err = nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.back) == 0 || q.back[0] != w { // all began anew meanwhile
		return len(q.back) > 0, err
	}
	q.back = q.back[1:]
	switch h := w.hop; {
	case h != nil && end:
		q.ended(h)
	case h != nil && (full || h.more): // nor does the line hold more; whoever makes room calls the hop
		h.leaveBehind(w.at)
		q.crowded = q.crowded || full
		q.ended(h)
	case !end:
		q.back = append(q.back, w)
	}
	return len(q.back) > 0 && !q.full, err
}

// ended notes that the walk for a hop is over. Queue.mu is held.
func (q *Queue) ended(h *hop) {
	h.sought = false
	q.call(h)
	q.remote.drop(h)
}

// nextBack returns the walk whose turn it is. Now and then that is one through everything.
func (q *Queue) nextBack(now time.Time) *walk {
	q.mu.Lock()
	defer q.mu.Unlock()
	if since := now.Sub(q.walkedAll); since < 0 || since >= scanRest {
		q.walkedAll = now
		q.back = append(q.back, &walk{until: q.front.at.Due})
	}
	if len(q.back) == 0 || q.full || q.closed {
		return nil
	}
	return q.back[0]
}

// errFull is why a walk stops: memory has no room for what comes next.
var errFull = errors.New("queue: memory is full")

// page takes the next entries of a walk into memory; end says that there are no others. Errors: errFull, those of the store.
func (q *Queue) page(ctx context.Context, w *walk, now time.Time) (end bool, err error) {
	q.mu.Lock()
	from, until, turned, full := w.at, w.until, w.turned, q.full || q.closed
	q.mu.Unlock()
	if full {
		return false, errFull
	}
	entries, err := q.Spool.Due(ctx, until, from, scanLimit)
	if err != nil {
		return false, err
	}
	q.mu.Lock()
	ids, seen := q.reserve(entries)
	full = seen < len(entries)
	end = !full && seen < scanLimit
	switch {
	case w.turned != turned: // somebody wants what is before, or came after the page was read: again
		end = false
	case end:
		w.at = behind(until)
	case seen > 0:
		w.at = entries[seen-1]
	}
	q.mu.Unlock()
	if err := q.load(ctx, ids, now, w.hop); err != nil {
		q.mu.Lock()
		w.restart()
		q.mu.Unlock()
		return false, err
	}
	if full {
		return false, errFull
	}
	return end, nil
}
