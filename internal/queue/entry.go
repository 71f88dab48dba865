package queue

import (
	"slices"
	"time"

	"waybill/internal/mail"
	"waybill/internal/spool"
	"waybill/internal/trail"
)

// entry is a message in memory for one round: an attempt at each recipient that is pending. It leaves memory with
// its last task. One message has one entry at a time, so nothing is attempted twice at once.
type entry struct {
	id mail.ID

	// Guarded by Queue.mu.
	running   int  // tasks that a worker has
	reserved  bool // a scan is about to read the item
	withdrawn bool // and what it reads is not to be attempted
	scanned   bool // the item came from the index
	size      int  // recipients, as counted in Queue.recipients

	valid func() bool // what the item says is so: no other node works on it. nil: for a round without attempts at others

	mu      mutex // taken before Queue.mu
	item    *spool.Item
	began   time.Time     // this round
	attempt int           // number of this round, 1 for the first
	open    int           // tasks not recorded yet
	held    []trail.Event // Deferred events: the time of the next attempt is known with the last task
	late    []result      // what was deferred: with the last task the sender may be told
	lost    bool          // a task's outcome could not be recorded
	left    string        // a next hop that has no task in this round: memory had no room for it
	moved   bool          // a task was not run: its recipients have another next hop by now
	delayed bool          // an outcome was strange: no attempt before its delay, not even at the message's time
	stuck   bool          // not even that could be recorded
}

// mutex is a mutex that may be held for long: while the store is away.
type mutex chan struct{}

func newMutex() mutex { return make(mutex, 1) }

func (m mutex) Lock()   { m <- struct{}{} }
func (m mutex) Unlock() { <-m }

func (m mutex) TryLock() bool {
	select {
	case m <- struct{}{}:
		return true
	default:
		return false
	}
}

// way is what the recipients of one task have in common.
type way struct {
	nextHop string
	sender  mail.Address // spool.Recipient.Sender
}

// newEntry begins a round of a message.
func newEntry(item *spool.Item) *entry {
	return &entry{id: item.ID, mu: newMutex(), item: item, began: time.Now(), attempt: item.Attempts + 1}
}

// plan makes the tasks of an item: its pending recipients by next hop and reverse-path. Those that memory has room for are then run.
func (q *Queue) plan(item *spool.Item) (*entry, []*task) {
	e := newEntry(item)
	e.valid = q.Lease.Term(item.ID.Node())
	var tasks []*task
	byWay := make(map[way]*task, 1)
	for i, r := range item.Recipients {
		if r.State != spool.Pending {
			continue
		}
		name, _ := q.nextHop(r.ForwardPath)
		if r.Expanded { // whatever became of its domain, nothing of it leaves
			name = localHop
		}
		on := way{name, r.Sender}
		t := byWay[on]
		if t == nil || len(t.recipients) == maxRecipients {
			t = &task{entry: e, nextHop: name}
			byWay[on] = t
			tasks = append(tasks, t)
		}
		t.recipients = append(t.recipients, i)
	}
	return e, tasks
}

// localHop is the next hop of every local recipient, whatever its domain: no domain name looks like it.
const localHop = "(local)"

// nextHop is where a forward-path leads to: localHop, or what NextHop says, with the rule that decided.
func (q *Queue) nextHop(path mail.Address) (name, rule string) {
	switch {
	case path.Domain == "":
		return localHop, "postmaster without a domain is ours"
	case q.IsLocal(path.Domain):
		return localHop, path.Domain + " is a local domain"
	}
	return q.NextHop(path.Domain)
}

// attemptOf is what the Deliverer gets: a view that does not change while other tasks of the item are recorded.
// The entry's lock is held.
func (t *task) attemptOf() spool.Attempt {
	e := t.entry
	view := e.item
	if e.open > 1 {
		view = cloneItem(e.item)
	}
	pending := t.recipients
	if slices.ContainsFunc(pending, func(i int) bool { return view.Recipients[i].State != spool.Pending }) {
		pending = nil
		for _, i := range t.recipients {
			if view.Recipients[i].State == spool.Pending {
				pending = append(pending, i)
			}
		}
	}
	return spool.Attempt{Item: view, Number: e.attempt, NextHop: t.nextHop, Recipients: pending, Valid: e.valid}
}

func cloneItem(item *spool.Item) *spool.Item {
	c := *item
	c.Recipients = slices.Clone(item.Recipients)
	return &c
}

// finish ends a task. With the last one the entry leaves memory. The entry's lock is held.
func (q *Queue) finish(t *task) {
	e := t.entry
	e.open--
	q.mu.Lock()
	defer q.mu.Unlock()
	e.running--
	if e.open > 0 {
		return
	}
	if e.stuck {
		time.AfterFunc(stuckPause, func() { q.unstick(e) })
		return
	}
	q.remove(e)
	if e.scanned && e.attempt == 1 && !e.item.Accepted.Before(q.started.Truncate(time.Microsecond)) {
		q.scanned[e.id] = time.Now()
	}
	switch due, more := nextDue(e); {
	case !more || q.closed:
	case e.left != "" && !e.lost && !due.After(time.Now()):
		q.leave(e, e.left)
	case e.lost || e.moved && !due.After(time.Now()):
		q.front.backTo(e.item.Due)
		q.wantScanLocked(due)
	default:
		q.isDueAt(due)
	}
}

// unstick lets a message be read again that stayed in memory so that nobody would.
func (q *Queue) unstick(e *entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.remove(e)
	q.front.backTo(e.item.Due)
	q.wantScanLocked(time.Now())
}

// nextDue says when the index has the entry's item again, if it does.
func nextDue(e *entry) (due time.Time, more bool) {
	if e.lost {
		return time.Now().Add(lostPause), true
	}
	pending := slices.ContainsFunc(e.item.Recipients, func(r spool.Recipient) bool { return r.State == spool.Pending })
	return e.item.Due, pending
}

const (
	scanMemory = 30 * time.Second // how much later than a scan has found a message, and it was attempted, its Enqueue may come
	stuckPause = 15 * time.Minute // before a message is touched again that nothing could be recorded of
	lostPause  = 5 * time.Second  // before a message whose outcome could not be recorded is read again
)
