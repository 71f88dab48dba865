package node

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"waybill/internal/mail"
	"waybill/internal/store"
)

// watched is the store with an eye on how long its commits take.
type watched struct {
	engine
	bound time.Duration // of a commit; 0: none

	start    time.Time // what follows is nanoseconds since then: setting the clock means nothing
	waiting  atomic.Int64
	progress atomic.Int64 // when a commit began while none was waiting, or ended
	slow     atomic.Int64 // when one ended that had taken longer than bound
}

func watch(e engine, bound time.Duration) *watched {
	w := &watched{engine: e, bound: bound, start: time.Now()}
	w.slow.Store(int64(-slowFor))
	return w
}

// errSlow says that what is accepted now would wait for too long.
var errSlow = errors.New("the store takes too long to make mail durable")

// slowDown is what clients are told then.
var slowDown = mail.NewStatus(451, "4.3.2", "The server is overloaded, try again later")

// slowFor is how long a slow commit is taken as a sign: without new mail there is no other one.
const slowFor = time.Second

// Commit commits, and measures.
func (w *watched) Commit(ctx context.Context, b *store.Batch) (store.Result, error) {
	began := time.Since(w.start)
	if w.waiting.Load() == 0 {
		w.progress.Store(int64(began)) // before it is seen to wait
	}
	w.waiting.Add(1)
	result, err := w.engine.Commit(ctx, b)
	now := time.Since(w.start)
	w.progress.Store(int64(now))
	w.waiting.Add(-1)
	if w.bound > 0 && now-began > w.bound {
		w.slow.Store(int64(now))
	}
	return result, err
}

// overloaded says whether commits take longer than the bound: nothing has come back for that long, or what came
// back a moment ago had.
func (w *watched) overloaded() bool {
	now := time.Since(w.start)
	stuck := w.bound > 0 && w.waiting.Load() > 0 && now-time.Duration(w.progress.Load()) > w.bound
	return stuck || now-time.Duration(w.slow.Load()) < slowFor
}

// taking is the store as those see it who take new mail: not healthy while it is overloaded, so that what was accepted
// is not made to wait for what could be refused. The queue goes on.
type taking struct{ *watched }

// Healthy returns why no mail should be taken at present.
func (t taking) Healthy() error {
	if err := t.watched.Healthy(); err != nil {
		return err
	}
	if t.overloaded() {
		return &mail.Error{Status: slowDown, Err: errSlow}
	}
	return nil
}
