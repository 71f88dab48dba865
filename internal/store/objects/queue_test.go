package objects_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"waybill/internal/store/objects"
)

// TestWritesTakeTurns: of many writes at once so many are under way, which share the line; the others wait, and all are stored, however long that takes.
func TestWritesTakeTurns(t *testing.T) {
	t.Parallel()
	b, p, _, _, _ := proxiedWith(t, func(o *objects.Options) { o.Timeout, o.QueueTime = time.Minute, time.Minute })
	const callers, turns = 100, 16
	full, next, stored := make(chan struct{}), make(chan struct{}), make(chan error, callers)
	var mu sync.Mutex
	var begun, underWay, most int
	p.Answer(func(_ http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		begun, underWay = begun+1, underWay+1
		most = max(most, underWay)
		if begun == turns {
			close(full)
		}
		mu.Unlock()
		select {
		case <-next:
		case <-r.Context().Done():
		}
		mu.Lock()
		defer mu.Unlock()
		underWay--
		return false
	})
	for c := range callers {
		go func() { stored <- b.Put(context.Background(), fmt.Sprint(c), octets(20<<10)) }()
	}
	select {
	case <-full:
	case err := <-stored:
		t.Fatal("a write ends before any was let through:", err)
	}
	for range callers { // one after the other
		var err error
		select {
		case next <- struct{}{}:
			err = <-stored
		case err = <-stored:
		}
		if err != nil {
			t.Error(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if most != turns {
		t.Errorf("%d writes were under way at once, want %d", most, turns)
	}
}

// TestQueueEnds: who waits too long for others gets an error that passes, which does not count against the store.
func TestQueueEnds(t *testing.T) {
	t.Parallel()
	b, p, log, _, _ := proxiedWith(t, func(o *objects.Options) { o.Timeout, o.QueueTime = 10*time.Second, 50*time.Millisecond })
	hold := make(chan struct{})
	p.Answer(func(http.ResponseWriter, *http.Request) bool { <-hold; return false })
	var late, stored atomic.Int64
	var all sync.WaitGroup
	for c := range 20 {
		all.Go(func() {
			switch err := b.Put(t.Context(), fmt.Sprint(c), octets(10)); {
			case err == nil:
				stored.Add(1)
			case errors.Is(err, objects.ErrUnavailable) && strings.Contains(err.Error(), "too many writes waited"):
				if late.Add(1) == 4 {
					close(hold)
				}
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if late.Load() != 4 || stored.Load() != 16 || b.Healthy() != nil {
		t.Errorf("%d stored, %d too late, %v", stored.Load(), late.Load(), b.Healthy())
	}
	if said := log.all(); len(said) != 1 || !strings.Contains(said[0], "level=WARN") {
		t.Error("the log has", said)
	}
}
