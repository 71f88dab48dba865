package queue

import (
	"context"
	"time"

	"waybill/internal/mail"
	"waybill/internal/spool"
)

// task is the part of one item that goes to one next hop in one round: at most maxRecipients forward-paths.
type task struct {
	entry      *entry
	nextHop    string
	recipients []int // indexes into the item's Recipients
	hop        *hop  // set when it is in line
	managed    bool  // an operator ends the message, which need not be this node's
}

// hop is a next hop with the tasks that wait for it.
type hop struct {
	name    string
	waiting []*task
	running int
	inRing  bool

	perHop  int           // tasks that may run at a time
	gap     time.Duration // between the beginnings of two; 0: none
	nextAt  time.Time     // no task begins before it
	resting bool          // it will be enlisted at a time that was set

	left   []mail.ID      // messages on disk that wait for room, in order; see room.go
	more   bool           // and there are others on disk, that only the due index knows
	from   spool.DueEntry // behind which the first of them is
	sought bool           // a walk looks for them
	called bool           // left is about to be read

	// A next hop that did not answer failureLimit times in a row is left alone until quietUntil; see quiet.go.
	failures   int
	quietUntil time.Time
	lastWords  string // the failure that made it quiet
}

// tasks is what memory holds for a next hop of a lane whose workers take one task at once.
func (h *hop) tasks() int { return len(h.waiting) + h.running }

// idle says whether nothing is there for a next hop.
func (h *hop) idle() bool {
	return h.tasks() == 0 && len(h.left) == 0 && !h.more && !h.sought && !h.called
}

// lane is a pool of workers, which come and go with the work, and the next hops that it serves in turn: each next hop in
// the ring gives one task (or one group) to a worker and goes to the end of the ring. So one next hop never delays
// another, however much waits for it. All fields are guarded by Queue.mu.
type lane struct {
	workers int // at most
	live    int // now
	group   int // tasks that a worker takes at once
	limits  func(nextHop string) (attempts int, rate float64)
	hops    map[string]*hop
	ring    []*hop
	hire    func()                            // begins a worker; nil before Queue.Start
	wake    func(h *hop, after time.Duration) // enlists a next hop later
	closed  bool
}

func newLane(workers, group int, limits func(string) (int, float64)) *lane {
	return &lane{workers: workers, group: group, limits: limits, hops: map[string]*hop{}}
}

// start lets workers come.
func (l *lane) start(hire func()) {
	l.hire = hire
	for range l.ring {
		l.staff()
	}
}

// staff has a further worker come, if there may be one.
func (l *lane) staff() {
	if l.hire != nil && !l.closed && l.live < l.workers {
		l.live++
		l.hire()
	}
}

// add puts a task at the end of its next hop's line.
func (l *lane) add(t *task) {
	h := l.hop(t.nextHop)
	t.hop = h
	h.waiting = append(h.waiting, t)
	l.enlist(h)
}

// hop returns the next hop of that name.
func (l *lane) hop(name string) *hop {
	h := l.hops[name]
	if h == nil {
		h = &hop{name: name}
		l.limit(h)
		l.hops[name] = h
	}
	return h
}

// limit gives a next hop the limits that count for it now.
func (l *lane) limit(h *hop) {
	perHop, rate := l.limits(h.name)
	h.perHop, h.gap = max(perHop, 1), 0
	if rate > 0 {
		h.gap = time.Duration(float64(time.Second) / rate)
	}
}

// enlist puts a next hop that may give out a task into the ring.
func (l *lane) enlist(h *hop) {
	if h.inRing || h.resting || len(h.waiting) == 0 || h.running >= h.perHop {
		return
	}
	if wait := time.Until(h.nextTurn()); wait > 0 {
		h.resting = true
		l.wake(h, wait)
		return
	}
	h.inRing = true
	l.ring = append(l.ring, h)
	l.staff()
}

// nextTurn is the time before which no task of a next hop begins; the zero time if there is none.
func (h *hop) nextTurn() (at time.Time) {
	if h.gap > 0 {
		at = h.nextAt
	}
	if h.quietUntil.After(at) && !h.isCrowded() {
		at = h.quietUntil
	}
	return at
}

// rouse lets a next hop give out tasks as soon as it may, whatever time was set before.
func (l *lane) rouse(h *hop) {
	h.resting = false
	l.enlist(h)
}

// take returns tasks of one next hop, at most group of them and at most maxRecipients recipients in all; nil when there
// is no work, or none any more: then the worker has gone.
func (l *lane) take() []*task {
	if l.closed || len(l.ring) == 0 {
		l.live--
		return nil
	}
	h := l.ring[0]
	l.ring[0] = nil
	l.ring = l.ring[1:]
	h.inRing = false
	n, recipients := 0, 0
	for n < len(h.waiting) && n < l.group {
		recipients += len(h.waiting[n].recipients)
		if n > 0 && recipients > maxRecipients {
			break
		}
		n++
	}
	tasks := h.waiting[:n:n]
	h.waiting = h.waiting[n:]
	for _, t := range tasks {
		t.entry.running++
	}
	h.running++
	h.nextAt = time.Now().Add(h.gap)
	l.enlist(h)
	return tasks
}

// done gives back the place that a take occupied.
func (l *lane) done(h *hop) {
	h.running--
	l.enlist(h)
	l.drop(h)
}

// drop forgets a next hop of which nothing need be remembered.
func (l *lane) drop(h *hop) {
	if h.idle() && h.failures == 0 && !h.resting && !time.Now().Before(h.nextAt) && l.hops[h.name] == h {
		delete(l.hops, h.name)
	}
}

// forgetQuiet drops the next hops that were quiet once and for which nothing came since.
func (l *lane) forgetQuiet(now time.Time) {
	for _, h := range l.hops {
		if h.idle() && !h.resting && now.Sub(h.quietUntil) > quietMemory && now.After(h.nextAt) {
			delete(l.hops, h.name)
		}
	}
}

// clear drops what waits, as far as keep does not want it.
func (l *lane) clear(keep func(*task) bool) {
	l.ring = nil
	for _, h := range l.hops {
		kept := h.waiting[:0:0]
		for _, t := range h.waiting {
			if keep(t) {
				kept = append(kept, t)
			}
		}
		h.waiting, h.inRing = kept, false
		l.enlist(h)
		l.drop(h)
	}
}

// work is one worker of a lane.
func (q *Queue) work(ctx context.Context, l *lane, run func(context.Context, []*task)) {
	for {
		q.mu.Lock()
		tasks := l.take()
		q.mu.Unlock()
		if tasks == nil {
			return
		}
		run(ctx, tasks)
		q.mu.Lock()
		l.done(tasks[0].hop)
		q.call(tasks[0].hop)
		q.mu.Unlock()
	}
}
