package postgres_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"waybill/internal/store"
	"waybill/internal/store/postgres"
	"waybill/internal/store/postgres/pgtest"
)

// TestVersionTellsWhatWasAbsent: between the halves of a batch's transaction a key is made that it did not find, and deleted again.
// So the batch is right that there is none, because of the deletion, and its version has to be greater.
func TestVersionTellsWhatWasAbsent(t *testing.T) {
	t.Parallel()
	for what, demand := range map[string]func(b *store.Batch){
		"checked": func(b *store.Batch) { b.Check([]byte("k"), store.Absent) },
		"created": func(b *store.Batch) { b.Create([]byte("k"), nil) },
		"deleted": func(b *store.Batch) { b.Delete([]byte("k")) },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			o := postgres.Options{Writers: 1}.WithIdleWait(30 * time.Second)
			n := newNode(t, o)
			way := newProxy(t, fmt.Sprintf("127.0.0.1:%d", n.server.Port))
			o.URL = n.server.URLAt(way.address(), pgtest.Password, n.schema)
			maker := openStore(t, o)
			remover := openStore(t, postgres.Options{URL: n.server.URL(n.schema)})

			way.deaf.Lock()
			made := commitLater(t, maker, &store.Batch{Puts: []store.Put{{Key: []byte("k")}}})
			n.awaitLocks(t, 1)
			n.proxy.deaf.Lock()
			b := &store.Batch{Puts: []store.Put{{Key: []byte("other")}}}
			demand(b)
			found := commitLater(t, n, b)
			n.awaitLocks(t, 2)
			way.deaf.Unlock()
			first := <-made
			gone, err := remover.Commit(t.Context(), &store.Batch{Deletes: [][]byte{[]byte("k")}})
			if err != nil {
				t.Fatal(err)
			}
			n.proxy.deaf.Unlock()
			if r := <-found; first.Version >= gone.Version || r.Version <= gone.Version {
				t.Errorf("made by version %d, gone by %d, found absent by %d", first.Version, gone.Version, r.Version)
			}
		})
	}
}

// commitLater commits a batch while the test goes on.
func commitLater(t *testing.T, s store.Store, b *store.Batch) <-chan store.Result {
	told := make(chan store.Result, 1)
	go func() {
		r, err := s.Commit(context.Background(), b)
		if err != nil {
			t.Error(err)
		}
		told <- r
	}()
	return told
}
