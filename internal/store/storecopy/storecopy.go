// Package storecopy copies a whole store into another one, of whatever engine.
//
// # How a copy goes
//
// The keys are read in their order and put into batches. Each batch also writes the key "copying", which says from where the copy
// is made and how far it has come: so a copy that was broken off, at whatever moment, goes on behind the last batch that there is.
// Nobody serves a store with that key in it (Unfinished).
//
// Then both stores are read from the first key to the last, and compared, key by key and value by value. What differs, because
// the source was used between two attempts, is written again, and all compared once more. At last "copying" is deleted, in the one
// batch that is waited for: everything before it is durable with it.
//
// # What is not copied
//
// Versions: each key gets one of the target's. No value may hold a version, but for what nodes say of themselves while they are at
// work (keys.OfNodes), which stays behind. Counters are values of eight octets to every engine. Ids of batches are not
// remembered in the target; nobody commits a batch anew after a restart.
//
// A source is read in many short snapshots: one for the whole time would keep a database from cleaning up. Nobody may use
// it meanwhile; what can be seen of that ends the copy, or has the stores compared once more: nodes that are alive, and versions that the source
// has given (newester).
//
// Nor may anybody use the target. A node joins a store only if it has no "copying" in it, in the very batch by which it joins. So one
// that began at the same time is seen when the key is there, or does not begin. What somebody else writes into the target all the same is
// known by its version, which is none of the copy's batches, and ends the copy: it is never taken away.
package storecopy

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"waybill/internal/store"
	"waybill/internal/store/keys"
)

// Options are what is copied to where.
type Options struct {
	From, To store.Store
	Source   string         // names From, the same way each time: a copy that was broken off is gone on with from there only
	Progress func(Progress) // is told when the target is marked, so that the same copy can go on, and of each batch; may be nil

	watch    time.Duration // how long a beat is watched; 0: watchFor
	patience time.Duration // how long it is asked what became of the last batch; 0: askFor
}

// Phase is a part of the work.
type Phase string

// The phases, in their order. The last one comes again when something differed.
const (
	Copying   Phase = "copy"
	Comparing Phase = "compare"
)

// Progress is how far a phase has come.
type Progress struct {
	Phase        Phase
	Keys, Octets int64
	AllKeys      int64 // 0: not known
	AllOctets    int64
}

// Result is what a copy came to.
type Result struct {
	Keys, Octets int64    // of the store
	Resumed      int64    // keys that were there already, of an attempt that was broken off
	Repaired     int64    // that were written again, because the source had changed since
	Sum          [32]byte // SHA-256 of all keys and values
}

var (
	// ErrNotEmpty: the target has something else in it.
	ErrNotEmpty = errors.New("there is a store already, and it is no unfinished copy: a copy goes into an empty one " +
		"(where the end of a copy to it was not seen, it is complete: what is not is marked)")
	// ErrOtherSource: the target has a part of another store in it.
	ErrOtherSource = errors.New("there is an unfinished copy of another store")
	// ErrTwice: somebody else copies to the same target.
	ErrTwice = errors.New("another copy to it is under way")
	// ErrUsed: nodes work on the source.
	ErrUsed = errors.New("nodes are at work on it: stop them first")
	// ErrTargetUsed: nodes work on the target.
	ErrTargetUsed = errors.New("nodes are at work on it already: stop them first")
	// ErrRestless: comparing has found differences again and again.
	ErrRestless = errors.New("the source changes all the time: somebody uses it")
)

// passes is how often a store is compared at most.
const passes = 3

// Copy copies a store, or goes on with a copy that was broken off; it may be called as often as one likes until it returns nil.
// Errors: those above, and those of the two stores.
func Copy(ctx context.Context, o Options) (Result, error) {
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	if o.watch == 0 {
		o.watch = watchFor
	}
	if o.patience == 0 {
		o.patience = askFor
	}
	c := &copier{Options: o}
	if err := c.refuseUsed(ctx); err != nil {
		return Result{}, err
	}
	if err := c.begin(ctx); err != nil {
		return Result{}, err
	}
	if err := c.measure(ctx); err != nil {
		return Result{}, err
	}
	if err := c.copy(ctx); err != nil {
		return Result{}, err
	}
	if err := c.settle(ctx); err != nil {
		return Result{}, err
	}
	return c.result, c.end(ctx)
}

