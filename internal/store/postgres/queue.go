package postgres

import (
	"context"
	"slices"
	"sync"
	"time"

	"waybill/internal/store"
)

const (
	// groupBatches and groupOctets are how much goes into one transaction.
	groupBatches = 256
	groupOctets  = 4 << 20
	// While a transaction is under way that has begun just now, another one is not worth its while for fewer batches
	// than groupLeast: in larger groups each batch costs less.
	groupLeast = 16
	holdBack   = 3 * time.Millisecond
)

// job is a batch on its way.
type job struct {
	batch  *store.Batch // a copy of the caller's
	memory *arena       // where it lives
	keys   []string     // those that it may change, except those with slots
	reads  []string     // those that are to have a version; unless it changes them too, others may want that at the same time
	size   int
	taken  bool // by a writer; guarded by queue.mu
	done   chan outcome
}

// outcome is what the caller is told.
type outcome struct {
	result store.Result
	err    error
}

// group is the batches of one transaction, in their order.
type group struct {
	jobs   []*job
	ranged bool // all of them delete ranges, else none

	named         int // for how many of the jobs names has found the names
	changed, read []string

	stuck []string // keys, one of which it has waited for in vain
}

// hold says who holds a key: a group that may change it, or how many that only read its version.
type hold int

const changing hold = -1

// queue holds the batches that wait for a writer. Batches that have a key in common are never in two groups at the
// same time, unless both only read its version, and reach their groups in the order in which they came: so writers of one node never wait for each
// other's locks. (That several nodes get along is the database's part.)
type queue struct {
	mu      sync.Mutex
	changed sync.Cond
	waiting []*job
	busy    map[string]hold // keys of the groups under way
	ranges  []store.Range   // that groups under way delete
	groups  int             // under way
	began   time.Time       // the newest of them
	alarm   *time.Timer
	refuse  error // why batches are refused
	closed  bool
}

func newQueue() *queue {
	q := &queue{busy: map[string]hold{}}
	q.changed.L = &q.mu
	return q
}

func newJob(b *store.Batch) *job {
	j := &job{done: make(chan outcome, 1)}
	j.batch, j.memory = clone(b)
	b = j.batch
	j.keys = make([]string, 0, len(b.Checks)+len(b.Counters)+len(b.Deletes)+len(b.Puts)+1)
	for i := range b.Counters {
		j.keys = append(j.keys, string(b.Counters[i].Key))
	}
	for _, key := range b.Deletes {
		j.keys = append(j.keys, string(key))
	}
	for i := range b.Puts {
		if len(b.Puts[i].KeySlots) == 0 {
			j.keys = append(j.keys, string(b.Puts[i].Key))
		}
		j.size += len(b.Puts[i].Value)
	}
	for i := range b.Checks {
		if c := &b.Checks[i]; c.Version == store.Absent { // it is locked by being created, which only one group can do
			j.keys = append(j.keys, string(c.Key))
		} else {
			j.reads = append(j.reads, string(c.Key))
		}
	}
	return j
}

// push adds a batch, or returns why it is refused.
func (q *queue) push(j *job) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return store.ErrClosed
	}
	if q.refuse != nil {
		return q.refuse
	}
	q.waiting = append(q.waiting, j)
	q.changed.Signal()
	return nil
}

// withdraw takes back a batch that no writer has taken yet, and tells whether it could.
func (q *queue) withdraw(j *job) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if j.taken {
		return false
	}
	for i, w := range q.waiting {
		if w == j {
			q.waiting = append(q.waiting[:i], q.waiting[i+1:]...)
			// What stood behind it because of a key may go now.
			q.changed.Broadcast()
			return true
		}
	}
	return false // it was failed
}

// take waits for a group, or returns nil when the queue is closed and empty.
func (q *queue) take() *group {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		if !q.early() {
			if g := q.gather(); len(g.jobs) > 0 {
				return g
			}
		}
		if q.closed && len(q.waiting) == 0 {
			return nil
		}
		q.changed.Wait()
	}
}

// early tells whether a group had better wait for more batches; then changed is signalled in time.
func (q *queue) early() bool {
	n := len(q.waiting)
	if n == 0 || n >= groupLeast || q.groups == 0 || q.closed {
		return false
	}
	left := holdBack - time.Since(q.began)
	if left <= 0 {
		return false
	}
	if q.alarm == nil {
		q.alarm = time.AfterFunc(left, func() {
			q.mu.Lock()
			defer q.mu.Unlock()
			q.alarm = nil
			q.changed.Broadcast()
		})
	}
	return true
}

