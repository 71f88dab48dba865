package layout

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"waybill/internal/mail"
	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/pebble"
)

func open(t *testing.T) *pebble.Store {
	t.Helper()
	st, err := pebble.Open(pebble.Options{Dir: "store", FS: vfs.NewMem(), MemTableSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

func commit(t *testing.T, st store.Store, b store.Batch) {
	t.Helper()
	if _, err := st.Commit(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
}

// all returns the keys with that prefix.
func all(t *testing.T, st store.Store, prefix string) (found []string) {
	t.Helper()
	snap, err := st.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	for e, err := range snap.Scan(store.Prefix([]byte(prefix))) {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, string(e.Key))
	}
	return found
}

func TestEmptyStore(t *testing.T) {
	t.Parallel()
	st := open(t)
	if have, err := Check(st); have != 0 || err != nil {
		t.Error("an empty store:", have, err)
	}
	if from, err := Upgrade(t.Context(), st); from != 0 || err != nil {
		t.Errorf("upgrade of an empty store: from %d, %v", from, err)
	}
	if from, err := Upgrade(t.Context(), st); from != Current || err != nil {
		t.Errorf("the second time: from %d, %v", from, err)
	}
	if _, err := Check(st); err != nil {
		t.Error(err)
	}
}

// TestSlicing: the due index of form 1 comes into slices, whole, also when it was broken off before.
func TestSlicing(t *testing.T) {
	t.Parallel()
	st := open(t)
	began := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	var old store.Batch
	want := map[string]bool{}
	ids := []*mail.IDs{mail.NewIDs(0), mail.NewIDs(1), mail.NewIDs(1023)}
	for i := range 2*atOnce + 100 {
		at := began.Add(time.Duration(i) * time.Second)
		id := ids[i%len(ids)].New(at)
		if i == 0 {
			old.Put(keys.Due(at, id), nil) // moved before it was broken off
		} else {
			old.Put(append(binary.BigEndian.AppendUint64([]byte("due/"), uint64(at.UnixMicro())), id...), nil)
		}
		want[string(keys.Due(at, id))] = true
	}
	old.Put([]byte("due/strange"), nil)
	want["due/strange"] = true
	commit(t, st, old)
	if _, err := Check(st); !errors.Is(err, ErrOlder) {
		t.Errorf("a store of form 1: %v", err)
	}
	if from, err := Upgrade(t.Context(), st); from != 1 || err != nil {
		t.Fatalf("from %d, %v", from, err)
	}
	if _, err := Check(st); err != nil {
		t.Error(err)
	}
	for _, key := range all(t, st, "due/") {
		if !want[key] {
			t.Errorf("key %q is there", key)
		}
		delete(want, key)
	}
	for key := range want {
		t.Errorf("key %q is missing", key)
	}
}

func TestNewer(t *testing.T) {
	t.Parallel()
	st := open(t)
	var b store.Batch
	b.Put(keys.Layout(), []byte{Current + 1})
	commit(t, st, b)
	if _, err := Check(st); !errors.Is(err, ErrNewer) {
		t.Errorf("check: %v", err)
	}
	if _, err := Upgrade(t.Context(), st); !errors.Is(err, ErrNewer) {
		t.Errorf("upgrade: %v", err)
	}
}
