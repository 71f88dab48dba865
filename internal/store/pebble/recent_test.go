package pebble

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"waybill/internal/store"
)

// TestRecentIsTheTruth: after any batches, what is remembered of a key is what the tables say of it.
func TestRecentIsTheTruth(t *testing.T) {
	t.Parallel()
	s := openMem(t, vfs.NewMem())
	t.Cleanup(func() { s.Close() })
	random := rand.New(rand.NewPCG(1, 2))
	key := func(kind string) []byte { return fmt.Appendf(nil, "%s%03d", kind, random.IntN(300)) }
	for range 3000 {
		b := store.Batch{Lazy: true}
		switch random.IntN(10) {
		case 0:
			b.Delete(key("k"))
		case 1:
			if random.IntN(20) == 0 {
				b.DeleteRanges = []store.Range{store.Prefix(key("k")[:3])}
			}
		case 2, 3:
			b.Count(key("c"), int64(random.IntN(9)), 0)
		case 4:
			b.Put(key("k"), make([]byte, recentValue+random.IntN(2)))
		default:
			b.Put(key("k"), []byte("v"))
		}
		if random.IntN(3) == 0 {
			b.Check(key("k"), store.Version(random.IntN(3000))) // mostly refused: the key is looked up all the same
		}
		if _, err := s.Commit(t.Context(), &b); err != nil && !errors.Is(err, store.ErrConflict) {
			t.Fatal(err)
		}
	}
	g := s.current.Load()
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.recent.young) == 0 {
		t.Fatal("nothing is remembered")
	}
	for key, k := range g.recent.young {
		v, closer, err := g.db.Get(g.internal([]byte(key)))
		if errors.Is(err, pebble.ErrNotFound) {
			if k.version != store.Absent {
				t.Errorf("%s: remembered with version %d, but it is not there", key, k.version)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if have := store.Version(binary.BigEndian.Uint64(v)); have != k.version {
			t.Errorf("%s: remembered with version %d, it has %d", key, k.version, have)
		}
		if n := store.ReadCounter(v[versionSize:]); k.counter && n != k.number {
			t.Errorf("%s: remembered as %d, it is %d", key, k.number, n)
		}
		closer.Close()
	}
}

// TestRecentIsBounded: many keys do not make it grow.
func TestRecentIsBounded(t *testing.T) {
	t.Parallel()
	var r recent
	for i := range 10 * recentKeys {
		r.put(fmt.Appendf(nil, "%d", i), known{version: 1})
	}
	if n := len(r.young) + len(r.old); n > 2*recentKeys {
		t.Errorf("%d keys are remembered", n)
	}
	if _, ok := r.get(fmt.Appendf(nil, "%d", 10*recentKeys-1)); !ok {
		t.Error("the newest key is forgotten")
	}
}
