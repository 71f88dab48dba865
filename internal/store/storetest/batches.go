package storetest

import (
	"context"
	"math"
	"sync"
	"testing"
	"time"

	"waybill/internal/store"
)

func testChecks(t *testing.T, f *fixture) {
	v1 := f.put("a=1")
	f.refused(store.ErrConflict, &store.Batch{Checks: []store.Check{{Key: key("a"), Version: store.Absent}}})
	f.refused(store.ErrConflict, &store.Batch{Checks: []store.Check{{Key: key("a"), Version: v1 + 1}}})
	f.refused(store.ErrConflict, &store.Batch{Checks: []store.Check{{Key: key("b"), Version: v1}}})

	var b store.Batch
	b.Check(key("a"), v1)
	b.Put(key("a"), key("2"))
	b.Create(key("b"), key("2"))
	v2 := f.commit(&b).Version
	if v2 <= v1 {
		t.Errorf("version %d after %d", v2, v1)
	}
	f.refused(store.ErrConflict, &b)
	f.contents("a=2 b=2")
	if _, v := f.get("a"); v != v2 {
		t.Errorf("version of a is %d, want %d", v, v2)
	}
	f.refused(store.ErrConflict, &store.Batch{Checks: []store.Check{{Key: key("a"), Version: v1}}})
}

func testVersionsAreNeverReused(t *testing.T, f *fixture) {
	seen := map[store.Version]bool{}
	last := store.Absent
	for i := range 4 {
		for range 5 {
			v := f.put("a=x")
			if seen[v] || v <= last {
				t.Fatalf("version %d after %d", v, last)
			}
			seen[v], last = true, v
			f.commit(&store.Batch{Deletes: [][]byte{key("a")}})
			f.refused(store.ErrConflict, &store.Batch{Checks: []store.Check{{Key: key("a"), Version: v}}})
		}
		if i%2 == 1 {
			f.restart()
		}
	}
}

func testRefusedBatchDoesNothing(_ *testing.T, f *fixture) {
	f.put("a=1", "c=1")
	var b store.Batch
	b.ID = store.NewBatchID(time.Now())
	b.Put(key("a"), key("2"))
	b.Delete(key("c"))
	b.DeleteRanges = []store.Range{{}}
	b.Count(key("n"), 5, 0)
	b.Check(key("b"), 7)
	f.refused(store.ErrConflict, &b)
	f.contents("a=1 c=1")
	b.Checks = nil // the id of a refused batch is not remembered
	f.counters(f.commit(&b), 5)
	f.contents("a=2")
}

// testOrderOfEvaluation: checks, counters, delete ranges, deletes, puts.
func testOrderOfEvaluation(_ *testing.T, f *fixture) {
	v := f.put("r/1=x", "r/2=x", "r/3=x")
	var b store.Batch
	b.Check(key("r/1"), v)
	b.Count(key("r/n"), 1, 0)
	b.DeleteRanges = []store.Range{store.Prefix(key("r/"))}
	b.Delete(key("r/2"))
	b.Put(key("r/2"), key("new"))
	f.counters(f.commit(&b), 1)
	f.contents("r/2=new")
}

func testDeleteRanges(_ *testing.T, f *fixture) {
	f.put("a=", "b=", "ba=", "c=", "d=")
	f.commit(&store.Batch{DeleteRanges: []store.Range{{Start: key("b"), End: key("c")}}})
	f.contents("a= c= d=")
	f.commit(&store.Batch{DeleteRanges: []store.Range{{Start: key("d"), End: key("a")}, {Start: key("x"), End: key("x")}}})
	f.contents("a= c= d=")
	f.commit(&store.Batch{DeleteRanges: []store.Range{{Start: key("d")}, {End: key("b")}}})
	f.contents("c=")
	f.refused(store.ErrConflict, &store.Batch{Checks: []store.Check{{Key: key("d"), Version: 1}}})
	f.commit(&store.Batch{Checks: []store.Check{{Key: key("d")}}})
	f.restart()
	f.contents("c=")
}

func testCounters(t *testing.T, f *fixture) {
	var b store.Batch
	if i, j := b.Count(key("n"), 3, 0), b.Count(key("m"), -2, 0); i != 0 || j != 1 {
		t.Errorf("indexes %d, %d", i, j)
	}
	f.counters(f.commit(&b), 3, -2)
	f.counters(f.commit(&b), 6, -4)
	f.restart()
	f.counters(f.commit(&b), 9, -6)
	v, version := f.get("m")
	if store.ReadCounter([]byte(v)) != -6 || len(v) != 8 || version == store.Absent {
		t.Errorf("m is %x, version %d", v, version)
	}
	f.counters(f.commit(&store.Batch{Counters: []store.Counter{{Key: key("n"), Add: 1}, {Key: key("n"), Add: 10}}}), 10, 20)
	f.counters(f.commit(&store.Batch{Counters: []store.Counter{{Key: key("n")}}}), 20)
}

func testCounterLimit(_ *testing.T, f *fixture) {
	count := func(add, limit int64) *store.Batch {
		b := &store.Batch{Counters: []store.Counter{{Key: key("n"), Add: add, Limit: limit}}}
		b.Put(key("p"), key("x"))
		return b
	}
	f.refused(store.ErrLimit, count(11, 10))
	f.contents("")
	f.counters(f.commit(count(10, 10)), 10)
	f.refused(store.ErrLimit, count(1, 10))
	f.counters(f.commit(count(-1, 5)), 9) // above a limit that was lowered, one may still go down
	f.counters(f.commit(count(0, 5)), 9)
	f.refused(store.ErrLimit, count(math.MaxInt64, 0))
	f.counters(f.commit(count(1, 0)), 10)
}

