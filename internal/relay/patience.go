package relay

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"time"
)

// patiently does something for which the host may take its time: as long as is long if nobody else is left to try, which
// is found out only when a short time is over. Then the context ends with a cause that is a timeout.
func (s *session) patiently(ctx context.Context, short, long time.Duration, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, long, os.ErrDeadlineExceeded)
	defer cancel()
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	done := make(chan result, 1)
	go func() { done <- caught(func() error { return do(ctx) }) }()
	timer := time.NewTimer(short)
	defer timer.Stop()
	select {
	case r := <-done:
		return r.get()
	case <-timer.C:
	}
	if s.walk.left(ctx) {
		giveUp(os.ErrDeadlineExceeded)
	}
	r := <-done
	return r.get()
}

// result is how something ended in another goroutine. A panic there is one here, so that it costs no more than the attempt.
type result struct {
	err      error
	panicked string
}

func caught(do func() error) (r result) {
	defer func() {
		if p := recover(); p != nil {
			r.panicked = fmt.Sprintf("%v\n%s", p, debug.Stack())
		}
	}()
	return result{err: do()}
}

func (r result) get() error {
	if r.panicked != "" {
		panic(r.panicked)
	}
	return r.err
}
