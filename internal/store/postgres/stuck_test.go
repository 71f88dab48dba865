package postgres_test

import (
	"errors"
	"fmt"
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
	n := sharedNode(t, postgres.Options{Writers: 1})
	if err := put(n, "stuck"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	release := n.server.Hold(t, "BEGIN; SELECT key FROM waybill_kv WHERE key = 'stuck' FOR UPDATE", n.schema)
	var working sync.WaitGroup
	for i := range 12 {
		working.Go(func() {
			key, want := fmt.Sprintf("free/%d", i), error(nil)
			b := &store.Batch{}
			if i%2 > 0 {
				b.Put([]byte("stuck"), nil)
				want = store.ErrUnavailable
			}
			b.Put([]byte(key), nil)
			if _, err := n.Commit(t.Context(), b); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", key, err, want)
			}
			if has(t, n, key) != (want == nil) {
				t.Errorf("%s was told %v, and is there: %t", key, want, want != nil)
			}
		})
	}
	working.Wait()
	if took := time.Since(began); took > 35*time.Second { // the group waits, and then one of its batches, or two groups do
		t.Errorf("it took %s", took)
	}
	release()
	if err := n.Healthy(); err != nil {
		t.Error("a foreign lock is no failure of the store:", err)
	}
	if err := put(n, "stuck"); err != nil {
		t.Error(err)
	}
}
