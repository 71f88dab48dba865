package pebble

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"waybill/internal/store"
)

// snapshot implements store.Snapshot. It dies with its generation: what it shows may be lost then.
type snapshot struct {
	store  *Store
	g      *generation
	snap   *pebble.Snapshot
	refs   atomic.Int64 // reads under way, and 1 until Close
	closed atomic.Bool
}

func (g *generation) snapshot(s *Store) (sn store.Snapshot, err error) {
	defer g.rescue(&err)
	n := &snapshot{store: s, g: g, snap: g.db.NewSnapshot()}
	n.refs.Store(1)
	g.open.Lock()
	g.open.snapshots[n] = struct{}{}
	g.open.Unlock()
	return n, nil
}

// begin and end surround every read.
func (n *snapshot) begin() error {
	if n.store.closed.Load() {
		return store.ErrClosed
	}
	if err := n.g.acquire(); err != nil {
		return err
	}
	for {
		refs := n.refs.Load()
		if refs == 0 || n.closed.Load() {
			n.g.release()
			return fmt.Errorf("%w: snapshot", store.ErrClosed)
		}
		if n.refs.CompareAndSwap(refs, refs+1) {
			return nil
		}
	}
}

func (n *snapshot) end() {
	n.unref()
	n.g.release()
}

func (n *snapshot) unref() {
	if n.refs.Add(-1) > 0 {
		return
	}
	n.g.open.Lock()
	_, mine := n.g.open.snapshots[n]
	delete(n.g.open.snapshots, n)
	n.g.open.Unlock()
	if mine {
		_ = n.snap.Close()
	}
}

// Close implements store.Snapshot; a second call does nothing.
func (n *snapshot) Close() error {
	if n.closed.Swap(true) {
		return nil
	}
	if n.g.acquire() != nil {
		return nil // the generation closes it
	}
	defer n.g.release()
	n.unref()
	return nil
}

// errShortValue: what is stored cannot have been written by this engine.
var errShortValue = errors.New("stored value is too short for its version")

// Get implements store.Snapshot.
func (n *snapshot) Get(key []byte) (value []byte, version store.Version, err error) {
	if err := n.begin(); err != nil {
		return nil, 0, err
	}
	defer n.end()
	defer n.g.rescue(&err)
	var scratch [128]byte
	v, closer, err := n.snap.Get(append(append(scratch[:0], userPrefix), key...))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, 0, store.ErrNotFound
	}
	if err != nil {
		return nil, 0, n.broken(err)
	}
	defer closer.Close()
	if len(v) < versionSize {
		return nil, store.Absent, fmt.Errorf("key %q: %w", key, errShortValue)
	}
	version = store.Version(binary.BigEndian.Uint64(v))
	value = append(make([]byte, 0, len(v)-versionSize), v[versionSize:]...)
	return value, version, nil
}

// broken is the error of a read: the store's if it has failed, else the read's own.
func (n *snapshot) broken(err error) error {
	if n.g.failed() {
		return n.g.failure()
	}
	return fmt.Errorf("store: read: %w", err)
}

// Scan implements store.Snapshot.
func (n *snapshot) Scan(r store.Range) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		if err := n.begin(); err != nil {
			yield(store.Entry{}, err)
			return
		}
		defer n.end()
		c := cursor{n: n, reverse: r.Reverse}
		defer c.close()
		err := c.open(r)
		for count := 0; err == nil && (r.Limit <= 0 || count < r.Limit); count++ {
			var e store.Entry
			var ok bool
			if e, ok, err = c.next(); err == nil && (!ok || !yield(e, nil)) {
				return
			}
		}
		if err != nil {
			yield(store.Entry{}, err)
		}
	}
}

// cursor steps through a range; its calls into Pebble are apart from the caller's code, whose panics are its own.
type cursor struct {
	n       *snapshot
	it      *pebble.Iterator
	reverse bool
	begun   bool
}

func (c *cursor) open(r store.Range) (err error) {
	defer c.n.g.rescue(&err)
	start, end := bounds(r)
	if string(start) >= string(end) {
		return nil
	}
	it, err := c.n.snap.NewIter(&pebble.IterOptions{LowerBound: start, UpperBound: end})
	if err != nil {
		return c.n.broken(err)
	}
	c.it = it
	return nil
}

func (c *cursor) next() (e store.Entry, ok bool, err error) {
	if c.it == nil {
		return e, false, nil
	}
	// A long scan must not outlive what it reads.
	if c.n.g.failed() {
		return e, false, c.n.g.failure()
	}
	if c.n.store.closed.Load() {
		return e, false, store.ErrClosed
	}
	defer c.n.g.rescue(&err)
	if !c.step() {
		if err := c.it.Error(); err != nil {
			return e, false, c.n.broken(err)
		}
		return e, false, nil
	}
	v, err := c.it.ValueAndErr()
	if err != nil {
		return e, false, c.n.broken(err)
	}
	if len(v) < versionSize {
		return e, false, fmt.Errorf("key %q: %w", c.it.Key()[1:], errShortValue)
	}
	return store.Entry{
		Key: c.it.Key()[1:], Value: v[versionSize:], Version: store.Version(binary.BigEndian.Uint64(v)),
	}, true, nil
}

func (c *cursor) step() bool {
	begun := c.begun
	c.begun = true
	switch {
	case begun && c.reverse:
		return c.it.Prev()
	case begun:
		return c.it.Next()
	case c.reverse:
		return c.it.Last()
	}
	return c.it.First()
}

func (c *cursor) close() {
	if c.it == nil {
		return
	}
	var err error
	defer c.n.g.rescue(&err)
	_ = c.it.Close()
}
