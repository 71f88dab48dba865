package pebble

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"waybill/internal/store"
)

// reserveAhead is how many versions are reserved at once; a restart skips at most so many.
const reserveAhead = 1 << 20

// Commit implements store.Store.
func (s *Store) Commit(ctx context.Context, b *store.Batch) (store.Result, error) {
	if err := ctx.Err(); err != nil {
		return store.Result{}, err
	}
	g, err := s.acquire()
	if err != nil {
		return store.Result{}, err
	}
	defer g.release()
	w, err := encode(g.db, b)
	if err != nil {
		return store.Result{}, err
	}
	r, known, err := s.apply(ctx, g, b, w)
	switch {
	case err != nil:
		// A batch that was refused was never handed over; one that Pebble gave up in the middle may still be in use.
		if !g.wrecked.Load() {
			w.free()
		}
		return store.Result{}, err
	case known:
		w.free()
		if b.Lazy {
			return r, nil
		}
		return r, g.settled(g.barrier())
	}
	s.notify(b, w)
	return r, g.settled(g.wait(b, w, r.Version))
}

// settled turns the failure of a batch that was applied into an unknown outcome.
func (g *generation) settled(err error) error {
	if err != nil {
		return g.unknown()
	}
	return nil
}

// apply does under the lock what must happen at one instant. It returns the first result if the batch is known.
func (s *Store) apply(ctx context.Context, g *generation, b *store.Batch, w *write) (r store.Result, known bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	applying := false
	defer func() {
		switch {
		case err == nil:
		case applying:
			err = g.unknown()
		case g.failed(): // whatever the check met, this is why
			err = g.failure()
		}
	}()
	defer g.rescue(&err)
	if g.failed() {
		return r, false, g.failure()
	}
	if err := ctx.Err(); err != nil { // it may have waited long for the lock
		return r, false, err
	}
	if b.ID != (store.BatchID{}) {
		if r, known, err = g.ids.find(g, b.ID); known || err != nil {
			return r, known, err
		}
	}
	if err := g.check(b); err != nil {
		return r, false, err
	}
	if r.Counters, err = g.count(b); err != nil {
		return r, false, err
	}
	version := s.version.Add(1)
	r.Version = store.Version(version)
	if err := g.complete(b, w, r); err != nil {
		return r, false, err
	}
	// First this, then what readers see: a Barrier after a read must know of the batch.
	g.applied.Store(version)
	applying = true
	if b.Lazy {
		err = g.db.Apply(w.batch, pebble.NoSync)
	} else {
		err = g.db.ApplyNoSyncWait(w.batch, pebble.Sync)
	}
	if err != nil {
		g.wrecked.Store(true)
		g.fence.kill(err)
		return r, false, err
	}
	g.recent.learn(b, w, r)
	return r, false, nil
}

// check evaluates the checks of b.
func (g *generation) check(b *store.Batch) error {
	for i := range b.Checks {
		key := b.Checks[i].Key
		have, err := g.version(key)
		if err != nil {
			return fmt.Errorf("%w: check %q: %w", store.ErrUnavailable, key, err)
		}
		if have != b.Checks[i].Version {
			return fmt.Errorf("%w: key %q has version %d, not %d", store.ErrConflict, key, have, b.Checks[i].Version)
		}
	}
	return nil
}

// version returns the version of a key now.
func (g *generation) version(key []byte) (store.Version, error) {
	if k, ok := g.recent.get(key); ok {
		return k.version, nil
	}
	v, closer, err := g.db.Get(g.internal(key))
	if errors.Is(err, pebble.ErrNotFound) {
		return store.Absent, nil
	}
	if err != nil {
		return store.Absent, err
	}
	defer closer.Close()
	version := store.Version(binary.BigEndian.Uint64(v))
	g.recent.put(key, known{version: version})
	return version, nil
}

// count evaluates the counters of b.
func (g *generation) count(b *store.Batch) ([]int64, error) {
	if len(b.Counters) == 0 {
		return nil, nil
	}
	numbers := make([]int64, len(b.Counters))
	for i := range b.Counters {
		n, err := g.counter(b, numbers[:i])
		if err != nil {
			return nil, err
		}
		if numbers[i], err = b.Counters[i].Advance(n); err != nil {
			return nil, err
		}
	}
	return numbers, nil
}

// counter returns the number of the counter that follows those already numbered.
func (g *generation) counter(b *store.Batch, numbered []int64) (int64, error) {
	key := b.Counters[len(numbered)].Key
	for i := len(numbered) - 1; i >= 0; i-- { // a batch may count the same thing twice
		if string(b.Counters[i].Key) == string(key) {
			return numbered[i], nil
		}
	}
	if k, ok := g.recent.get(key); ok && (k.counter || k.version == store.Absent) {
		return k.number, nil
	}
	v, closer, err := g.db.Get(g.internal(key))
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("%w: counter %q: %w", store.ErrUnavailable, key, err)
	}
	defer closer.Close()
	return store.ReadCounter(v[versionSize:]), nil
}

// complete writes the batch's numbers into it, with its id, and a reservation of versions if they run out.
func (g *generation) complete(b *store.Batch, w *write, r store.Result) error {
	version := uint64(r.Version)
	w.number(b, version, r.Counters)
	if version > g.reserved {
		g.reserved = version + reserveAhead
		if err := w.batch.Set(reservedKey, binary.BigEndian.AppendUint64(nil, g.reserved), nil); err != nil {
			return err
		}
	}
	if b.ID == (store.BatchID{}) {
		return nil
	}
	return g.ids.remember(w.batch, b.ID, r)
}

// wait waits until the applied batch is durable, unless it is lazy.
func (g *generation) wait(b *store.Batch, w *write, v store.Version) (err error) {
	defer g.rescue(&err)
	empty := w.batch.Empty() // checks alone: nothing of it went into the log, so no sync is waited for
	if !b.Lazy {
		err = w.batch.SyncWait()
	}
	// Success means nothing yet: a dead fence pretends it.
	if err != nil {
		g.fence.kill(err)
	}
	w.free()
	if g.failed() {
		return g.failure()
	}
	switch {
	case b.Lazy:
	case empty: // durable implies that all before it is, all the same
		return g.barrier()
	default:
		g.durable(uint64(v))
	}
	return nil
}

// internal returns the key on disk; it is valid until the next call. g.mu must be held.
func (g *generation) internal(key []byte) []byte {
	g.key = append(append(g.key[:0], userPrefix), key...)
	return g.key
}
