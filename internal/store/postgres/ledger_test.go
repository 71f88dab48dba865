package postgres_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"waybill/internal/store"
)

// ledger is what the committers of a test were told.
type ledger struct {
	mu    sync.Mutex
	next  int
	acked map[int]int64 // batch and the number that its counter got, which is its place in the order
	open  []*numbered   // that failed, to be tried again with the same id
}

type numbered struct {
	n     int
	batch *store.Batch
}

const partsOfBatch = 3

// batch returns the next batch: three keys, one of them large, and its place in the order.
func (l *ledger) batch() *numbered {
	l.mu.Lock()
	l.next++
	n := l.next
	l.mu.Unlock()
	b := &store.Batch{ID: store.NewBatchID(time.Now()), Lazy: n%5 == 4}
	c := b.Count([]byte("count"), 1, 0)
	b.Puts = append(b.Puts, store.Put{
		Key: []byte("order/........"), KeySlots: []store.Slot{{Counter: c, At: 6, Width: 8}},
		Value: binary.BigEndian.AppendUint64(nil, uint64(n)),
	})
	for part := range partsOfBatch {
		b.Create(partKey(n, part), partValue(n, part))
	}
	return &numbered{n, b}
}

func partKey(n, part int) []byte { return fmt.Appendf(nil, "batch/%06d/%d", n, part) }

func partValue(n, part int) []byte { return bytes.Repeat([]byte{byte(n)}, 10+part*3000) }

// commit commits a batch and notes what was said.
func (l *ledger) commit(s store.Store, x *numbered) error {
	r, err := s.Commit(context.Background(), x.batch)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.open = append(l.open, x)
		return err
	}
	if l.acked == nil {
		l.acked = map[int]int64{}
	}
	if was, ok := l.acked[x.n]; ok && was != r.Counters[0] {
		return fmt.Errorf("batch %d was told the numbers %d and %d", x.n, was, r.Counters[0])
	}
	l.acked[x.n] = r.Counters[0]
	return nil
}

// load commits from some goroutines until stop is closed. Only a failure of the store is an error that may be.
func (l *ledger) load(t *testing.T, s store.Store, workers int, stop <-chan struct{}) (wait func()) {
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				err := l.commit(s, l.batch())
				if err != nil && !errors.Is(err, store.ErrUnknown) && !errors.Is(err, store.ErrUnavailable) {
					t.Error(err)
				}
				for err != nil && s.Healthy() != nil { // what is refused at once proves nothing a thousand times
					time.Sleep(2 * time.Millisecond)
				}
			}
		})
	}
	return wg.Wait
}

// settle commits again what failed: what was refused or lost is applied now, what survived returns its first result.
// Then everything is there, once.
func (l *ledger) settle(t *testing.T, s store.Store) {
	t.Helper()
	l.mu.Lock()
	open := l.open
	l.open = nil
	l.mu.Unlock()
	for _, x := range open {
		if err := l.commit(s, x); err != nil {
			t.Errorf("batch %d again: %v", x.n, err)
		}
	}
	if err := l.audit(s); err != nil {
		t.Error(err)
	}
	t.Logf("%d batches, %d of them were tried again", l.next, len(open))
}

func (l *ledger) moment() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

// until waits for so many acknowledged batches.
func (l *ledger) until(t *testing.T, batches int) {
	t.Helper()
	waitFor(t, fmt.Sprintf("%d batches", batches), func() bool { return l.moment() >= batches })
}

// waitFor waits for something that must come.
func waitFor(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for until := time.Now().Add(time.Minute); !happened(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// audit returns what is wrong with a store that must hold exactly the acknowledged batches, each whole and once.
func (l *ledger) audit(s store.Store) error {
	sn, err := s.Snapshot()
	if err != nil {
		return err
	}
	defer sn.Close()
	var order []int
	for e, err := range sn.Scan(store.Prefix([]byte("order/"))) {
		if err != nil {
			return err
		}
		order = append(order, int(store.ReadCounter(e.Value)))
		if number := store.ReadCounter(e.Key[6:]); number != int64(len(order)) {
			return fmt.Errorf("gap: number %d follows %d", number, len(order)-1)
		}
	}
	for n, number := range l.acked {
		if int(number) > len(order) || order[number-1] != n {
			return fmt.Errorf("lost: batch %d, number %d of %d", n, number, len(order))
		}
	}
	if len(order) != len(l.acked) || len(order) != l.next {
		return fmt.Errorf("%d batches, %d of %d were acknowledged", len(order), len(l.acked), l.next)
	}
	parts := 0
	for e, err := range sn.Scan(store.Prefix([]byte("batch/"))) {
		if err != nil {
			return err
		}
		var n, part int
		if _, err := fmt.Sscanf(string(e.Key), "batch/%d/%d", &n, &part); err != nil {
			return err
		}
		if !bytes.Equal(e.Value, partValue(n, part)) {
			return fmt.Errorf("%q was changed", e.Key)
		}
		parts++
	}
	if parts != partsOfBatch*len(order) {
		return fmt.Errorf("torn: %d parts of %d batches", parts, len(order))
	}
	return nil
}

// lines keeps what is logged.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *lines) count(what string) int { return strings.Count(l.String(), what) }
