package storecopy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/pebble"
	"waybill/internal/store/postgres"
	"waybill/internal/store/postgres/pgtest"
)

// database is a PostgreSQL server for all tests.
var database pgtest.Shared

func TestMain(m *testing.M) {
	status := m.Run()
	database.Remove()
	os.Exit(status)
}

func embedded(t *testing.T) store.Store {
	t.Helper()
	s, err := pebble.Open(pebble.Options{Dir: "store", FS: vfs.NewMem(), MemTableSize: 1 << 20})
	return closing(t, s, err)
}

func distributed(t *testing.T) store.Store {
	t.Helper()
	server := database.Get(t)
	url := server.URL(server.Schema(t))
	if _, err := postgres.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	s, err := postgres.Open(postgres.Options{URL: url})
	return closing(t, s, err)
}

func closing(t *testing.T, s store.Store, err error) store.Store {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func commit(t *testing.T, s store.Store, fill func(b *store.Batch)) store.Result {
	t.Helper()
	var b store.Batch
	fill(&b)
	r, err := s.Commit(context.Background(), &b)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const counter, counted = "a counter", 41

// furnish fills a store with what takes some batches: many small keys, some large values, a counter, awkward keys, and
// what nodes say of themselves.
func furnish(t *testing.T, s store.Store) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	value := func(size int) []byte {
		v := make([]byte, size)
		for i := range v {
			v[i] = byte(random.Uint32())
		}
		return v
	}
	for part := range 5 {
		commit(t, s, func(b *store.Batch) {
			for i := range 700 {
				b.Put(fmt.Appendf(nil, "small/%d/%d", part, i), value(random.IntN(100)))
			}
			for i := range 8 {
				b.Put(fmt.Appendf(nil, "large/%d/%d", part, i), value(200_000))
			}
		})
	}
	commit(t, s, func(b *store.Batch) {
		b.Put([]byte{0}, nil)
		b.Put([]byte{0xff, 0xff}, []byte{0})
		b.Put([]byte("huge"), value(6<<20))
		b.Count([]byte(counter), counted, 0)
		for _, prefix := range keys.OfNodes() {
			b.Put(append(prefix, '1'), []byte("here"))
		}
	})
}

// content is all that there is, but for what stays.
func content(t *testing.T, s store.Store) map[string]string {
	t.Helper()
	snap, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	found := map[string]string{}
	for e, err := range snap.Scan(store.Range{}) {
		if err != nil {
			t.Fatal(err)
		}
		found[string(e.Key)] = string(e.Value)
	}
	return found
}

// checkCopy wants the copy to be whole, and nothing more.
func checkCopy(t *testing.T, from, to store.Store) {
	t.Helper()
	want, got := content(t, from), content(t, to)
	for key, value := range want {
		if copied, is := got[key]; is == stays([]byte(key)) || is && copied != value {
			t.Errorf("key %.40q: %d octets, there: %v, want %d", key, len(copied), is, len(value))
		}
	}
	for key := range got {
		if _, is := want[key]; !is && !stays([]byte(key)) {
			t.Errorf("key %.40q is only in the copy", key)
		}
	}
	if source, err := Unfinished(to); source != "" || err != nil {
		t.Errorf("unfinished: %q, %v", source, err)
	}
}

// TestThereAndBack: a store comes back as it was, by every way, and is one like any other: a counter goes on counting.
func TestThereAndBack(t *testing.T) {
	t.Parallel()
	first := embedded(t)
	furnish(t, first)
	commit(t, first, func(b *store.Batch) { // as nodes do that have ended
		b.DeleteRanges = []store.Range{store.Prefix(keys.Beats())}
	})
	from := first
	var sum [32]byte
	for i, to := range []store.Store{distributed(t), distributed(t), embedded(t), embedded(t)} {
		var last Progress
		phases := map[Phase]bool{}
		r, err := Copy(t.Context(), Options{From: from, To: to, Source: "s", Progress: func(p Progress) { last, phases[p.Phase] = p, true }})
		if err != nil {
			t.Fatal(err)
		}
		checkCopy(t, first, to)
		if r.Resumed != 0 || r.Repaired != 0 || r.Keys != 3544 || i > 0 && r.Sum != sum {
			t.Errorf("copy %d: %+v", i, r)
		}
		if last.Keys != r.Keys || last.Octets != r.Octets || len(phases) != 2 || i > 0 && (last.AllKeys != r.Keys || last.AllOctets != r.Octets) {
			t.Errorf("copy %d ended with %+v", i, last)
		}
		from, sum = to, r.Sum
	}
	r := commit(t, from, func(b *store.Batch) { b.Count([]byte(counter), 1, 0) })
	if r.Counters[0] != counted+1 {
		t.Errorf("the counter is %d", r.Counters[0])
	}
}

// breaking ends a copy after some batches.
type breaking struct {
	store.Store
	left int
}

var errBroken = errors.New("broken off")

func (b *breaking) Commit(ctx context.Context, batch *store.Batch) (store.Result, error) {
	if b.left--; b.left < 0 {
		return store.Result{}, errBroken
	}
	return b.Store.Commit(ctx, batch)
}

// TestBrokenOff: at whatever batch a copy is broken off, it is a part, and goes on from there; what changed in the source
// meanwhile, before or behind that place, is changed in the copy too.
func TestBrokenOff(t *testing.T) {
	t.Parallel()
	for _, make := range []func(*testing.T) store.Store{embedded, distributed} {
		from, to := embedded(t), make(t)
		furnish(t, from)
		commit(t, from, func(b *store.Batch) { b.DeleteRanges = []store.Range{store.Prefix(keys.Beats())} })
		o := Options{From: from, Source: "the source"}
		var r Result
		for attempt, copied := 0, int64(0); ; attempt++ {
			o.To = &breaking{to, 3 + max(0, 1-attempt)} // to begin takes one more
			var err error
			if r, err = Copy(t.Context(), o); err == nil {
				break
			}
			if !errors.Is(err, errBroken) || attempt > 20 {
				t.Fatal(attempt, err)
			}
			if source, err := Unfinished(to); source != o.Source || err != nil {
				t.Fatalf("unfinished: %q, %v", source, err)
			}
			m, _, err := readMark(to)
			if err != nil || m.keys <= copied {
				t.Fatalf("attempt %d has come to %d keys, the one before to %d: %v", attempt, m.keys, copied, err)
			}
			if copied = m.keys; attempt == 1 {
				commit(t, from, func(b *store.Batch) {
					b.Put([]byte("large/0/1"), []byte("changed")) // copied already
					b.Put([]byte{1}, []byte("new"))
					b.Delete([]byte("large/0/2"))
					b.Delete([]byte("small/4/699")) // not copied yet
				})
			}
		}
		checkCopy(t, from, to)
		if r.Repaired != 3 || r.Resumed == 0 {
			t.Errorf("%+v", r)
		}
	}
}

// TestRefused: a copy is made from one source only, into an empty store, by one process.
func TestRefused(t *testing.T) {
	t.Parallel()
	from, to := embedded(t), embedded(t)
	commit(t, from, func(b *store.Batch) { b.Put([]byte("k"), []byte("v")) })
	half := func(source string, commits int) error {
		_, err := Copy(t.Context(), Options{From: from, To: &breaking{to, commits}, Source: source})
		return err
	}
	if err := half("one", 2); !errors.Is(err, errBroken) {
		t.Fatal(err)
	}
	if err := half("two", 9); !errors.Is(err, ErrOtherSource) || !strings.Contains(err.Error(), "one") {
		t.Error(err)
	}
	other := &meddling{Store: to}
	if _, err := Copy(t.Context(), Options{From: from, To: other, Source: "one"}); !errors.Is(err, ErrTwice) {
		t.Errorf("while another copy goes on: %v", err)
	}
	if err := half("one", 9); err != nil {
		t.Fatal(err)
	}
	if err := half("one", 9); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("once more: %v", err)
	}
	checkCopy(t, from, to)
}

