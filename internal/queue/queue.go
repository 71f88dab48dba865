// Package queue schedules the delivery of messages in custody: which next hop each recipient has, how many
// attempts run at once and in which order, when a message that could not be delivered is tried again, when it is
// given up, and the delivery status notifications (DSN) that its sender gets: of failures, of delays once, and of
// successes if asked to (RFC 3461).
//
// A message comes from memory right after its commit, or from the due index of the spool: at start, when it is due
// again, and when memory was full. In memory is only what is due now. One round of a message makes one task for
// each of its next hops; a task ends with one batch, in which stand the outcomes of its recipients, their events,
// the mailbox entries or the DSN, and, with the last recipient, the end of custody. What a batch could not record
// is not forgotten: the item is read from the spool again.
//
// The queue knows nothing of SMTP, DNS or mailboxes: a Deliverer makes the attempt, for local and for remote next
// hops.
package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"waybill/internal/mail"
	"waybill/internal/spool"
	"waybill/internal/store"
	"waybill/internal/trail"
)

// Deliverer makes one attempt at the recipients of one next hop. It never fails: whatever happened is an outcome
// (temporary when in doubt) and its events, the evidence. A local one adds its writes to b, which is committed
// together with the outcomes, or not at all; then the attempt is made again. A remote one ignores b.
type Deliverer interface {
	Deliver(ctx context.Context, a spool.Attempt, b *store.Batch) ([]spool.Outcome, []trail.Event)
}

// Lease says which messages this node attempts, where several share a store (package lease).
type Lease interface {
	// Holds says whether messages of that slice are this node's.
	Holds(slice uint16) bool
	// Term returns what says whether no other node can have worked on messages of that slice since, nor can now.
	Term(slice uint16) (valid func() bool)
	// Fence makes the batch fail with store.ErrConflict unless messages of that slice are still this node's.
	Fence(b *store.Batch, slice uint16)
	// Doubt has it find out now whether Holds is right, since a batch was refused; false: it always is.
	Doubt() bool
	// Changed gets a value when Holds says something else than before.
	Changed() <-chan struct{}
}

// Options is what a Queue works with. Where a default is named, zero means it; all else is required.
type Options struct {
	Store   store.Store
	Spool   *spool.Spool
	Trail   *trail.Trail
	Lease   Lease // what of the spool is this node's
	Local   Deliverer
	Remote  Deliverer
	IsLocal func(domain string) bool
	// NextHop says where mail for a domain or address literal that is not local goes, and by which rule. Default: there.
	NextHop func(domain string) (nextHop, rule string)
	// Limits says how many attempts at a next hop may run at once, and how many may begin in a second (0: any number).
	// Default: PerHop, any number.
	Limits func(nextHop string) (attempts int, rate float64)

	// Targets returns who gets mail for a local address: reports go to a reverse-path, which may be an alias. Default: the
	// address itself.
	Targets func(ctx context.Context, to mail.Address) []spool.Recipient

	Hostname string          // names the queue in events and DSNs
	IDs      *mail.IDs       // of DSNs
	Retry    []time.Duration // delays between attempts, then the last one again; default 1m, 5m, 15m, 1h
	Expire   time.Duration   // age at which a DSN is given up; default 5 days
	// DelayAfter is the age at which the sender is told, once, of recipients that do not have the message yet. It is
	// looked at when an attempt ends. Default 4 hours; negative: never.
	DelayAfter time.Duration
	Logger     *slog.Logger // default: discards

	LocalWorkers  int // default 1: two would halve the groups that are filed in one batch
	RemoteWorkers int // attempts at other servers that run at once; default 1000
	PerHop        int // of them, for one next hop; default 20
	LocalGroup    int // messages that are filed in one batch, at most; default 50
	HopRoom       int // attempts at one next hop, or little more, that are in memory, waiting or running; default 8 x PerHop
	LineRoom      int // ids of further messages that wait for one next hop on disk; default 10000
	MaxActive     int // messages in memory; what is more waits on disk; default 20000
	MaxRecipients int // their recipients, or little more; default 200000
}

// maxRecipients bounds one task: the recipients that every SMTP server must take (RFC 5321 §4.5.3.1.8), and the
// mailboxes that one batch may cover.
const maxRecipients = 100

// Queue is the scheduler. It is safe for concurrent use.
type Queue struct {
	Options
	schedule schedule

	mu     sync.Mutex
	active map[mail.ID]*entry
	local  *lane
	remote *lane
	closed bool

	recipients int  // of the messages in active
	full       bool // something was left on disk because memory was full
	crowded    bool // and something because the rest is for local mail
	left       map[mail.ID]struct{}
	calls      []*hop
	front      walk    // of the due index: see walk.go
	back       []*walk // behind it, in their turn
	walkedAll  time.Time
	unreadable map[mail.ID]bool
	// Messages that a scan found before their Enqueue came, and that may be done by then.
	scanned map[mail.ID]time.Time // when that was
	started time.Time             // what was accepted before it comes from the index only
	wanted  time.Time             // the earliest time at which somebody wants a scan

	kick    chan struct{}
	nudged  chan struct{} // asks for a look at nudges
	closing chan struct{} // closed when no further attempt is to start
	stop    context.CancelFunc
	running sync.WaitGroup
}

