package dns

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// flights lets callers who ask the same at the same time share one answer.
type flights[V any] struct {
	mu      sync.Mutex
	running map[question]*flight[V]
}

type flight[V any] struct {
	done    chan struct{} // closed when value is there
	value   V
	err     error              // work panicked: there is no value
	waiting int                // callers; the flight is cancelled when none is left
	cancel  context.CancelFunc // of the flight's context
}

// do returns what work returns for q. Work that is under way is joined; it goes on while anybody waits for it, for
// at most limit. The error is ctx's when it ends first.
func (f *flights[V]) do(ctx context.Context, q question, limit time.Duration, work func(context.Context) V) (V, error) {
	current := f.join(ctx, q, limit, work)
	select {
	case <-current.done:
		current.cancel()
		return current.value, current.err
	case <-ctx.Done():
		f.leave(q, current)
		var none V
		return none, ctx.Err()
	}
}

func (f *flights[V]) join(ctx context.Context, q question, limit time.Duration, work func(context.Context) V) *flight[V] {
	f.mu.Lock()
	defer f.mu.Unlock()
	if current, ok := f.running[q]; ok {
		current.waiting++
		return current
	}
	// Others may join: the flight does not end with the caller who began it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	current := &flight[V]{done: make(chan struct{}), waiting: 1, cancel: cancel}
	if f.running == nil {
		f.running = map[question]*flight[V]{}
	}
	f.running[q] = current
	go func() {
		defer cancel()
		defer f.land(q, current)
		current.value = work(ctx)
	}()
	return current
}

// land ends a flight, also one in which what a stranger's server sent made the work panic: that must not end the process.
func (f *flights[V]) land(q question, current *flight[V]) {
	if p := recover(); p != nil {
		current.err = fmt.Errorf("look up %v: internal error: %v", q, p)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forget(q, current)
	close(current.done)
}

func (f *flights[V]) leave(q question, current *flight[V]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	current.waiting--
	if current.waiting == 0 {
		current.cancel()
		f.forget(q, current) // who comes now gets a flight of their own
	}
}

func (f *flights[V]) forget(q question, current *flight[V]) {
	if f.running[q] == current {
		delete(f.running, q)
	}
}
