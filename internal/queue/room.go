package queue

import (
	"context"
	"time"

	"waybill/internal/mail"
	"waybill/internal/spool"
)

// Memory holds a few messages for each next hop, so that one that does not answer fills neither it nor the time of
// the others. The rest stays on disk. Of those the ids are kept in line, as far as these bounds allow, and when the
// next hop has worked off half of what it had in memory they are read; beyond the bounds the due index is walked
// again, from the first that was left there, when the line is empty. A quarter of memory takes nothing but mail for local recipients.
const maxLeft = 100_000 // ids in all lines

// hasRoom says whether memory can take a further message at all.
func (q *Queue) hasRoom() bool {
	return len(q.active) < q.MaxActive && q.recipients < q.MaxRecipients
}

// isCrowded says whether what is left of memory is kept for local mail.
func (q *Queue) isCrowded() bool {
	return len(q.active) >= q.MaxActive-q.MaxActive/4 || q.recipients >= q.MaxRecipients-q.MaxRecipients/4
}

// mayStart says whether a task has room in memory. Nobody overtakes those in line but who was just called from it.
func (q *Queue) mayStart(t *task, called *hop) bool {
	if t.nextHop == localHop {
		return true
	}
	if q.isCrowded() {
		q.crowded = true
		return false
	}
	h := q.remote.hops[t.nextHop]
	if h == nil {
		return true
	}
	return h.tasks() < q.HopRoom && (h == called || len(h.left) == 0 && !h.more && !h.sought)
}

// admit takes a message into memory with those of its tasks that have room, and puts them before the workers; called
// is the next hop from whose line the message comes, if any. The other recipients have their turn in a later round.
// Queue.mu is held.
func (q *Queue) admit(e *entry, tasks []*task, called *hop) {
	if !q.hasRoom() {
		q.full = true
		q.front.backTo(e.item.Due)
		return
	}
	var admitted []*task
	for _, t := range tasks {
		if q.mayStart(t, called) {
			admitted = append(admitted, t)
		} else {
			e.left = t.nextHop
		}
	}
	if len(admitted) == 0 {
		q.leave(e, e.left)
		return
	}
	e.open, e.size = len(admitted), len(e.item.Recipients)
	q.active[e.id] = e
	q.recipients += e.size
	for _, t := range admitted {
		if t.nextHop == localHop {
			q.local.add(t)
		} else {
			q.remote.add(t)
		}
	}
}

// remove takes a message out of memory. Queue.mu is held.
func (q *Queue) remove(e *entry) {
	if q.active[e.id] != e {
		return
	}
	delete(q.active, e.id)
	q.recipients -= e.size
	if q.full && len(q.active) <= q.MaxActive/2 && q.recipients <= q.MaxRecipients/2 {
		q.full = false
		q.wantScanLocked(time.Now())
	}
	if q.crowded && len(q.active) <= q.MaxActive/2 && q.recipients <= q.MaxRecipients/2 {
		q.crowded = false
		for _, h := range q.remote.hops {
			q.call(h)
		}
	}
}

// leave puts a message, which stays on disk, in line for a next hop. Queue.mu is held.
func (q *Queue) leave(e *entry, nextHop string) {
	if _, inLine := q.left[e.id]; inLine {
		return
	}
	h := q.remote.hop(nextHop)
	if len(q.left) < maxLeft && len(h.left) < q.LineRoom {
		q.left[e.id] = struct{}{}
		h.left = append(h.left, e.id)
	} else {
		h.leaveBehind(before(e))
	}
	q.call(h)
}

// before is a place in the due index before the entry of a message, with little between them.
func before(e *entry) spool.DueEntry {
	return spool.DueEntry{ID: e.id[:max(len(e.id)-1, 0)], Due: e.item.Due}
}

// leaveBehind notes that the due index has messages behind that place that nobody else knows.
func (h *hop) leaveBehind(place spool.DueEntry) {
	if !h.more || place.Due.Before(h.from.Due) || place.Due.Equal(h.from.Due) && place.ID < h.from.ID {
		h.from = place
	}
	h.more = true
}

// call has the line of a next hop read if enough room has come about. Queue.mu is held.
func (q *Queue) call(h *hop) {
	switch {
	case h.called || q.closed || h.tasks() > q.HopRoom/2 || len(h.left) == 0 && !h.more:
	case q.isCrowded():
		q.crowded = true // whoever makes room calls it again
	case len(h.left) > 0:
		h.called = true
		q.calls = append(q.calls, h)
		q.poke()
	case h.more && !h.sought:
		h.more, h.sought = false, true
		until := time.Now() // the front may be about to pass what was left behind a moment ago
		if q.front.at.Due.After(until) {
			until = q.front.at.Due
		}
		q.back = append(q.back, &walk{at: h.from, until: until, hop: h})
		q.wantScanLocked(time.Now())
	}
}

// refill reads what is in line for the next hops that were called. Who is called meanwhile has the next turn: a hop that
// works its line off as fast as it is read must not keep the index from being looked at.
func (q *Queue) refill(ctx context.Context) {
	q.mu.Lock()
	turns := len(q.calls)
	q.mu.Unlock()
	for range turns {
		h, ids := q.fromLine()
		if h == nil {
			return
		}
		if err := q.load(ctx, ids, time.Now(), h); err != nil { // the index still has them
			q.startOver(q.scanFailed(ctx, time.Now(), err))
		}
		q.mu.Lock()
		q.call(h)
		q.remote.drop(h)
		q.mu.Unlock()
	}
}

// fromLine takes out of the line of one next hop what it has room for, and keeps places in memory for it.
func (q *Queue) fromLine() (*hop, []mail.ID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.calls) == 0 || q.closed {
		return nil, nil
	}
	h := q.calls[0]
	q.calls = q.calls[1:]
	h.called = false
	n := max(min(len(h.left), q.HopRoom-h.tasks()), 0)
	ids := make([]mail.ID, 0, n)
	for _, id := range h.left[:n] {
		delete(q.left, id)
		if q.active[id] == nil {
			q.active[id] = &entry{id: id, reserved: true}
			ids = append(ids, id)
		}
	}
	h.left = h.left[n:]
	return h, ids
}

// forgetLines empties all lines: the index is walked anew. Queue.mu is held.
func (q *Queue) forgetLines() {
	clear(q.left)
	q.calls, q.crowded, q.back = nil, false, nil
	q.front.restart()
	for _, h := range q.remote.hops {
		h.left, h.more, h.sought, h.called = nil, false, false, false
	}
}
