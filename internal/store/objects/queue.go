package objects

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// maxPuts bounds the writes under way. They share one line, and each has its time: 16 objects of 1 MiB need a line of about 1 MiB/s to be done within the
// 20 s, where as many as there are callers would all be late, all fail, and all come again. More would not fill a line better.
const maxPuts = 16

// queue is where writes wait for their turn, first come, first served.
type queue struct {
	turns  chan struct{}
	wait   time.Duration
	where  string
	logger *slog.Logger

	mu   sync.Mutex
	told time.Time
}

func newQueue(where string, o Options) *queue {
	return &queue{turns: make(chan struct{}, maxPuts), wait: o.QueueTime, where: where, logger: o.Logger}
}

// enter waits for a turn, which leave ends. Errors: ErrUnavailable after the queue's time; that of a done context.
func (q *queue) enter(ctx context.Context) error {
	select {
	case q.turns <- struct{}{}:
		return nil
	default:
	}
	late := time.NewTimer(q.wait)
	defer late.Stop()
	select {
	case q.turns <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-late.C:
		q.tell()
		return fmt.Errorf("%w: too many writes waited before this one for %s; look at its load and at the network between", ErrUnavailable, q.wait)
	}
}

func (q *queue) leave() { <-q.turns }

// tell has a line in the log, but not one for each write.
func (q *queue) tell() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if now := time.Now(); q.told.IsZero() || now.Sub(q.told) >= time.Minute {
		q.told = now
		q.logger.Warn("the object store is too slow for what is to be written, and some mail is put off", "store", q.where, "waited", q.wait.String())
	}
}