// meddling is a store to which another process copies, too.
type meddling struct {
	store.Store
	commits int
}

func (m *meddling) Commit(ctx context.Context, b *store.Batch) (store.Result, error) {
	if m.commits++; m.commits == 2 {
		if _, err := m.Store.Commit(ctx, &store.Batch{Puts: []store.Put{{Key: keys.Copying(), Value: mark{source: "one"}.encode()}}}); err != nil {
			return store.Result{}, err
		}
	}
	return m.Store.Commit(ctx, b)
}

// TestMarkAlone: what was written into a target before a copy that came no further than its mark is not the copy's to delete.
func TestMarkAlone(t *testing.T) {
	t.Parallel()
	from, to := embedded(t), embedded(t)
	commit(t, from, func(b *store.Batch) { b.Put([]byte("k"), []byte("v")) })
	if _, err := Copy(t.Context(), Options{From: from, To: &breaking{to, 1}, Source: "one"}); !errors.Is(err, errBroken) {
		t.Fatal(err)
	}
	if _, err := Copy(t.Context(), Options{From: from, To: &breaking{to, 1}, Source: "two"}); !errors.Is(err, ErrOtherSource) {
		t.Error(err)
	}
	commit(t, to, func(b *store.Batch) { b.Put([]byte("account"), nil) })
	if _, err := Copy(t.Context(), Options{From: from, To: to, Source: "one"}); !errors.Is(err, ErrTargetUsed) {
		t.Error(err)
	}
	if found, want := content(t, to), map[string]string{"account": ""}; !maps.Equal(found, want) {
		t.Errorf("the target holds %q", found)
	}
}

