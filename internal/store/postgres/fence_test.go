package postgres_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"waybill/internal/store"
	"waybill/internal/store/postgres"
)

// TestFence: once one node has changed a key, nothing more becomes true on another that rests on what the key was.
func TestFence(t *testing.T) {
	t.Parallel()
	o := postgres.Options{URL: empty(t)}
	worker, taker := openStore(t, o), openStore(t, o)
	epoch := []byte("epoch")
	for round := range 15 {
		took, err := taker.Commit(t.Context(), &store.Batch{Puts: []store.Put{{Key: epoch}}})
		if err != nil {
			t.Fatal(err)
		}
		prefix := fmt.Sprintf("done/%d/", round)
		var working sync.WaitGroup
		var mu sync.Mutex
		done := map[string]bool{}
		for w := range 8 {
			working.Go(func() {
				for n := 0; ; n++ {
					b := &store.Batch{}
					b.Check(epoch, took.Version)
					key := fmt.Sprintf("%s%d/%d", prefix, w, n)
					b.Put([]byte(key), nil)
					switch _, err := worker.Commit(t.Context(), b); {
					case err == nil:
						mu.Lock()
						done[key] = true
						mu.Unlock()
					case errors.Is(err, store.ErrConflict):
						return
					default:
						t.Error(err)
						return
					}
				}
			})
		}
		for { // until they are at it
			mu.Lock()
			n := len(done)
			mu.Unlock()
			if n > 20 {
				break
			}
		}
		if _, err := taker.Commit(t.Context(), &store.Batch{Puts: []store.Put{{Key: epoch}}}); err != nil {
			t.Fatal(err)
		}
		seen := keysOf(t, taker, prefix)
		working.Wait()
		for key := range done {
			if !seen[key] {
				t.Fatalf("round %d: %s became true after its epoch was over", round, key)
			}
		}
	}
}

func keysOf(t *testing.T, s store.Store, prefix string) map[string]bool {
	t.Helper()
	snap, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	found := map[string]bool{}
	for e, err := range snap.Scan(store.Prefix([]byte(prefix))) {
		if err != nil {
			t.Fatal(err)
		}
		found[string(e.Key)] = true
	}
	return found
}
