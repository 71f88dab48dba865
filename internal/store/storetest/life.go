package storetest

import (
	"context"
	"errors"
	"testing"

	"waybill/internal/store"
)

func testLazyAndBarrier(t *testing.T, f *fixture) {
	for i := range 3 {
		b := store.Batch{Lazy: i < 2}
		b.Put([]byte{'k', byte('0' + i)}, key("x"))
		f.commit(&b)
		f.is("k"+string(rune('0'+i)), "x")
	}
	for range 3 {
		if err := f.store.Barrier(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	f.commit(&store.Batch{Lazy: true, Puts: []store.Put{{Key: key("last"), Value: key("x")}}})
	f.restart() // Close makes everything durable
	f.contents("k0=x k1=x k2=x last=x")
}

func testRestart(t *testing.T, f *fixture) {
	v := f.put("a=1", "b=2")
	for range 3 {
		f.restart()
		if err := f.store.Healthy(); err != nil {
			t.Errorf("not healthy: %v", err)
		}
		f.contents("a=1 b=2")
		if _, got := f.get("a"); got != v {
			t.Errorf("version %d, want %d", got, v)
		}
	}
	if got := f.put("c=3"); got <= v {
		t.Errorf("version %d after %d", got, v)
	}
}

func testWatch(_ *testing.T, f *fixture) {
	ab, cancel := f.store.Watch(key("a/b"))
	defer cancel()
	all, cancelAll := f.store.Watch(nil)
	defer cancelAll()
	f.asleep(ab, "nothing")
	for _, c := range []struct {
		what  string
		batch store.Batch
		wakes bool
	}{
		{"put", store.Batch{Puts: []store.Put{{Key: key("a/bc")}}}, true},
		{"the prefix itself", store.Batch{Puts: []store.Put{{Key: key("a/b")}}}, true},
		{"other key", store.Batch{Puts: []store.Put{{Key: key("a/a")}, {Key: key("a/")}, {Key: key("a/c")}}}, false},
		{"delete", store.Batch{Deletes: [][]byte{key("a/b1")}}, true},
		{"counter", store.Batch{Counters: []store.Counter{{Key: key("a/b/n"), Add: 1}}}, true},
		{"range over it", store.Batch{DeleteRanges: []store.Range{{Start: key("a"), End: key("b")}}}, true},
		{"range within it", store.Batch{DeleteRanges: []store.Range{{Start: key("a/b1"), End: key("a/b2")}}}, true},
		{"range of all", store.Batch{DeleteRanges: []store.Range{{}}}, true},
		{"range before it", store.Batch{DeleteRanges: []store.Range{{End: key("a/b")}}}, false},
		{"range behind it", store.Batch{DeleteRanges: []store.Range{{Start: key("a/c")}}}, false},
		{"lazy", store.Batch{Lazy: true, Puts: []store.Put{{Key: key("a/b")}}}, true},
		{"slot", store.Batch{
			Counters: []store.Counter{{Key: key("z"), Add: 0x612f6278}}, // "a/bx"
			Puts:     []store.Put{{Key: key("...."), KeySlots: []store.Slot{{Width: 4}}}},
		}, true},
	} {
		f.commit(&c.batch)
		if c.wakes && len(ab) == 0 {
			f.Errorf("no value when the commit of %s returned", c.what)
		}
		if c.wakes {
			f.woken(ab, c.what)
		}
		f.asleep(ab, c.what+" (twice, or wrongly)")
		f.woken(all, c.what)
	}
	f.put("a/b=1")
	f.put("a/b=2")
	f.woken(ab, "two commits")
	f.asleep(ab, "a second value for two commits")
	f.refused(store.ErrConflict, &store.Batch{
		Checks: []store.Check{{Key: key("a/b")}}, Puts: []store.Put{{Key: key("a/b")}},
	})
	f.asleep(ab, "a batch that was refused")
}

func testWatchCancel(_ *testing.T, f *fixture) {
	one, cancelOne := f.store.Watch(key("a"))
	two, cancelTwo := f.store.Watch(key("a"))
	defer cancelTwo()
	cancelOne()
	cancelOne()
	f.put("a=1")
	f.woken(two, "a put")
	f.asleep(one, "a put after cancel")
}

func testClosed(t *testing.T, f *fixture) {
	f.put("a=1")
	sn := f.snapshot()
	_, cancel := f.store.Watch(key("a"))
	if err := f.store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.store.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	cancel()
	ctx := context.Background()
	_, _, getErr := sn.Get(key("a"))
	_, scanErr := drain(sn)
	_, commitErr := f.store.Commit(ctx, &store.Batch{})
	_, snapErr := f.store.Snapshot()
	for what, err := range map[string]error{
		"get": getErr, "scan": scanErr, "commit": commitErr, "snapshot": snapErr,
		"barrier": f.store.Barrier(ctx), "healthy": f.store.Healthy(),
	} {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("%s: %v, want ErrClosed", what, err)
		}
	}
	if err := sn.Close(); err != nil {
		t.Errorf("close of a snapshot after the store: %v", err)
	}
	s, err := f.opener()
	if err != nil {
		t.Fatal(err)
	}
	f.store = s
	f.contents("a=1")
}

func testContext(t *testing.T, f *fixture) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	b := store.Batch{Puts: []store.Put{{Key: key("a")}}}
	if _, err := f.store.Commit(ctx, &b); !errors.Is(err, context.Canceled) {
		t.Errorf("commit with a done context: %v", err)
	}
	f.contents("")
	if err := f.store.Barrier(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("barrier with a done context: %v", err)
	}
}
