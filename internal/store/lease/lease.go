// Package lease divides the work of the queue between the nodes that use one store.
//
// The due index is in slices, one for each node that ever was: a message is in the slice of the node that took it in, whose
// number its id has. Who works on a slice has its lease. A node has that of its own slice from the moment it joins, so the
// first attempt of a message needs no handing over; the slices of a node that died are taken over by another.
//
// # Keys
//
//	node/<n>   who holds the slice of node n, and what node n is called; its version is the epoch of the lease
//	beat/<n>   node n writes it every few seconds, in a batch that checks that node/<n> is as it was when it joined
//
// # Why at most one node works on a slice
//
// A lease has no time in the store, and nobody compares two clocks. A node that has not seen another's beat change for longer
// than a lease lasts, by its own clock and having looked all the time, takes over whatever that one holds: in one batch that checks
// each epoch and the beat, and changes the epochs. The other one counts its lease from before the batch of its last beat, so by its own
// clock it has run out by then; it begins no attempt, and ends none, unless it has time left and still holds the slice as it did
// when it read the message (Term). A machine that was suspended learns that from its wall clock.
//
// A clock can be right and its reader late: a node may be stopped between looking and acting. Therefore whatever a node records
// of a slice checks the epoch (Fence), and is refused if that has changed. So a message can be delivered twice in that case, but
// never be lost, nor have two outcomes.
//
// A node whose lease was taken over joins anew, under another number. One that only could not reach the store goes on when it can
// again, unless its lease was taken meanwhile. Nobody is taken for dead right after the store was away for all: whoever could
// not look for a while gives the others time to find the store again.
//
// With a store that one process has to itself there is nothing to divide (Alone).
package lease

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"waybill/internal/mail"
	"waybill/internal/store"
	"waybill/internal/store/keys"
)

// Options are those of a node that shares its store. Only Store is required.
type Options struct {
	Store  store.Store
	Name   string        // for operators: what the node is called
	Guest  bool          // it delivers nothing, as a command: so it takes nothing over
	Length time.Duration // of a lease; default 12 s. All nodes of a store must have the same
	Logger *slog.Logger  // default: discards
}

const (
	defaultLength = 12 * time.Second
	beats         = 4          // in a lease
	margin        = 10         // a node gives its lease up that part of it early, and a taker waits that much longer
	noNode        = mail.Nodes // holds the slices of nodes that have left
	noVersion     = ^store.Version(0)
)

// Lease is the part of a node in the work. It is safe for concurrent use.
type Lease struct {
	o       Options
	alone   bool
	changed chan struct{}
	doubt   chan struct{}
	stop    context.CancelFunc
	running sync.WaitGroup

	mu     sync.Mutex
	number uint16
	held   map[uint16]store.Version // epochs of the slices that the node works on
	until  time.Time                // its lease lasts

	// What keep alone uses.
	others  map[uint16]sight // what was seen of other nodes
	looked  time.Time        // when that was
	patient time.Time        // nobody is taken for dead before
	tidied  time.Time
}

// Alone returns the lease of the node with that number which has its store to itself, and there the slices of others too.
func Alone(number uint16, others ...uint16) *Lease {
	l := &Lease{alone: true, number: number, held: map[uint16]store.Version{number: store.Absent}}
	for _, slice := range others {
		l.held[slice] = store.Absent
	}
	return l
}

// Join makes the process a node of the store, under a number that no other has. Leave ends that. Errors: those of the store, and
// ErrNoNumber.
func Join(ctx context.Context, o Options) (*Lease, error) {
	if o.Length == 0 {
		o.Length = defaultLength
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	l := &Lease{o: o, changed: make(chan struct{}, 1), doubt: make(chan struct{}, 1), others: map[uint16]sight{}}
	if err := l.claim(ctx); err != nil {
		return nil, fmt.Errorf("join the nodes of the store: %w", err)
	}
	ctx, l.stop = context.WithCancel(context.WithoutCancel(ctx))
	l.running.Go(func() { l.keep(ctx) })
	return l, nil
}

// Number is that of the node; its messages are in the slice of this number. It changes when the node loses its lease.
func (l *Lease) Number() uint16 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.number
}

