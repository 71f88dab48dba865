package pebble_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"waybill/internal/store"
	"waybill/internal/store/pebble"
)

// smallTables makes a store write files and merge them within a test.
const smallTables = 64 << 10

func open(t *testing.T, fs vfs.FS) *pebble.Store {
	t.Helper()
	s, err := pebble.Open(pebble.Options{
		Dir: "store", FS: fs, MemTableSize: smallTables, ReopenPauses: []time.Duration{time.Millisecond},
	})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return s
}

// ledger is what the committers of a test were told.
type ledger struct {
	mu    sync.Mutex
	next  int
	acked []entry // append only, so that a length is a moment
}

// entry is a batch and the number that its counter got, which is its place in the order of application.
type entry struct {
	n      int
	number int64
}

const partsOfBatch = 3

// batch returns the next batch: three keys, one of them large, and its place in the order.
func (l *ledger) batch() (n int, b *store.Batch) {
	l.mu.Lock()
	l.next++
	n = l.next
	l.mu.Unlock()
	b = &store.Batch{ID: store.NewBatchID(time.Now()), Lazy: n%5 == 4}
	c := b.Count([]byte("count"), 1, 0)
	b.Puts = append(b.Puts, store.Put{
		Key: []byte("order/........"), KeySlots: []store.Slot{{Counter: c, At: 6, Width: 8}},
		Value: binary.BigEndian.AppendUint64(nil, uint64(n)),
	})
	for part := range partsOfBatch {
		b.Create(partKey(n, part), bytes.Repeat([]byte{byte(n)}, 10+part*1500))
	}
	return n, b
}

func partKey(n, part int) []byte { return fmt.Appendf(nil, "batch/%06d/%d", n, part) }

// commit commits one batch and notes it if it was acknowledged as durable.
func (l *ledger) commit(s store.Store) (n int, b *store.Batch, err error) {
	n, b = l.batch()
	r, err := s.Commit(context.Background(), b)
	if err == nil && !b.Lazy {
		l.ack(n, r)
	}
	return n, b, err
}

func (l *ledger) ack(n int, r store.Result) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked = append(l.acked, entry{n, r.Counters[0]})
}

// moment is the number of batches acknowledged so far.
func (l *ledger) moment() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

func (l *ledger) before(moment int) []entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acked[:moment:moment]
}

// audit returns what is wrong with a store that must hold the acknowledged batches: it holds them, every batch
// is whole or absent, and those present are the first ones in the order of application.
func audit(s store.Store, acked []entry) error {
	sn, err := s.Snapshot()
	if err != nil {
		return err
	}
	defer sn.Close()
	order, err := orderOf(sn)
	if err != nil {
		return err
	}
	for _, e := range acked {
		if int(e.number) > len(order) || order[e.number-1] != e.n {
			return fmt.Errorf("lost: batch %d, number %d of %d", e.n, e.number, len(order))
		}
	}
	parts := 0
	for e, err := range sn.Scan(store.Prefix([]byte("batch/"))) {
		if parts++; err != nil {
			return err
		}
		var n, part int
		if _, err := fmt.Sscanf(string(e.Key), "batch/%d/%d", &n, &part); err != nil {
			return err
		}
		if !bytes.Equal(e.Value, bytes.Repeat([]byte{byte(n)}, 10+part*1500)) {
			return fmt.Errorf("%q was changed", e.Key)
		}
	}
	for _, n := range order {
		for part := range partsOfBatch {
			if _, _, err := sn.Get(partKey(n, part)); err != nil {
				return fmt.Errorf("torn: batch %d has no part %d: %w", n, part, err)
			}
		}
	}
	if parts != partsOfBatch*len(order) {
		return fmt.Errorf("torn: %d parts of %d batches", parts, len(order))
	}
	return nil
}

// orderOf returns the batches present in the order of application, which must have no gap.
func orderOf(sn store.Snapshot) (order []int, err error) {
	for e, err := range sn.Scan(store.Prefix([]byte("order/"))) {
		if err != nil {
			return nil, err
		}
		order = append(order, int(store.ReadCounter(e.Value)))
		if number := store.ReadCounter(e.Key[6:]); number != int64(len(order)) {
			return nil, fmt.Errorf("gap: number %d follows %d", number, len(order)-1)
		}
	}
	count, _, err := sn.Get([]byte("count"))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	if store.ReadCounter(count) != int64(len(order)) {
		return nil, fmt.Errorf("torn: counter is %x with %d batches", count, len(order))
	}
	return order, nil
}
