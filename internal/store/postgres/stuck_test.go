package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"waybill/internal/store"
	"waybill/internal/store/postgres"
)

// TestForeignLock: while somebody else sits on a key, the batches that want it are refused, all of them together, and others that
// came with them go on.
func TestForeignLock(t *testing.T) {
	t.Parallel()
	n := newNode(t, postgres.Options{Writers: 1}.WithLockWait(500*time.Millisecond))
	if err := put(n, "stuck"); err != nil {
		t.Fatal(err)
	}
	shared, err := n.Commit(t.Context(), &store.Batch{Puts: []store.Put{{Key: []byte("shared")}}})
	if err != nil {
		t.Fatal(err)
	}
	release := n.server.Hold(t, "BEGIN; SELECT key FROM waybill_kv WHERE key = 'stuck' FOR UPDATE", n.schema)
	n.proxy.deaf.Lock() // the batches are to be one group: they wait behind one that gets no reply
	var working sync.WaitGroup
	working.Go(func() {
		if err := put(n, "before"); err != nil {
			t.Error(err)
		}
	})
	n.awaitLocks(t, 1)
	const batches = 12
	for i := range batches {
		working.Go(func() {
			key, want := fmt.Sprintf("free/%d", i), error(nil)
			b := &store.Batch{}
			if i%2 > 0 {
				b.Put([]byte("stuck"), nil)
				want = store.ErrUnavailable
			}
			b.Put([]byte(key), nil)
			b.Check([]byte("shared"), shared.Version) // which is not what is waited for
			if _, err := n.Commit(t.Context(), b); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", key, err, want)
			}
			if has(t, n, key) != (want == nil) {
				t.Errorf("%s was told %v, and is there: %t", key, want, want != nil)
			}
		})
	}
	waitFor(t, "the batches", func() bool { return n.Waiting() == batches })
	n.proxy.deaf.Unlock()
	working.Wait()
	if waits := strings.Count(n.server.Log(), "due to lock timeout"); waits != 2 { // of the group, and of one of its batches
		t.Errorf("the key was waited for %d times, want 2", waits)
	}
	release()
	if err := n.Healthy(); err != nil {
		t.Error("a foreign lock is no failure of the store:", err)
	}
	if err := put(n, "stuck"); err != nil {
		t.Error(err)
	}
}

// TestTornHalves: a node that is frozen while it sends what is to be written, or while it is sent what it asked for, holds up others for
// no longer than a lock is waited for.
func TestTornHalves(t *testing.T) {
	t.Parallel()
	sends := func(n *node) func() { n.proxy.next(tears); return func() {} }
	isSent := func(n *node) func() { n.proxy.deaf.Lock(); return n.proxy.deaf.Unlock }
	commits := func(other *postgres.Store, b *store.Batch) error {
		_, err := other.Commit(context.Background(), b)
		return err
	}
	copies := func(other *postgres.Store, _ *store.Batch) error {
		_, err := other.Newest(context.Background())
		return err
	}
	sweeps := func(other *postgres.Store, _ *store.Batch) error {
		return other.SweepLater(context.Background(), 2*time.Hour)
	}
	for what, c := range map[string]struct {
		waits  string
		keys   int // of the batch
		freeze func(n *node) (thaw func())
		other  func(*postgres.Store, *store.Batch) error
	}{
		"sends":                        {"ClientRead", 1, sends, commits},
		"sends, and a store is copied": {"ClientRead", 1, sends, copies},
		"sends, and is taken for dead": {"ClientRead", 1, sends, sweeps},
		"is sent":                      {"ClientWrite", 10_000, isSent, commits},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, postgres.Options{Writers: 1})
			other := openStore(t, postgres.Options{URL: n.server.URL(n.schema), Writers: 1}.WithLockWait(3*time.Second))
			var made, changed store.Batch
			for i := range c.keys {
				key := fmt.Appendf(nil, "%02000d", i) // so that the answer does not fit into what networks keep
				made.Put(key, nil)
				changed.Put(key, []byte("x"))
			}
			if _, err := n.Commit(t.Context(), &made); err != nil {
				t.Fatal(err)
			}
			thaw := c.freeze(n)
			torn := commitLater(t, n, &changed)
			waitFor(t, "the half", func() bool {
				const writer = "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'waybill writer%' AND state = 'active' AND wait_event = "
				return len(n.server.Query(t, writer+"'"+c.waits+"'")) == 1
			})
			if err := c.other(other, &store.Batch{Puts: made.Puts[:1]}); err != nil {
				t.Errorf("another node: %v", err)
				n.proxy.cutAll() // else nothing would end it
			}
			thaw()
			<-torn
			if log := n.log.String(); log != "" {
				t.Errorf("nothing was to be said: %s", log)
			}
		})
	}
}
