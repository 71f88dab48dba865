package node

import (
	"context"
	"errors"
	"sync"
	"time"
)

// trailTime is how long the last events may take to be written.
const trailTime = 5 * time.Second

// Shutdown stops listening everywhere at once, lets what is under way finish until ctx is done, and closes the store. The
// sessions get three quarters of the time, so that the queue has some left for its attempts. A store that does not answer gets a
// little more, for outcomes to be recorded, and is waited for no longer.
func (n *Node) Shutdown(ctx context.Context) error {
	n.draining.Store(true)
	defer context.AfterFunc(ctx, func() { time.AfterFunc(trailTime, n.engine.Abandon) })()
	n.logins.Guard.Hurry()
	errs := n.endSessions(ctx)
	if n.control != nil {
		errs = append(errs, n.control.Close())
	}
	errs = append(errs, n.queue.Shutdown(ctx))
	n.relay.Close(ctx)
	for _, s := range n.web {
		errs = append(errs, s.shutdown(ctx))
		s.listener.Close()
	}
	if n.stop != nil {
		n.stop()
	}
	n.running.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), trailTime)
	defer cancel()
	return errors.Join(append(errs, n.trail.Close(last), n.leave(last), n.engine.Close())...)
}

// leave lets other nodes take over what is left of this one's queue.
func (n *Node) leave(ctx context.Context) error {
	if n.core == nil {
		return nil
	}
	return n.lease.Leave(ctx)
}

func (n *Node) endSessions(ctx context.Context) []error {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)*3/4)
		defer cancel()
	}
	errs := make([]error, len(n.services))
	var ending sync.WaitGroup
	for i, s := range n.services {
		ending.Go(func() {
			errs[i] = s.shutdown(ctx)
			s.listener.Close() // closed already, unless it never came to be served
		})
	}
	ending.Wait()
	return errs
}