// Slices returns those that the node works on, in order.
func (l *Lease) Slices() []uint16 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(maps.Keys(l.held))
}

// Holds says whether the node works on a slice.
func (l *Lease) Holds(slice uint16) bool {
	if l.alone {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, held := l.held[slice]
	return held
}

// Alive says whether the lease has time left.
func (l *Lease) Alive() bool {
	if l.alone {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lasts()
}

// lasts says whether the lease has time left. The one clock stands still while the machine is suspended, the other one can be set:
// both must say so. l.mu is held.
func (l *Lease) lasts() bool {
	now := time.Now()
	return now.Before(l.until) && now.Round(0).Before(l.until.Round(0))
}

// Term returns what says whether the node has held the slice all the time since, and its lease has time left: only then
// whoever has read a message of the slice may act on it.
func (l *Lease) Term(slice uint16) (valid func() bool) {
	if l.alone {
		return always
	}
	l.mu.Lock()
	epoch, held := l.held[slice]
	l.mu.Unlock()
	return func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		now, still := l.held[slice]
		return held && still && now == epoch && l.lasts()
	}
}

func always() bool { return true }

// Fence makes the batch fail, with store.ErrConflict, unless the node still holds the slice when it is applied.
func (l *Lease) Fence(b *store.Batch, slice uint16) {
	if l.alone {
		return
	}
	l.mu.Lock()
	epoch, held := l.held[slice]
	l.mu.Unlock()
	if !held {
		epoch = noVersion
	}
	key := keys.Node(slice)
	for _, c := range b.Checks {
		if c.Version == epoch && string(c.Key) == string(key) {
			return
		}
	}
	b.Check(key, epoch)
}

// Epoch names the node's membership: a number that is never used again with that version. What a node wrote of itself, as a lock,
// is void when it is no member any more (Member).
func (l *Lease) Epoch() (number uint16, version store.Version) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.number, l.held[l.number]
}

// Shared says whether other nodes may use the store.
func (l *Lease) Shared() bool { return !l.alone }

// Doubt has the node find out now whether its lease is as it believes: a batch with a Fence was refused. It says whether there is
// anything to find out: that other nodes may use the store.
func (l *Lease) Doubt() bool {
	if l.alone {
		return false
	}
	select {
	case l.doubt <- struct{}{}:
	default:
	}
	return true
}

// Changed gets a value when the node works on other slices than before.
func (l *Lease) Changed() <-chan struct{} { return l.changed }

// Leave ends the membership: other nodes take over at once what is left of the node's slices. If it cannot be done until ctx is
// done they do so when the lease is over.
func (l *Lease) Leave(ctx context.Context) error {
	if l.alone {
		return nil
	}
	l.stop()
	ended := make(chan struct{})
	go func() { l.running.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-ctx.Done():
		return fmt.Errorf("leave the nodes of the store: %w", ctx.Err())
	}
	l.mu.Lock()
	l.until = time.Time{}
	l.mu.Unlock()
	if err := l.release(ctx); err != nil {
		return fmt.Errorf("leave the nodes of the store: %w", err)
	}
	return nil
}

// release gives back what the store says that the node holds.
func (l *Lease) release(ctx context.Context) error {
	n, err := l.survey()
	if err != nil {
		return err
	}
	if number, epoch := l.Epoch(); n.epochs[number] != epoch { // it was taken for dead
		return nil
	}
	var b store.Batch
	for slice, m := range n.members {
		if m.holder != l.number {
			continue
		}
		b.Check(keys.Node(slice), n.epochs[slice])
		m.holder = noNode
		b.Put(keys.Node(slice), m.encode())
	}
	b.Delete(keys.Beat(l.number))
	_, err = l.o.Store.Commit(ctx, &b)
	return err
}

// Member says whether the node of an epoch may still be at work. One that is no member never is again under that epoch.
func Member(snap store.Snapshot, number uint16, epoch store.Version) (bool, error) {
	_, now, err := snap.Get(keys.Node(number))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return false, fmt.Errorf("look for node %d: %w", number, err)
	}
	return err == nil && now == epoch, nil
}

func (l *Lease) tell() {
	select {
	case l.changed <- struct{}{}:
	default:
	}
}