// copier is a copy under way.
type copier struct {
	Options
	mark    mark
	version store.Version // of the mark in the target: whoever else writes it ends this copy
	all     Progress      // of the whole store; zero if it is not known
	result  Result

	resumed bool
	began   store.Version              // of the mark when this copy took the target
	ours    map[store.Version]struct{} // of all batches of this copy
	beats   map[string]store.Version   // of nodes in the target that are dead
}

// refuseUsed wants that no node works on the two.
func (c *copier) refuseUsed(ctx context.Context) error {
	if _, err := refuseUsed(ctx, c.From, c.watch); err != nil {
		return err
	}
	dead, err := refuseUsed(ctx, c.To, c.watch)
	if errors.Is(err, ErrUsed) {
		return ErrTargetUsed
	}
	c.beats = dead
	return err
}

// begin takes the target.
func (c *copier) begin(ctx context.Context) error {
	m, version, err := readMark(c.To)
	if err != nil {
		return err
	}
	// A mark alone tells nothing of what else is there: the reply to it was lost, or the process killed, before that was looked at.
	c.resumed = len(m.last) > 0
	if version == store.Absent {
		m = mark{source: c.Source}
		if err := checkEmpty(c.To); err != nil {
			return err
		}
	}
	if m.source != c.Source {
		return fmt.Errorf("%w: of %s", ErrOtherSource, m.source)
	}
	c.mark, c.version, c.result.Resumed = m, version, m.keys
	c.ours = map[store.Version]struct{}{}
	if err := c.commit(ctx, &store.Batch{}); err != nil {
		return err
	}
	c.began = c.version
	err = c.refuseJoined()
	if errors.Is(err, ErrTargetUsed) && !c.resumed {
		return errors.Join(err, c.end(ctx)) // it is their store now
	}
	c.tell(Copying, m.keys, m.octets)
	if err != nil || c.resumed {
		return err
	}
	b := store.Batch{Lazy: true}
	b.Delete(keys.Layout()) // which the copy gets from its source
	return c.commit(ctx, &b)
}

// refuseJoined returns ErrTargetUsed if somebody began to use the target before it had the mark, and after it was looked at.
func (c *copier) refuseJoined() error {
	now, err := beats(c.To)
	if err == nil && grown(c.beats, now) {
		err = ErrTargetUsed
	}
	if err == nil && !c.resumed {
		if err = checkEmpty(c.To); errors.Is(err, ErrNotEmpty) {
			err = ErrTargetUsed
		}
	}
	return err
}

// measurer is an engine that knows its size without reading everything.
type measurer interface {
	Measure(ctx context.Context) (keys, octets int64, err error)
}

// measure learns how much there is to do, if that can be had.
func (c *copier) measure(ctx context.Context) error {
	if m, ok := c.From.(measurer); ok {
		if n, octets, err := m.Measure(ctx); err == nil {
			c.all.AllKeys, c.all.AllOctets = n, octets
		}
	}
	return ctx.Err()
}

// newester is an engine that others may use meanwhile. Newest returns the newest version that a batch has drawn, when all batches with versions
// up to it have ended: what is written later has a newer one.
type newester interface {
	Newest(ctx context.Context) (store.Version, error)
}

// newest is that version of the source; always the same where nobody else can use it.
func (c *copier) newest(ctx context.Context) (store.Version, error) {
	if n, ok := c.From.(newester); ok {
		return n.Newest(ctx)
	}
	return 0, nil
}

// settle compares until nothing differs, and nothing was written to the source since that comparison began.
func (c *copier) settle(ctx context.Context) error {
	for range passes {
		before, err := c.newest(ctx)
		if err != nil {
			return err
		}
		differences, err := c.compare(ctx)
		if err != nil {
			return err
		}
		if c.result.Repaired += differences; differences > 0 {
			continue
		}
		if err := c.refuseUsed(ctx); err != nil {
			return err
		}
		if after, err := c.newest(ctx); err != nil || after == before {
			return err
		}
	}
	return ErrRestless
}

