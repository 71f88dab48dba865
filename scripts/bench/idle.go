package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// idleSessions are the numbers of sessions whose memory is measured. Postfix runs one process for each and, by its
// default_process_limit, no more than 100.
var idleSessions = map[string][]int{namePostfix: {100}, nameWaybill: {100, 1000, 10000}}

// idleCosts measures, on a fresh server each, the memory at rest and what each idle session adds to it.
func idleCosts(ctx context.Context, o options, servers []server) (string, error) {
	if err := raiseFileLimit(); err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("| idle SMTP sessions, after EHLO | memory at rest, MiB | KiB a session |\n|---|---:|---:|\n")
	for _, s := range servers {
		for _, n := range idleSessions[s.name()] {
			rest, perSession, err := idleCost(ctx, o, s, n)
			if err != nil {
				return "", fmt.Errorf("%s with %d idle sessions: %w", s.name(), n, err)
			}
			progress("%s, %d idle sessions: %.1f MiB at rest, %.1f KiB a session", s.name(), n, rest/(1<<20), perSession/1024)
			fmt.Fprintf(&b, "| %s, %d | %.0f | %.1f |\n", s.name(), n, rest/(1<<20), perSession/1024)
		}
	}
	return b.String(), nil
}

// idleCost returns octets: at rest, and what each of n sessions adds.
func idleCost(ctx context.Context, o options, s server, n int) (rest, perSession float64, err error) {
	dir, running, err := startIn(ctx, o, s, launch{})
	if err != nil {
		return 0, 0, err
	}
	defer cleanUp(o, dir, running, &err)
	rest = memoryAtRest(running)

	sessions, err := openIdle(ctx, running.smtp, n)
	for _, c := range sessions {
		defer c.close()
	}
	if err != nil {
		return 0, 0, err
	}
	full := memoryAtRest(running)
	// The oldest must still be there, and the newest be served.
	for _, c := range []*connection{sessions[0], sessions[n-1]} {
		c.net.SetDeadline(time.Now().Add(patience))
		fmt.Fprint(c.net, "NOOP\r\n")
		if err := c.expect("250"); err != nil {
			return 0, 0, fmt.Errorf("an idle session is dead: %w", err)
		}
	}
	return rest, (full - rest) / float64(n), nil
}

// atRest is how long a server has had nothing to do when its memory is taken: what it needed to get there is no cost of
// idling.
const atRest = 2 * time.Second

func memoryAtRest(running *running) float64 {
	settle(running.pid())
	time.Sleep(atRest)
	return float64(memoryOf(serverProcesses(running.pid())))
}

// openIdle opens n sessions up to the reply to EHLO, some at a time.
func openIdle(ctx context.Context, address string, n int) ([]*connection, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var mu sync.Mutex
	var open []*connection
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for next.Add(1) <= int64(n) && ctx.Err() == nil {
				c, err := begin(ctx, address, false)
				if err != nil {
					cancel(err)
					return
				}
				mu.Lock()
				open = append(open, c)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return open, context.Cause(ctx)
}

// raiseFileLimit lets this process, and with it the servers, have as many files as the system allows.
func raiseFileLimit() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return os.NewSyscallError("getrlimit", err)
	}
	limit.Cur = limit.Max
	return os.NewSyscallError("setrlimit", syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
}
