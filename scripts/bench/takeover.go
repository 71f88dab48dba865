package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// estate is how many messages a node has in the queue when it is killed.
const estate = 10

// heir is what the sink knows of the mail that a node leaves: how many of its messages were put off, and when who tried them after its death.
type heir struct {
	mu      sync.Mutex
	victim  string    // the name of the node; it gets no reply but 450
	tried   int       // attempts of the victim
	dead    bool      // it has been killed: others get 250
	first   time.Time // attempt of another node after that
	arrived chan struct{}
}

// hear answers the recipient of a message, as relaySink.hear.
func (h *heir) hear(client, _ string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if client == h.victim || !h.dead {
		h.tried++
		return "450 4.2.1 not now\r\n"
	}
	if h.first.IsZero() {
		h.first = time.Now()
		close(h.arrived)
	}
	return "250 ok\r\n"
}

func (h *heir) attempts() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.tried
}

// measureTakeovers kills one of two nodes again and again, and returns how long each time it was until the other one first attempted the mail
// that it had in the queue.
func measureTakeovers(ctx context.Context, o options, w waybill, db *database) (took []time.Duration, err error) {
	out, err := newSink(ctx)
	if err != nil {
		return nil, err
	}
	c := &cluster{waybill: w, title: "two nodes", nodes: 2, db: db}
	o.scenario = scenario{sessions: 1, size: 2048, to: "you@" + sinkDomain}
	err = withServer(ctx, o, c, launch{sink: out.port, retry: "1s"}, func(dir string, r *running) error {
		for round := range o.nodes.takeovers {
			first, all, err := takeOver(ctx, o, c, dir, r, out, round%c.nodes)
			if err != nil {
				return err
			}
			progress("takeover %d of %d: first attempt after %.1f s, all %d delivered after %.1f s", round+1, o.nodes.takeovers, first.Seconds(), estate, all.Seconds())
			took = append(took, first)
		}
		return nil
	})
	return took, err
}

// takeOver leaves mail in the queue of node i, kills that, and returns when it was first attempted and when all of it was delivered. Then the
// node is started again.
func takeOver(ctx context.Context, o options, c *cluster, dir string, r *running, out *relaySink, i int) (first, all time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, 4*wantTakeover)
	defer cancel()
	h := &heir{victim: nodeName(i), arrived: make(chan struct{})}
	hear := h.hear
	out.hear.Store(&hear)
	out.expect(estate)
	if _, err := send(ctx, o, inTurn(r.smtp, i), estate, randomLines(o.size), new([mailboxes]int)); err != nil {
		return 0, 0, err
	}
	for h.attempts() < estate {
		if ctx.Err() != nil {
			return 0, 0, errors.New("the node does not attempt its mail")
		}
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(rand.N(5 * time.Second)) // anywhere between two of its signs of life

	victim := r.processes[i]
	killed := time.Now()
	if err := victim.Process.Signal(syscall.SIGKILL); err != nil {
		return 0, 0, err
	}
	victim.Wait()
	h.mu.Lock()
	h.dead = true
	h.mu.Unlock()
	select {
	case <-h.arrived:
	case <-ctx.Done():
		return 0, 0, fmt.Errorf("nobody took the mail of a dead node over: %w", context.Cause(ctx))
	}
	last, err := out.await(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("not all mail of a dead node was taken over: %w", err)
	}
	return h.first.Sub(killed), last.Sub(killed), c.restart(ctx, dir, r, i)
}

// restart starts a node again that has ended.
func (c *cluster) restart(ctx context.Context, dir string, r *running, i int) error {
	node := launch{dir: filepath.Join(dir, nodeDirectory(i))}
	if err := r.run(node, c.binary, "serve", "--config", filepath.Join(node.dir, "waybill.toml")); err != nil {
		return err
	}
	last := len(r.processes) - 1
	r.processes[i], r.processes = r.processes[last], r.processes[:last]
	return awaitGreeting(ctx, inTurn(r.smtp, i))
}
