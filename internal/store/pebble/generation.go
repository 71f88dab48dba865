package pebble

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"waybill/internal/store"
)

// generation is one opening of the database, from Open or a recovery to the first failure or Close.
type generation struct {
	db    *pebble.DB
	fence *fence
	log   *logger

	dead  chan struct{} // closed by the first failure, after cause is set
	cause error
	// wrecked: Pebble was left in the middle of something (a panic or a Fatalf), maybe with locks held, and
	// cannot be closed any more; what it holds is given up.
	wrecked atomic.Bool

	refs    atomic.Int64 // operations under way, and 1 until retire
	drained chan struct{}

	mu       sync.Mutex // held to evaluate and apply a batch
	reserved uint64     // versions up to here may be used
	ids      batchIDs
	recent   recent
	key      []byte        // scratch
	applied  atomic.Uint64 // version of the newest batch applied or, under mu, being applied
	synced   atomic.Uint64 // version up to which batches are known to be durable

	open struct {
		sync.Mutex
		snapshots map[*snapshot]struct{}
	}
}

// openGeneration opens the database anew, as after a crash.
func (s *Store) openGeneration() (*generation, error) {
	g := &generation{dead: make(chan struct{}), drained: make(chan struct{})}
	g.refs.Store(1)
	g.open.snapshots = map[*snapshot]struct{}{}
	g.fence = &fence{FS: s.o.FS, dir: s.o.Dir, failed: g.fail}
	g.log = &logger{Logger: s.o.Logger, g: g}
	err := g.openDB(s.tuned(g))
	if err == nil {
		err = g.recover(s)
	}
	// An error that the fence swallowed is an error all the same.
	if err == nil && g.failed() {
		err = g.failure()
	}
	if err != nil {
		if g.failed() { // what the database says then is a consequence; the fence knows the cause
			err = g.failure()
		}
		g.fence.kill(err)
		s.retire(g)
		g.fence.drain()
		return nil, err
	}
	return g, nil
}

func (g *generation) openDB(o *pebble.Options) (err error) {
	defer g.rescue(&err)
	g.db, err = pebble.Open(g.fence.dir, o)
	return err
}

// recover learns where numbers go on.
func (g *generation) recover(s *Store) (err error) {
	defer g.rescue(&err)
	v, err := g.get(reservedKey)
	if err != nil && !errors.Is(err, pebble.ErrNotFound) {
		return err
	}
	// The process may know of a newer one than the disk does; somebody may have read it.
	next := max(uint64(store.ReadCounter(v)), s.version.Load())
	s.version.Store(next)
	g.applied.Store(next)
	g.synced.Store(next)
	return g.ids.recover(g.db)
}

// fail is the fence's report of the first error.
func (g *generation) fail(err error) {
	g.cause = err
	close(g.dead)
}

func (g *generation) failed() bool { return g.fence.dead.Load() }

// failure returns ErrUnavailable with the cause. The generation must have failed or been retired.
func (g *generation) failure() error {
	if !g.failed() {
		return store.ErrUnavailable
	}
	<-g.dead
	return fmt.Errorf("%w: %w", store.ErrUnavailable, g.cause)
}

// unknown returns ErrUnknown with the cause. The generation must have failed.
func (g *generation) unknown() error {
	<-g.dead
	return fmt.Errorf("%w: %w", store.ErrUnknown, g.cause)
}

// rescue, deferred around every call into Pebble, turns a panic (and Fatalf, see logger) into the end of the
// generation and an error.
func (g *generation) rescue(err *error) {
	r := recover()
	if r == nil {
		return
	}
	g.wrecked.Store(true)
	g.fence.kill(fmt.Errorf("pebble: %v", r))
	*err = g.failure()
}

// acquire begins an operation, which keeps the database open until release.
func (g *generation) acquire() error {
	for {
		n := g.refs.Load()
		if n == 0 || g.failed() {
			return g.failure()
		}
		if g.refs.CompareAndSwap(n, n+1) {
			return nil
		}
	}
}

func (g *generation) acquirable() bool { return !g.failed() && g.refs.Load() > 0 }

func (g *generation) release() {
	if g.refs.Add(-1) == 0 {
		close(g.drained)
	}
}

// retire ends the generation's own reference. It is called once.
func (g *generation) retire() { g.release() }

// close waits for the operations under way and closes the database. On a living fence this makes everything
// durable; on a dead one it only frees memory.
func (g *generation) close() {
	<-g.drained
	if g.db == nil {
		return
	}
	if g.wrecked.Load() {
		g.log.Error("a failed store could not be closed, its memory is lost until the process ends")
		return
	}
	if err := g.closeDB(); err != nil && !g.failed() {
		g.fence.kill(err)
	}
}

func (g *generation) closeDB() (err error) {
	defer g.rescue(&err)
	g.open.Lock()
	for sn := range g.open.snapshots {
		err = errors.Join(err, sn.snap.Close())
	}
	clear(g.open.snapshots)
	g.open.Unlock()
	return errors.Join(err, g.db.Close())
}

// get returns a copy of the value of an internal key, or pebble.ErrNotFound.
func (g *generation) get(key []byte) ([]byte, error) {
	v, closer, err := g.db.Get(key)
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	return append([]byte(nil), v...), nil
}

// barrier waits until everything applied so far is durable.
func (g *generation) barrier() (err error) {
	if g.synced.Load() >= g.applied.Load() {
		return nil
	}
	// Under the lock nothing is on its way into the log: what follows in it comes after all that is applied.
	g.mu.Lock()
	target := g.applied.Load()
	g.mu.Unlock()
	defer g.rescue(&err)
	if err := g.db.LogData(nil, pebble.Sync); err != nil {
		g.fence.kill(err)
	}
	if g.failed() {
		return g.failure()
	}
	g.durable(target)
	return nil
}

// durable notes that all batches up to version v are.
func (g *generation) durable(v uint64) {
	for {
		old := g.synced.Load()
		if old >= v || g.synced.CompareAndSwap(old, v) {
			return
		}
	}
}