// TestUsed: while a node shows that it is alive nothing is copied; the traces of one that was killed are no hindrance.
func TestUsed(t *testing.T) {
	t.Parallel()
	from, to := embedded(t), embedded(t)
	furnish(t, from)
	o := Options{From: from, To: to, Source: "s", watch: time.Second}
	ctx, stop := context.WithCancel(t.Context())
	var node sync.WaitGroup
	node.Go(func() {
		for ctx.Err() == nil {
			commit(t, from, func(b *store.Batch) { b.Put(keys.Beat(1), nil) })
			time.Sleep(300 * time.Millisecond)
		}
	})
	if _, err := Copy(t.Context(), Options{From: from, To: to, Source: "s", watch: time.Minute}); !errors.Is(err, ErrUsed) {
		t.Error(err)
	}
	if _, err := Copy(t.Context(), Options{From: to, To: from, Source: "s", watch: time.Minute}); !errors.Is(err, ErrTargetUsed) {
		t.Error(err)
	}
	stop()
	node.Wait()
	if found := content(t, to); len(found) > 0 {
		t.Errorf("%d keys were copied", len(found))
	}
	commit(t, to, func(b *store.Batch) { // as a migration and a node do that find nothing
		b.Put(keys.Layout(), []byte{99})
		b.Put(keys.Node(7), nil)
	})
	if _, err := Copy(t.Context(), o); err != nil {
		t.Error(err)
	}
	checkCopy(t, from, to)
}

// restless changes whenever it is looked at.
type restless struct {
	store.Store
	looks int
}

func (r *restless) Snapshot() (store.Snapshot, error) {
	r.looks++
	_, err := r.Store.Commit(context.Background(), &store.Batch{Puts: []store.Put{{Key: []byte("k"), Value: fmt.Append(nil, r.looks)}}})
	if err != nil {
		return nil, err
	}
	return r.Store.Snapshot()
}

// TestRestless: a source that never holds still has no copy.
func TestRestless(t *testing.T) {
	t.Parallel()
	to := embedded(t)
	if _, err := Copy(t.Context(), Options{From: &restless{Store: embedded(t)}, To: to, Source: "s"}); !errors.Is(err, ErrRestless) {
		t.Error(err)
	}
	if source, err := Unfinished(to); source != "s" || err != nil {
		t.Errorf("unfinished: %q, %v", source, err)
	}
}