// gather takes what may go into one transaction now.
func (q *queue) gather() *group {
	g := &group{}
	if len(q.waiting) == 0 {
		return g
	}
	passed := passedOver{keys: map[string]hold{}}
	size := 0
	kept := q.waiting[:0]
	for i, j := range q.waiting {
		if len(g.jobs) == groupBatches || size >= groupOctets {
			kept = append(kept, q.waiting[i:]...)
			break
		}
		ranged := len(j.batch.DeleteRanges) > 0
		if len(g.jobs) > 0 && ranged != g.ranged || q.clashes(j) || passed.clashes(j) {
			passed.add(j)
			kept = append(kept, j)
			continue
		}
		j.taken, g.ranged = true, ranged
		g.jobs = append(g.jobs, j)
		size += j.size
	}
	clear(q.waiting[len(kept):])
	q.waiting = kept
	q.occupy(g)
	return g
}

// occupy notes the keys of a group that begins.
func (q *queue) occupy(g *group) {
	changed, read := g.names()
	for _, key := range changed {
		q.busy[key] = changing
	}
	for _, key := range read {
		q.busy[key]++
	}
	for _, j := range g.jobs {
		q.ranges = append(q.ranges, j.batch.DeleteRanges...)
	}
	if len(g.jobs) > 0 {
		q.groups++
		q.began = time.Now()
	}
}

// release ends a group.
func (q *queue) release(g *group) {
	q.mu.Lock()
	defer q.mu.Unlock()
	changed, read := g.names()
	for _, key := range changed {
		delete(q.busy, key)
	}
	for _, key := range read {
		if q.busy[key]--; q.busy[key] == 0 {
			delete(q.busy, key)
		}
	}
	if g.ranged {
		q.ranges = q.forget(g)
	}
	q.groups--
	q.changed.Broadcast()
}

// forget returns the ranges under way without those of g.
func (q *queue) forget(g *group) []store.Range {
	var left []store.Range
	mine := map[rangeKey]int{}
	for _, j := range g.jobs {
		for _, r := range j.batch.DeleteRanges {
			mine[keyOf(r)]++
		}
	}
	for _, r := range q.ranges {
		if k := keyOf(r); mine[k] > 0 {
			mine[k]--
			continue
		}
		left = append(left, r)
	}
	return left
}

type rangeKey struct {
	start, end string
	open       bool
}

func keyOf(r store.Range) rangeKey { return rangeKey{string(r.Start), string(r.End), r.End == nil} }

// clashes tells whether a batch has keys in common with a group under way.
func (q *queue) clashes(j *job) bool { return clash(j, q.busy, q.ranges) }

// passedOver is the batches that stay behind, which those after them must not overtake.
type passedOver struct {
	keys   map[string]hold
	ranges []store.Range
}

func (p *passedOver) add(j *job) {
	for _, key := range j.keys {
		p.keys[key] = changing
	}
	for _, key := range j.reads {
		if p.keys[key] != changing {
			p.keys[key]++
		}
	}
	p.ranges = append(p.ranges, j.batch.DeleteRanges...)
}

func (p *passedOver) clashes(j *job) bool { return clash(j, p.keys, p.ranges) }

func clash(j *job, keys map[string]hold, ranges []store.Range) bool {
	for _, key := range j.keys {
		if keys[key] != 0 || ranged(key, ranges) {
			return true
		}
	}
	for _, key := range j.reads {
		if keys[key] == changing || ranged(key, ranges) {
			return true
		}
	}
	for _, r := range j.batch.DeleteRanges {
		for key := range keys {
			if within(key, r) {
				return true
			}
		}
		for _, other := range ranges {
			if overlap(r, other) {
				return true
			}
		}
	}
	return false
}

// ranged tells whether a key is in one of the ranges.
func ranged(key string, ranges []store.Range) bool {
	return slices.ContainsFunc(ranges, func(r store.Range) bool { return within(key, r) })
}

func within(key string, r store.Range) bool {
	return key >= string(r.Start) && (r.End == nil || key < string(r.End))
}

func overlap(a, b store.Range) bool {
	return (a.End == nil || string(b.Start) < string(a.End)) && (b.End == nil || string(a.Start) < string(b.End))
}

// fail refuses batches from now on, those that wait included, until accept.
func (q *queue) fail(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.refuse = err
	for _, j := range q.waiting {
		j.taken = true
		j.done <- outcome{err: err}
	}
	q.waiting = nil
	q.changed.Broadcast()
}

// accept takes batches again.
func (q *queue) accept() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.refuse = nil
}

// close refuses new batches; take goes on until those that wait are done.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.changed.Broadcast()
}

// wait waits for a batch's outcome. A done context takes it back while no writer has it; then the outcome is waited for,
// unless that takes longer than at most.
func (q *queue) wait(ctx context.Context, j *job, atMost time.Duration) outcome {
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	done := ctx.Done()
	for {
		select {
		case o := <-j.done:
			if len(j.batch.DeleteRanges) == 0 { // which the queue still has
				j.memory.free()
			}
			return o
		case <-done:
			if q.withdraw(j) {
				return outcome{err: ctx.Err()}
			}
			done = nil
		case <-timer.C:
			if q.withdraw(j) {
				return outcome{err: unavailable(store.ErrUnavailable, errStuck)}
			}
			return outcome{err: unavailable(store.ErrUnknown, errStuck)}
		}
	}
}
