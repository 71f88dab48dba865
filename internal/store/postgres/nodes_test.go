package postgres_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"waybill/internal/store"
	"waybill/internal/store/postgres"
	"waybill/internal/store/storetest"
)

// pair is two nodes on one database, used in turn. What is watched is heard of at once on the node that commits, so from
// the first watch on one node does it all.
type pair struct {
	nodes   [2]*postgres.Store
	turn    atomic.Int64
	watched atomic.Bool
}

func (p *pair) next() store.Store {
	if p.watched.Load() {
		return p.nodes[0]
	}
	return p.nodes[p.turn.Add(1)%2]
}

func (p *pair) Snapshot() (store.Snapshot, error) { return p.next().Snapshot() }

func (p *pair) Commit(ctx context.Context, b *store.Batch) (store.Result, error) {
	return p.next().Commit(ctx, b)
}

func (p *pair) Barrier(ctx context.Context) error { return p.next().Barrier(ctx) }

func (p *pair) Watch(prefix []byte) (<-chan struct{}, func()) {
	p.watched.Store(true)
	return p.nodes[0].Watch(prefix)
}

func (p *pair) Healthy() error { return errors.Join(p.nodes[0].Healthy(), p.nodes[1].Healthy()) }

func (p *pair) Close() error { return errors.Join(p.nodes[0].Close(), p.nodes[1].Close()) }

func openPair(o postgres.Options) (*pair, error) {
	p := &pair{}
	for i := range p.nodes {
		s, err := postgres.Open(o)
		if err != nil {
			return nil, err
		}
		p.nodes[i] = s
	}
	return p, nil
}

func TestConformanceOfTwoNodes(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Opener {
		o := postgres.Options{URL: empty(t)}
		return func() (store.Store, error) { return openPair(o) }
	})
}

// TestConformanceOfPartitions runs the suite on a table that is partitioned by prefix.
func TestConformanceOfPartitions(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Opener {
		server := sharedServer(t)
		schema := server.Schema(t)
		o := postgres.Options{URL: migrated(t, server.URL(schema))}
		server.Exec(t, `ALTER TABLE waybill_kv RENAME TO waybill_kv_low; ALTER INDEX waybill_kv_pkey RENAME TO waybill_kv_low_pkey;
			CREATE TABLE waybill_kv (LIKE waybill_kv_low INCLUDING STORAGE, PRIMARY KEY (key)) PARTITION BY RANGE (key);
			ALTER TABLE waybill_kv ATTACH PARTITION waybill_kv_low FOR VALUES FROM (MINVALUE) TO ('b');
			CREATE TABLE waybill_kv_middle PARTITION OF waybill_kv FOR VALUES FROM ('b') TO ('d');
			CREATE TABLE waybill_kv_high PARTITION OF waybill_kv FOR VALUES FROM ('d') TO (MAXVALUE)`, schema)
		return func() (store.Store, error) { return postgres.Open(o) }
	})
}

// history is what batches were told that were applied.
type history struct {
	mu      sync.Mutex
	entries []happened
}

type happened struct {
	batch  *store.Batch
	result store.Result
}