// New returns a Queue. It works from Start on.
func New(o Options) *Queue {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	setDefault(&o.Expire, 5*24*time.Hour)
	setDefault(&o.DelayAfter, 4*time.Hour)
	setDefault(&o.LocalWorkers, 1)
	setDefault(&o.RemoteWorkers, 1000)
	setDefault(&o.PerHop, 20)
	setDefault(&o.LocalGroup, 50)
	setDefault(&o.HopRoom, 8*o.PerHop)
	setDefault(&o.LineRoom, 10_000)
	setDefault(&o.MaxActive, 20000)
	setDefault(&o.MaxRecipients, 200_000)
	if o.NextHop == nil {
		o.NextHop = func(domain string) (string, string) { return domain, domain + " is not a local domain" }
	}
	if o.Targets == nil {
		o.Targets = func(_ context.Context, to mail.Address) []spool.Recipient {
			return []spool.Recipient{{ForwardPath: to}}
		}
	}
	if o.Limits == nil {
		o.Limits = func(string) (int, float64) { return o.PerHop, 0 }
	}
	q := &Queue{
		Options: o, schedule: newSchedule(o.Retry),
		active: map[mail.ID]*entry{}, scanned: map[mail.ID]time.Time{}, left: map[mail.ID]struct{}{}, unreadable: map[mail.ID]bool{},
		kick: make(chan struct{}, 1), nudged: make(chan struct{}, 1), closing: make(chan struct{}), stop: func() {},
	}
	q.local = newLane(o.LocalWorkers, o.LocalGroup, func(string) (int, float64) { return o.LocalWorkers, 0 })
	q.remote = newLane(o.RemoteWorkers, 1, o.Limits)
	q.local.wake, q.remote.wake = q.wakeLater(q.local), q.wakeLater(q.remote)
	return q
}

// wakeLater lets a next hop of the lane give out tasks again after some time.
func (q *Queue) wakeLater(l *lane) func(*hop, time.Duration) {
	return func(h *hop, after time.Duration) {
		time.AfterFunc(after, func() {
			q.mu.Lock()
			defer q.mu.Unlock()
			h.resting = false
			l.enlist(h)
		})
	}
}

func setDefault[T int | time.Duration](v *T, to T) {
	if *v == 0 {
		*v = to
	}
}

// Start begins to work, first on what the due index holds. It fails if the index cannot be read. What runs ends
// with ctx, at the latest.
func (q *Queue) Start(ctx context.Context) error {
	if _, _, err := q.Spool.NextDue(ctx); err != nil {
		return fmt.Errorf("read the due index: %w", err)
	}
	ctx, q.stop = context.WithCancel(ctx)
	q.started = time.Now()
	q.walkedAll = q.started
	context.AfterFunc(ctx, q.close)
	q.running.Go(func() { q.scanLoop(ctx) })
	q.running.Go(func() { q.watchStore(ctx) })
	q.running.Go(func() { q.watchNudges(ctx) })
	q.mu.Lock()
	defer q.mu.Unlock()
	q.local.start(func() { q.running.Go(func() { q.work(ctx, q.local, q.deliverLocal) }) })
	q.remote.start(func() { q.running.Go(func() { q.work(ctx, q.remote, q.deliverRemote) }) })
	q.wantScanLocked(time.Now())
	return nil
}

// LimitsChanged makes the limits of next hops be asked for anew (Options.Limits).
func (q *Queue) LimitsChanged() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, h := range q.remote.hops {
		q.remote.limit(h)
		q.remote.rouse(h)
	}
}

// Shutdown starts no further attempt, waits for those under way until ctx is done, and then ends them. Messages
// stay on disk as the last batch left them.
func (q *Queue) Shutdown(ctx context.Context) error {
	q.close()
	ended := make(chan struct{})
	go func() { q.running.Wait(); close(ended) }()
	select {
	case <-ended:
		q.stop()
		return nil
	case <-ctx.Done():
	}
	q.stop()
	<-ended
	return fmt.Errorf("attempts were broken off: %w", context.Cause(ctx))
}

// close lets no worker take a further task.
func (q *Queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	q.closed, q.local.closed, q.remote.closed = true, true, true
	close(q.closing)
}

// Enqueue takes a message over right after the commit that took custody of it. The item belongs to the queue from
// then on. Enqueue never blocks on work: when memory has no room for the message it waits on disk.
func (q *Queue) Enqueue(item *spool.Item) {
	e, tasks := q.plan(item)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || q.active[item.ID] != nil || len(tasks) == 0 {
		return
	}
	if _, done := q.scanned[item.ID]; done {
		delete(q.scanned, item.ID) // a scan was faster
		return
	}
	q.admit(e, tasks, nil)
}

// watchStore hears of reopenings of the store (nobody writes a key with this prefix, and then everybody is told), and of
// messages that came to this node from another, or went to it.
func (q *Queue) watchStore(ctx context.Context) {
	reopened, cancel := q.Store.Watch(store.Reopened())
	defer cancel()
	for {
		select {
		case <-reopened:
			q.Recover()
		case <-q.Lease.Changed():
			q.Recover()
		case <-q.closing:
			return
		case <-ctx.Done():
			return
		}
	}
}

// Recover begins anew from the index, after the store was reopened: batches that were not durable are gone, and
// what memory holds may be wrong. Attempts under way end first; their outcomes are recorded on what the spool
// then says.
func (q *Queue) Recover() {
	q.Spool.Forget()
	q.lookForNudges()
	q.mu.Lock()
	defer q.mu.Unlock()
	busy := func(t *task) bool { return t.entry.running > 0 }
	q.forgetLines()
	q.local.clear(busy)
	q.remote.clear(busy)
	for _, e := range q.active {
		if e.running == 0 && !e.reserved {
			q.remove(e)
		}
	}
	q.wantScanLocked(time.Now())
}

// errClosing: the queue is being shut down and what was to be recorded waits on disk.
var errClosing = errors.New("queue: closing")