// copy writes what is not there yet.
func (c *copier) copy(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	from := read(ctx, c.From, c.mark.last)
	for p := range from.pages {
		b := store.Batch{Lazy: true}
		for _, e := range p {
			b.Put(e.key, e.value)
			c.mark.add(e)
		}
		if err := c.commit(ctx, &b); err != nil {
			return err
		}
		c.tell(Copying, c.mark.keys, c.mark.octets)
	}
	return from.err
}

// tell tells of progress.
func (c *copier) tell(phase Phase, keys, octets int64) {
	p := c.all
	p.Phase, p.Keys, p.Octets = phase, keys, octets
	c.Progress(p)
}

// commit commits a batch together with the mark.
func (c *copier) commit(ctx context.Context, b *store.Batch) error {
	b.Check(keys.Copying(), c.version)
	b.Put(keys.Copying(), c.mark.encode())
	r, err := c.To.Commit(ctx, b)
	if errors.Is(err, store.ErrConflict) {
		return ErrTwice
	}
	if err == nil {
		c.version = r.Version
		c.ours[r.Version] = struct{}{}
	}
	return err
}

// foreign says whether a version in the target was given to somebody else than the copies to it, as far as this one can know: those
// before, with which it goes on, had versions up to that of the mark.
func (c *copier) foreign(v store.Version) bool {
	_, ours := c.ours[v]
	return !ours && (!c.resumed || v > c.began)
}

const (
	askFor   = time.Minute
	askEvery = time.Second / 2
)

// end makes the copy a store like any other. Where it is not known whether that has happened it is asked for a while: who gave the command again
// would be told that there is a store already.
func (c *copier) end(ctx context.Context) error {
	b := store.Batch{ID: store.NewBatchID(time.Now())}
	b.Check(keys.Copying(), c.version)
	b.Delete(keys.Copying())
	_, err := c.To.Commit(ctx, &b)
	for until := time.Now().Add(c.patience); errors.Is(err, store.ErrUnknown) && time.Now().Before(until); {
		select {
		case <-ctx.Done():
			return err
		case <-time.After(askEvery):
		}
		if _, again := c.To.Commit(ctx, &b); again == nil || errors.Is(again, store.ErrConflict) {
			err = again
		}
	}
	if errors.Is(err, store.ErrConflict) {
		return ErrTwice
	}
	return err
}

// compare holds the two stores against each other and returns how many keys differed, which it writes again.
func (c *copier) compare(ctx context.Context) (differences int64, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	m := merge{from: read(ctx, c.From, nil), to: read(ctx, c.To, nil)}
	sum := sha256.New()
	var repair store.Batch
	var keys, octets, told int64
	size := 0
	for {
		have, want, ok := m.next()
		if !ok {
			break
		}
		if want != nil {
			keys++
			octets += int64(want.size())
			want.hash(sum)
		}
		if !same(have, want) {
			if have != nil && c.foreign(have.version) {
				return differences, fmt.Errorf("%w; one has written the key %.60q since the copy began", ErrTargetUsed, have.key)
			}
			differences++
			size += mend(&repair, have, want)
		}
		if size >= pageOctets || len(repair.Puts)+len(repair.Deletes) >= pageKeys {
			if err := c.commit(ctx, &repair); err != nil {
				return differences, err
			}
			repair, size = store.Batch{}, 0
		}
		if octets-told >= pageOctets {
			told = octets
			c.tell(Comparing, keys, octets)
		}
	}
	if err := m.err(); err != nil {
		return differences, err
	}
	if len(repair.Puts)+len(repair.Deletes) > 0 {
		if err := c.commit(ctx, &repair); err != nil {
			return differences, err
		}
	}
	c.tell(Comparing, keys, octets)
	c.result.Keys, c.result.Octets = keys, octets
	sum.Sum(c.result.Sum[:0])
	return differences, nil
}

// mend adds to the batch what makes have, in the target, like want, and returns how much that is.
func mend(b *store.Batch, have, want *entry) int {
	if want == nil {
		b.Delete(have.key)
		return len(have.key)
	}
	b.Put(want.key, want.value)
	return want.size()
}