// TestNodesAgreeOnOneOrder lets two nodes change the same few keys in all possible ways, and then goes through all
// batches that were applied, in the order of their versions: each must have found what it demanded, got the next
// numbers, and the last state must be what is in the table. (Ranges are apart: what is created in one while it is deleted
// may have a smaller version and come after it all the same.)
func TestNodesAgreeOnOneOrder(t *testing.T) {
	t.Parallel()
	p, err := openPair(postgres.Options{URL: empty(t), Writers: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var h history
	var refused, failed atomic.Int64
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			for i := range 150 {
				b := randomBatch(p.nodes[i%2])
				r, err := p.nodes[rand.IntN(2)].Commit(context.Background(), b)
				switch {
				case err == nil:
					h.mu.Lock()
					h.entries = append(h.entries, happened{b, r})
					h.mu.Unlock()
				case errors.Is(err, store.ErrConflict):
					refused.Add(1)
				case errors.Is(err, store.ErrUnavailable): // too many others
					failed.Add(1)
				default:
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d applied, %d refused, %d given up", len(h.entries), refused.Load(), failed.Load())
	if len(h.entries) < 300 || refused.Load() == 0 || failed.Load() > 20 {
		t.Error("that is not what was meant to happen")
	}
	if err := h.replay(p.nodes[0]); err != nil {
		t.Error(err)
	}
}

const fewKeys = 7

func fewKey() []byte { return fmt.Appendf(nil, "k/%d", rand.IntN(fewKeys)) }

// randomBatch demands of some keys what it has read of them, and writes, deletes and counts others.
func randomBatch(s store.Store) *store.Batch {
	b := &store.Batch{}
	used := map[string]bool{}
	if rand.IntN(3) > 0 {
		if sn, err := s.Snapshot(); err == nil {
			for range 1 + rand.IntN(2) {
				key := fewKey()
				_, v, _ := sn.Get(key)
				b.Check(key, v)
			}
			_ = sn.Close()
		}
	} else if rand.IntN(2) == 0 {
		b.Check(fewKey(), store.Absent)
	}
	for range rand.IntN(3) {
		if key := fewKey(); !used[string(key)] {
			used[string(key)] = true
			b.Delete(key)
		}
	}
	if rand.IntN(3) == 0 {
		n := b.Count([]byte("count"), 1, 0)
		if rand.IntN(2) == 0 {
			b.Puts = append(b.Puts, store.Put{Key: []byte("n/........"), KeySlots: []store.Slot{{Counter: n, At: 2, Width: 8}}})
		}
		if rand.IntN(8) == 0 {
			b.Delete([]byte("never"))
		}
	}
	for range 1 + rand.IntN(3) {
		if key := fewKey(); !used[string(key)] {
			used[string(key)] = true
			b.Put(key, fmt.Appendf(nil, "%x", rand.Uint64()))
		}
	}
	return b
}

type held struct {
	version store.Version
	value   string
}

// replay goes through the history as a single thread would.
func (h *history) replay(s store.Store) error {
	slices.SortFunc(h.entries, func(a, b happened) int { return int(a.result.Version) - int(b.result.Version) })
	model := map[string]held{}
	last := store.Absent
	for _, e := range h.entries {
		v := e.result.Version
		if v <= last {
			return fmt.Errorf("version %d was given twice", v)
		}
		last = v
		for _, c := range e.batch.Checks {
			if have := model[string(c.Key)].version; have != c.Version {
				return fmt.Errorf("batch %d was applied although %s had version %d, not %d", v, c.Key, have, c.Version)
			}
		}
		if err := replayOne(model, e); err != nil {
			return err
		}
	}
	sn, err := s.Snapshot()
	if err != nil {
		return err
	}
	defer sn.Close()
	found := map[string]held{}
	for e, err := range sn.Scan(store.Range{}) {
		if err != nil {
			return err
		}
		found[string(e.Key)] = held{e.Version, string(e.Value)}
	}
	if !maps.Equal(found, model) {
		return fmt.Errorf("the store holds\n%v\nwant\n%v", found, model)
	}
	return nil
}

func replayOne(model map[string]held, e happened) error {
	v, b := e.result.Version, e.batch
	for i, c := range b.Counters {
		number := store.ReadCounter([]byte(model[string(c.Key)].value)) + c.Add
		if number != e.result.Counters[i] {
			return fmt.Errorf("batch %d was told the number %d, it should be %d", v, e.result.Counters[i], number)
		}
		model[string(c.Key)] = held{v, string(binary.BigEndian.AppendUint64(nil, uint64(number)))}
	}
	for _, key := range b.Deletes {
		delete(model, string(key))
	}
	for _, p := range b.Puts {
		key := slices.Clone(p.Key)
		if len(p.KeySlots) > 0 {
			binary.BigEndian.PutUint64(key[2:], uint64(e.result.Counters[0]))
		}
		model[string(key)] = held{v, string(p.Value)}
	}
	return nil
}

// TestReplayNotices proves that the test above can fail.
func TestReplayNotices(t *testing.T) {
	t.Parallel()
	s := openStore(t, postgres.Options{URL: empty(t)})
	var h history
	commit := func(b *store.Batch) {
		r, err := s.Commit(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		h.entries = append(h.entries, happened{b, r})
	}
	b := &store.Batch{}
	b.Create([]byte("k/1"), []byte("x"))
	commit(b)
	b = &store.Batch{}
	b.Count([]byte("count"), 1, 0)
	commit(b)
	if err := h.replay(s); err != nil {
		t.Fatal(err)
	}
	for what, spoil := range map[string]func(entries []happened){
		"applied although": func(e []happened) { e[0].batch.Checks[0].Version = 7 },
		"was told":         func(e []happened) { e[1].result.Counters = []int64{2} },
		"given twice":      func(e []happened) { e[1].result.Version = e[0].result.Version },
		"the store holds":  func(e []happened) { e[0].batch = &store.Batch{} },
	} {
		spoilt := history{}
		for _, e := range h.entries {
			c := *e.batch
			c.Checks = slices.Clone(c.Checks)
			spoilt.entries = append(spoilt.entries, happened{&c, e.result})
		}
		spoil(spoilt.entries)
		if err := spoilt.replay(s); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%v, want %q", err, what)
		}
	}
}

// TestRangesAreDeletedWhole lets one node write pairs of keys in two ranges, old ones and new ones in each batch, while
// another one deletes both ranges. Whatever a snapshot shows must be what one order of these batches leads to: a new key
// without the old one that was written with it has survived a deletion that it should not have.
func TestRangesAreDeletedWhole(t *testing.T) {
	t.Parallel()
	p, err := openPair(postgres.Options{URL: empty(t), Writers: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	deletion := &store.Batch{DeleteRanges: []store.Range{store.Prefix([]byte("x/")), store.Prefix([]byte("y/"))}}
	var next, deletions, seen atomic.Int64
	var writing, others sync.WaitGroup
	for w := range 4 {
		writing.Go(func() {
			for range 120 {
				n := next.Add(1)
				b := &store.Batch{}
				b.Put([]byte("x/old"), nil)
				b.Put([]byte("y/old"), nil)
				b.Put(fmt.Appendf(nil, "x/new%d", n), nil)
				b.Put(fmt.Appendf(nil, "y/new%d", n), nil)
				if _, err := p.nodes[w%2].Commit(context.Background(), b); err != nil && !errors.Is(err, store.ErrUnavailable) {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	repeat := func(do func() error) {
		others.Go(func() {
			for {
				if err := do(); err != nil {
					t.Error(err)
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	repeat(func() error {
		if _, err := p.nodes[1].Commit(context.Background(), deletion); err == nil {
			deletions.Add(1)
		} else if !errors.Is(err, store.ErrUnavailable) {
			return err
		}
		return nil
	})
	repeat(func() error {
		n, err := pairsAreWhole(p.next())
		seen.Add(int64(n))
		return err
	})
	writing.Wait()
	close(done)
	others.Wait()
	if _, err := pairsAreWhole(p.next()); err != nil {
		t.Error(err)
	}
	t.Logf("%d deletions, %d keys seen", deletions.Load(), seen.Load())
	if deletions.Load() < 10 || seen.Load() < 100 {
		t.Error("too little happened to mean anything")
	}
}

// pairsAreWhole returns what is wrong with a snapshot, and how many keys it has.
func pairsAreWhole(s store.Store) (keys int, err error) {
	sn, err := s.Snapshot()
	if err != nil {
		return 0, err
	}
	defer sn.Close()
	old := map[byte]store.Version{}
	newest := map[byte]store.Version{}
	count := map[byte]int{}
	for e, err := range sn.Scan(store.Range{}) {
		if err != nil {
			return 0, err
		}
		keys++
		side := e.Key[0]
		if string(e.Key[2:]) == "old" {
			old[side] = e.Version
			continue
		}
		count[side]++
		newest[side] = max(newest[side], e.Version)
	}
	if old['x'] != old['y'] || old['x'] != newest['x'] || old['x'] != newest['y'] || count['x'] != count['y'] {
		return keys, fmt.Errorf("torn: old %v, newest %v, %v of them", old, newest, count)
	}
	return keys, nil
}

// TestNumberedKeyThatExists: a key whose name holds a counter's number is looked for only when it turns out to be there.
func TestNumberedKeyThatExists(t *testing.T) {
	t.Parallel()
	s := openStore(t, postgres.Options{URL: empty(t)})
	b := &store.Batch{}
	b.Put([]byte("n/\x00\x00\x00\x02"), []byte("old"))
	if _, err := s.Commit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	var last store.Version
	for i := range 3 {
		b = &store.Batch{}
		n := b.Count([]byte("count"), 1, 0)
		b.Puts = append(b.Puts, store.Put{
			Key: []byte("n/...."), KeySlots: []store.Slot{{Counter: n, At: 2, Width: 4}}, Value: []byte{byte(i)},
		})
		r, err := s.Commit(t.Context(), b)
		if err != nil || r.Counters[0] != int64(i+1) || r.Version <= last {
			t.Fatalf("%+v, %v", r, err)
		}
		last = r.Version
	}
	sn, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer sn.Close()
	n := 0
	for e, err := range sn.Scan(store.Prefix([]byte("n/"))) {
		if err != nil || len(e.Value) != 1 || int(e.Value[0]) != n {
			t.Errorf("%q = %q, %v", e.Key, e.Value, err)
		}
		n++
	}
	if n != 3 {
		t.Errorf("%d keys", n)
	}
}

// TestWatchAcrossNodes: what one node changes, another one that watches hears of.
func TestWatchAcrossNodes(t *testing.T) {
	t.Parallel()
	p, err := openPair(postgres.Options{URL: empty(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	put := func(key string) *store.Batch { return &store.Batch{Puts: []store.Put{{Key: []byte(key)}}} }
	changed, cancel := p.nodes[1].Watch([]byte("a/b"))
	defer cancel()
	other, cancelOther := p.nodes[1].Watch([]byte("b"))
	defer cancelOther()
	for what, b := range map[string]*store.Batch{
		"put": put("a/bc"), "delete": {Deletes: [][]byte{[]byte("a/bc")}},
		"counter": {Counters: []store.Counter{{Key: []byte("a/b/n"), Add: 1}}},
		"range":   {DeleteRanges: []store.Range{{Start: []byte("a"), End: []byte("b")}}},
		"open":    {DeleteRanges: []store.Range{{Start: []byte("a/b/n")}}},
	} {
		if _, err := p.nodes[0].Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		select {
		case <-changed:
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: not woken", what)
		}
		if what == "open" {
			select {
			case <-other: // perhaps a little after the other
			case <-time.After(20 * time.Second):
				t.Fatalf("%s: the second one was not woken", what)
			}
			continue
		}
		select {
		case <-other:
			t.Errorf("%s: the wrong one was woken", what)
		default:
		}
	}
}

func openStore(t *testing.T, o postgres.Options) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// TestDocumentedPartitions does what docs/postgres.md says about them.
func TestDocumentedPartitions(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/postgres.md")
	if err != nil {
		t.Fatal(err)
	}
	_, sql, _ := strings.Cut(string(page), "```sql\n")
	sql, _, ok := strings.Cut(sql, "```")
	if !ok {
		t.Fatal("no SQL in the page")
	}
	server := sharedServer(t)
	schema := server.Schema(t)
	url := migrated(t, server.URL(schema))
	server.Exec(t, sql, schema)
	s := openStore(t, postgres.Options{URL: url})
	b := &store.Batch{}
	for _, key := range []string{"account/a", "body/x", "box/a", "mail/a", "mail/z", "trail/1"} {
		b.Create([]byte(key), []byte(key))
	}
	if _, err := s.Commit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	for _, partition := range []string{"0", "body", "1", "mail_a", "mail_m", "2"} {
		if n := server.Query(t, "SELECT count(*) FROM waybill_kv_"+partition, schema)[0]; n != "1" {
			t.Errorf("%s rows in partition %s, want 1", n, partition)
		}
	}
	deletion := &store.Batch{DeleteRanges: []store.Range{{Start: []byte("b"), End: []byte("mail/z")}}}
	if _, err := s.Commit(t.Context(), deletion); err != nil {
		t.Fatal(err)
	}
	sn, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer sn.Close()
	var left []string
	for e, err := range sn.Scan(store.Range{Reverse: true}) {
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, string(e.Key))
	}
	if want := []string{"trail/1", "mail/z", "account/a"}; !slices.Equal(left, want) {
		t.Errorf("left: %q, want %q", left, want)
	}
}