func testSlots(_ *testing.T, f *fixture) {
	put := func(uid int64) {
		var b store.Batch
		n := b.Count(key("uidnext"), uid, 0)
		m := b.Count(key("change"), 258, 0)
		b.Puts = append(b.Puts, store.Put{
			Key: key("mail/....!"), KeySlots: []store.Slot{{Counter: n, At: 5, Width: 4}},
			Value: key("uid ........, change ....."), ValueSlots: []store.Slot{
				{Counter: n, At: 4, Width: 8}, {Counter: m, At: 22, Width: 4},
			},
		})
		f.commit(&b)
	}
	put(7)
	put(1)
	sn := f.snapshot()
	want := "mail/\x00\x00\x00\x07!=uid \x00\x00\x00\x00\x00\x00\x00\x07, change .\x00\x00\x01\x02 " +
		"mail/\x00\x00\x00\x08!=uid \x00\x00\x00\x00\x00\x00\x00\x08, change .\x00\x00\x02\x04"
	if got := f.scan(sn, store.Prefix(key("mail/"))); got != want {
		f.Errorf("%q\nwant\n%q", got, want)
	}
}

func testBadSlots(t *testing.T, f *fixture) {
	for _, slot := range []store.Slot{
		{Counter: 0, At: 1, Width: 4}, {Counter: 0, At: -1, Width: 4}, {Counter: 1, At: 0, Width: 4},
		{Counter: -1, At: 0, Width: 4}, {Counter: 0, At: 0, Width: 2}, {Counter: 0, At: 0, Width: 8},
	} {
		b := store.Batch{Counters: []store.Counter{{Key: key("n"), Add: 1}}}
		b.Puts = []store.Put{{Key: key("abcd"), KeySlots: []store.Slot{slot}}}
		if _, err := f.store.Commit(context.Background(), &b); err == nil {
			t.Errorf("slot %+v was accepted", slot)
		}
		b.Puts = []store.Put{{Value: key("abcd"), ValueSlots: []store.Slot{slot}}}
		if _, err := f.store.Commit(context.Background(), &b); err == nil {
			t.Errorf("slot %+v in a value was accepted", slot)
		}
	}
	f.contents("")
}

// testBatchIsNotKept: the caller may use the batch's memory again, and finds it unchanged.
func testBatchIsNotKept(t *testing.T, f *fixture) {
	k, v := key("key-...."), key("value")
	b := store.Batch{Counters: []store.Counter{{Key: key("n"), Add: 1}}}
	b.Puts = []store.Put{{Key: k, Value: v, KeySlots: []store.Slot{{At: 4, Width: 4}}}}
	f.commit(&b)
	if string(k) != "key-...." || string(v) != "value" {
		t.Errorf("the batch was changed: %q, %q", k, v)
	}
	copy(k, "XXXXXXXX")
	copy(v, "XXXXX")
	f.is("key-\x00\x00\x00\x01", "value")
	got, _ := f.get("key-\x00\x00\x00\x01")
	f.put("key-\x00\x00\x00\x01=other")
	if got != "value" {
		t.Error("a value that was read changed")
	}
}

func testBatchID(t *testing.T, f *fixture) {
	for _, id := range []store.BatchID{store.NewBatchID(time.Now()), {1}, {15: 1}, store.NewBatchID(time.Unix(0, 0))} {
		b := store.Batch{ID: id, Counters: []store.Counter{{Key: key("n"), Add: 1}}}
		b.Put(key("k"), id[:])
		first := f.commit(&b)
		f.put("k=later")
		for range 2 {
			again := f.commit(&b)
			if again.Version != first.Version {
				t.Errorf("version %d, first %d", again.Version, first.Version)
			}
			f.counters(again, first.Counters...)
			f.is("k", "later")
			f.restart()
		}
		// The first result is returned whatever a batch of that id holds now.
		b.Check(key("k"), 1)
		if got := f.commit(&b); got.Version != first.Version {
			t.Errorf("version %d, first %d", got.Version, first.Version)
		}
	}
	f.commit(&store.Batch{Counters: []store.Counter{{Key: key("n"), Add: 1}}}) // no id: nothing is remembered
	f.commit(&store.Batch{Counters: []store.Counter{{Key: key("n"), Add: 1}}})
	if v, _ := f.get("n"); store.ReadCounter([]byte(v)) != 6 {
		t.Errorf("counter is %x, want 6", v)
	}
}

func testBatchIDConcurrently(t *testing.T, f *fixture) {
	b := store.Batch{ID: store.NewBatchID(time.Now()), Counters: []store.Counter{{Key: key("n"), Add: 1}}}
	results := make([]store.Result, 8)
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() { results[i], _ = f.store.Commit(context.Background(), &b) })
	}
	wg.Wait()
	for _, r := range results {
		if r.Version != results[0].Version || len(r.Counters) != 1 || r.Counters[0] != 1 {
			t.Errorf("results differ: %+v, %+v", r, results[0])
		}
	}
}
