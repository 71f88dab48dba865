package storetest

import (
	"bytes"
	"errors"
	"testing"

	"waybill/internal/store"
)

func key(s string) []byte { return []byte(s) }

func testGetAndScan(t *testing.T, f *fixture) {
	v := f.put("a=1", "b=2", "ba=3", "c=4", "d=")
	f.is("a", "1")
	f.is("d", "")
	f.is("e", "-")
	if _, got := f.get("b"); got != v || v == store.Absent {
		t.Errorf("version %d, want %d", got, v)
	}
	sn := f.snapshot()
	for _, c := range []struct {
		r    store.Range
		want string
	}{
		{store.Range{}, "a=1 b=2 ba=3 c=4 d="},
		{store.Range{Reverse: true}, "d= c=4 ba=3 b=2 a=1"},
		{store.Range{Start: key("b"), End: key("c")}, "b=2 ba=3"},
		{store.Range{Start: key("b"), End: key("c"), Reverse: true}, "ba=3 b=2"},
		{store.Range{Start: key("b"), Limit: 2}, "b=2 ba=3"},
		{store.Range{End: key("c"), Limit: 2, Reverse: true}, "ba=3 b=2"},
		{store.Range{Start: key("bb")}, "c=4 d="},
		{store.Prefix(key("b")), "b=2 ba=3"},
		{store.Range{Start: key("c"), End: key("b")}, ""},
		{store.Range{Start: key("c"), End: key("c")}, ""},
	} {
		if got := f.scan(sn, c.r); got != c.want {
			t.Errorf("scan %+v: %q, want %q", c.r, got, c.want)
		}
	}
	for e, err := range sn.Scan(store.Range{}) {
		if err != nil || e.Version != v {
			t.Errorf("%q: version %d, error %v, want %d", e.Key, e.Version, err, v)
		}
	}
}

func testScanOfNothing(_ *testing.T, f *fixture) {
	f.contents("")
	f.is("a", "-")
	f.commit(&store.Batch{})
	f.contents("")
}

// testAnyKey: keys are any octets, the engine's own keys are not among them, and order is that of octets.
func testAnyKey(t *testing.T, f *fixture) {
	keys := [][]byte{{}, {0}, {0, 0}, {0, 'v'}, {1}, {0x7f}, {0xff}, {0xff, 0xff}, {0xff, 0xff, 0xff}}
	var b store.Batch
	for i, k := range keys {
		b.Put(k, []byte{byte(i)})
	}
	b.ID = store.BatchID{1}
	f.commit(&b)
	i := 0
	for e, err := range f.snapshot().Scan(store.Range{}) {
		if err != nil {
			t.Fatal(err)
		}
		if i >= len(keys) || !bytes.Equal(e.Key, keys[i]) || e.Value[0] != byte(i) {
			t.Fatalf("entry %d is %x = %x", i, e.Key, e.Value)
		}
		i++
	}
	if i != len(keys) {
		t.Errorf("%d of %d keys", i, len(keys))
	}
	if got := store.After([]byte{0xff}); got != nil {
		t.Errorf("after ff: %x", got)
	}
	f.commit(&store.Batch{DeleteRanges: []store.Range{{}}})
	f.contents("")
}

func testLargeValues(t *testing.T, f *fixture) {
	sizes := []int{1 << 10, 8 << 10, 256 << 10, 3 << 20}
	for i, size := range sizes {
		f.commit(&store.Batch{Puts: []store.Put{{Key: []byte{'k', byte(i)}, Value: pattern(size)}}})
	}
	for range 2 {
		for i, size := range sizes {
			v, _ := f.get("k" + string(rune(i)))
			if !bytes.Equal([]byte(v), pattern(size)) {
				t.Errorf("value of %d octets came back with %d", size, len(v))
			}
		}
		f.restart()
	}
}

func pattern(size int) []byte {
	v := make([]byte, size)
	for i := range v {
		v[i] = byte(i*7 + i>>8)
	}
	return v
}

func testSnapshotIsolation(_ *testing.T, f *fixture) {
	f.put("a=1", "b=1")
	old := f.snapshot()
	f.put("a=2", "c=2")
	f.commit(&store.Batch{Deletes: [][]byte{key("b")}})
	if got := f.scan(old, store.Range{}); got != "a=1 b=1" {
		f.Errorf("old snapshot shows %q", got)
	}
	if v, _, err := old.Get(key("b")); err != nil || string(v) != "1" {
		f.Errorf("old snapshot: b = %q, %v", v, err)
	}
	f.contents("a=2 c=2")
}

func testSnapshotClosed(t *testing.T, f *fixture) {
	f.put("a=1")
	sn := f.snapshot()
	for range 2 {
		if err := sn.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := sn.Get(key("a")); err == nil {
		t.Error("get from a closed snapshot succeeded")
	}
	if n, err := drain(sn); n != 0 || err == nil {
		t.Errorf("scan of a closed snapshot: %d entries, error %v", n, err)
	}
}

// drain scans everything and returns the number of entries and the error that came last.
func drain(sn store.Snapshot) (n int, last error) {
	for _, err := range sn.Scan(store.Range{}) {
		if last != nil {
			return n, errors.New("an error was not the last item")
		}
		if err != nil {
			last = err
			continue
		}
		n++
	}
	return n, last
}

func testScanEndsEarly(t *testing.T, f *fixture) {
	f.put("a=1", "b=2", "c=3")
	sn := f.snapshot()
	for e, err := range sn.Scan(store.Range{}) {
		if err != nil || string(e.Key) != "a" {
			t.Fatalf("%q, %v", e.Key, err)
		}
		// Reading on within the scan, and the end of the snapshot, do not disturb it.
		if v, _, err := sn.Get(key("c")); err != nil || string(v) != "3" {
			t.Errorf("get within a scan: %q, %v", v, err)
		}
		break
	}
	n := 0
	for _, err := range sn.Scan(store.Range{}) {
		if n++; err != nil {
			t.Fatal(err)
		}
		if err := sn.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if n != 3 {
		t.Errorf("%d entries of a snapshot that was closed meanwhile, want 3", n)
	}
}
