package storetest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"

	"waybill/internal/store"
)

const (
	workers = 8
	each    = 60
)

// testConcurrentCounters: no number is lost or given twice, and numbers and versions grow together: one total
// order of batches.
func testConcurrentCounters(t *testing.T, f *fixture) {
	versions := make([]store.Version, workers*each+1)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				b := store.Batch{Lazy: i%7 == 3}
				n := b.Count(key("n"), 1, 0)
				b.Puts = append(b.Puts, store.Put{
					Key: key("k/........"), KeySlots: []store.Slot{{Counter: n, At: 2, Width: 8}},
					Value: fmt.Appendf(nil, "%d", w),
				})
				r, err := f.store.Commit(context.Background(), &b)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if versions[r.Counters[0]] != 0 {
					t.Errorf("number %d given twice", r.Counters[0])
				}
				versions[r.Counters[0]] = r.Version
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for i := 2; i < len(versions); i++ {
		if versions[i] <= versions[i-1] {
			t.Errorf("number %d has version %d, the one before %d", i, versions[i], versions[i-1])
		}
	}
	n := 0
	for e, err := range f.snapshot().Scan(store.Prefix(key("k/"))) {
		n++
		if err != nil || binary.BigEndian.Uint64(e.Key[2:]) != uint64(n) || e.Version != versions[n] {
			t.Fatalf("entry %d: key %x, version %d, %v", n, e.Key, e.Version, err)
		}
	}
	if n != workers*each {
		t.Errorf("%d entries, want %d", n, workers*each)
	}
}

// testConcurrentChecks: of read-check-write on one key each success builds on the one before.
func testConcurrentChecks(t *testing.T, f *fixture) {
	f.put("sum=\x00\x00\x00\x00\x00\x00\x00\x00")
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for done := 0; done < each/4; {
				err := addOne(f.store)
				if err == nil {
					done++
				} else if !errors.Is(err, store.ErrConflict) {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if v, _ := f.get("sum"); store.ReadCounter([]byte(v)) != workers*(each/4) {
		t.Errorf("sum is %x, want %d", v, workers*(each/4))
	}
}

func addOne(s store.Store) error {
	sn, err := s.Snapshot()
	if err != nil {
		return err
	}
	defer sn.Close()
	v, version, err := sn.Get(key("sum"))
	if err != nil {
		return err
	}
	var b store.Batch
	b.Check(key("sum"), version)
	b.Put(key("sum"), binary.BigEndian.AppendUint64(nil, binary.BigEndian.Uint64(v)+1))
	_, err = s.Commit(context.Background(), &b)
	return err
}

// testConcurrentBatchesAreSeenWhole: a snapshot never shows part of a batch, nor one without those before it.
func testConcurrentBatchesAreSeenWhole(t *testing.T, f *fixture) {
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	for range 3 {
		readers.Go(func() {
			for last := int64(0); ; {
				n, err := consistent(f.store)
				if err != nil || n < last {
					t.Errorf("snapshot: %d after %d, %v", n, last, err)
					return
				}
				last = n
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for range workers {
		writers.Go(func() {
			for i := range each {
				b := store.Batch{Lazy: i%3 > 0}
				n := b.Count(key("a"), 1, 0)
				for _, k := range []string{"b", "c/x", "d"} {
					b.Puts = append(b.Puts, store.Put{
						Key: key(k), Value: make([]byte, 8), ValueSlots: []store.Slot{{Counter: n, Width: 8}},
					})
				}
				if _, err := f.store.Commit(context.Background(), &b); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
}

// consistent returns the number that all keys of a snapshot hold.
func consistent(s store.Store) (int64, error) {
	sn, err := s.Snapshot()
	if err != nil {
		return 0, err
	}
	defer sn.Close()
	n := int64(-1)
	for e, err := range sn.Scan(store.Range{}) {
		if err != nil {
			return 0, err
		}
		if m := store.ReadCounter(e.Value); n >= 0 && m != n {
			return 0, fmt.Errorf("%q is %d beside %d", e.Key, m, n)
		} else {
			n = m
		}
	}
	return max(n, 0), nil
}
