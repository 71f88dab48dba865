package node

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"waybill/internal/store"
)

// watched is the store with an eye on how long its commits take.
type watched struct {
	Engine
	bound time.Duration // of a commit; 0: none

	waiting  atomic.Int64
	progress atomic.Int64 // when a commit began while none was waiting, or ended: nanoseconds since 1970
	slow     atomic.Int64 // when one ended that had taken longer than bound
}

// errSlow says that what is accepted now would wait for too long.
var errSlow = errors.New("the store takes too long to make mail durable")

// slowFor is how long a slow commit is taken as a sign: without new mail there is no other one.
const slowFor = time.Second

// Commit commits, and measures.
func (w *watched) Commit(ctx context.Context, b *store.Batch) (store.Result, error) {
	began := time.Now()
	if w.waiting.Load() == 0 {
		w.progress.Store(began.UnixNano()) // before it is seen to wait
	}
	w.waiting.Add(1)
	result, err := w.Engine.Commit(ctx, b)
	now := time.Now()
	w.progress.Store(now.UnixNano())
	w.waiting.Add(-1)
	if w.bound > 0 && now.Sub(began) > w.bound {
		w.slow.Store(now.UnixNano())
	}
	return result, err
}

// overloaded says whether commits take longer than the bound: nothing has come back for that long, or what came
// back a moment ago had.
func (w *watched) overloaded(now time.Time) bool {
	stuck := w.bound > 0 && w.waiting.Load() > 0 && now.UnixNano()-w.progress.Load() > int64(w.bound)
	return stuck || now.UnixNano()-w.slow.Load() < int64(slowFor)
}

// taking is the store as those see it who take new mail: not healthy while it is overloaded, so that what was accepted
// is not made to wait for what could be refused. The queue goes on.
type taking struct{ *watched }

// Healthy returns why no mail should be taken at present.
func (t taking) Healthy() error {
	if err := t.watched.Healthy(); err != nil {
		return err
	}
	if t.overloaded(time.Now()) {
		return errSlow
	}
	return nil
}
