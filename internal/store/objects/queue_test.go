package objects_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"waybill/internal/store/objects"
)

// line is a network of that many octets a second, which all requests share.
type line struct {
	mu   sync.Mutex
	rate int
}

// pass has the request's body come by way of the line.
func (l *line) pass(_ http.ResponseWriter, r *http.Request) bool {
	r.Body = &onLine{r.Body, l}
	return false
}

type onLine struct {
	io.ReadCloser
	l *line
}

func (o *onLine) Read(p []byte) (int, error) {
	n, err := o.ReadCloser.Read(p[:min(len(p), 4<<10)])
	o.l.mu.Lock()
	defer o.l.mu.Unlock()
	time.Sleep(time.Duration(n) * time.Second / time.Duration(o.l.rate))
	return n, err
}

// TestSlowLine: many callers at once, whose objects together take longer than one request may, have them stored all the same, one after the other.
func TestSlowLine(t *testing.T) {
	t.Parallel()
	b, p, _, _, _ := proxied(t) // a second for each request
	p.Answer((&line{rate: 1 << 20}).pass)
	const callers, size = 100, 20 << 10 // 2 s for all, and 0.3 s for as many as are under way
	var failed atomic.Int64
	var all sync.WaitGroup
	for c := range callers {
		all.Go(func() {
			if b.Put(t.Context(), fmt.Sprint(c), octets(size)) != nil {
				failed.Add(1)
			}
		})
	}
	all.Wait()
	if n := failed.Load(); n > callers/10 {
		t.Errorf("%d of %d writes failed", n, callers)
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
