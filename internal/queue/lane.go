package queue

import (
	"context"
	"sync"
	"time"

	"waybill/internal/mail"
)

// task is the part of one item that goes to one next hop in one round: at most maxRecipients forward-paths.
type task struct {
	entry      *entry
	nextHop    string
	recipients []int // indexes into the item's Recipients
	hop        *hop  // set when it is in line
}

// hop is a next hop with the tasks that wait for it.
type hop struct {
	name    string
	waiting []*task
	running int
	inRing  bool

	left   []mail.ID // messages on disk that wait for room, in order; see room.go
	more   bool      // and there are others on disk, that only the due index knows
	called bool      // left is about to be read

	// A next hop that did not answer failureLimit times in a row is left alone until quietUntil: what waits for it
	// is deferred without a further try, so that a dead destination ties up neither workers nor memory.
	failures   int
	quietUntil time.Time
	lastWords  string // the failure that made it quiet
}

// tasks is what memory holds for a next hop of a lane whose workers take one task at once.
func (h *hop) tasks() int { return len(h.waiting) + h.running }

// idle says whether nothing is there for a next hop.
func (h *hop) idle() bool { return h.tasks() == 0 && len(h.left) == 0 && !h.more && !h.called }

// lane is a fixed pool of workers with the next hops that it serves in turn: each next hop in the ring gives one
// task (or one group) to a worker and goes to the end of the ring. So one next hop never delays another, however
// much waits for it. All fields are guarded by Queue.mu, which is the lock of ready.
type lane struct {
	ready   *sync.Cond
	workers int
	perHop  int // tasks of one next hop that run at a time
	group   int // tasks that a worker takes at once
	hops    map[string]*hop
	ring    []*hop
	closed  bool
}

func newLane(mu *sync.Mutex, workers, perHop, group int) *lane {
	return &lane{ready: sync.NewCond(mu), workers: workers, perHop: perHop, group: group, hops: map[string]*hop{}}
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
		l.hops[name] = h
	}
	return h
}

// enlist puts a next hop that may give out a task into the ring.
func (l *lane) enlist(h *hop) {
	if h.inRing || len(h.waiting) == 0 || h.running >= l.perHop {
		return
	}
	h.inRing = true
	l.ring = append(l.ring, h)
	l.ready.Signal()
}

// take waits for work and returns tasks of one next hop, at most group of them and at most maxRecipients
// recipients in all; nil when the lane is closed.
func (l *lane) take() []*task {
	for len(l.ring) == 0 && !l.closed {
		l.ready.Wait()
	}
	if l.closed {
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
	if h.idle() && h.failures == 0 && l.hops[h.name] == h {
		delete(l.hops, h.name)
	}
}

// forgetQuiet drops the next hops that were quiet once and for which nothing came since.
func (l *lane) forgetQuiet(now time.Time) {
	for _, h := range l.hops {
		if h.idle() && now.Sub(h.quietUntil) > quietMemory {
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
