package main

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"waybill/internal/store/objects/s3test"
)

// TestNodesKilled: nodes die one after another under load, and come back with their data or without; who is left takes over what they
// had in the queue, and nothing that was acknowledged is lost. Large bodies are in an object store.
func TestNodesKilled(t *testing.T) {
	t.Parallel()
	bucket := s3test.New(t, "mail")
	c := onSharedDatabase(t, 3, settings{bodies: bucket})
	load := c.load("k", 2)
	load.loadLarge("k")
	for first, rounds := 0, kills(t); first < rounds; first += killsAtOnce {
		// Whoever is to miss the others has to live longer than a lease lasts.
		survivor := rand.IntN(len(c.all))
		var left []*estate
		for round := first; round < min(first+killsAtOnce, rounds); round++ {
			victim := c.all[(survivor+1+rand.IntN(len(c.all)-1))%len(c.all)]
			left = append(left, c.killed(load, victim, round))
		}
		for _, e := range left {
			e.taken()
		}
	}
	load.end()
	load.check(c)
	if objects := bucket.Keys(t, "mail"); len(objects) < 2 {
		t.Errorf("no large message is in the bucket: %v", objects)
	}
}

// killsAtOnce is how many deaths there are before all that was left is to be delivered.
const killsAtOnce = 4

// killed kills a node that has mail in its queue, and starts it again, before the others know that it was gone or after.
func (c *nodes) killed(load *senders, victim *member, round int) *estate {
	load.await(c, 30)
	e := c.leave(load, victim, fmt.Sprintf("wait-%d", round))
	victim.kill()
	e.open()
	time.Sleep(rand.N(4 * time.Second))
	if round%2 == 1 {
		victim.forget()
	}
	victim.start()
	return e
}

// estate is the mail that a node leaves in the queue. The sink takes it only after the node's end.
type estate struct {
	c      *nodes
	of     *member
	prefix string
	names  map[string]bool
	left   time.Time
}

// estateSize is how many messages a node has in the queue when it dies, besides those of the load.
const estateSize = 10

// leave hands mail in at a node that the sink does not take yet.
func (c *nodes) leave(load *senders, m *member, prefix string) *estate {
	c.t.Helper()
	c.out.close(prefix)
	return &estate{c: c, of: m, prefix: prefix, names: load.handInAt(m, estateSize, prefix, toSink)}
}

// open lets the sink take it.
func (e *estate) open() {
	e.left = time.Now()
	e.c.out.open(e.prefix)
}

// taken waits until all of it is there.
func (e *estate) taken() {
	e.c.t.Helper()
	var last time.Time
	e.c.until("taking over "+e.prefix, 2*takeoverTime, func() bool {
		last = e.c.out.lastOf(e.prefix)
		return len(missing(e.names, e.c.out.count())) == 0
	})
	took := last.Sub(e.left)
	e.c.t.Logf("%s: what it had in the queue was delivered after %s", e.of.name, took.Round(10*time.Millisecond))
	if took > takeoverTime {
		e.c.t.Errorf("it took longer than %s", takeoverTime)
	}
}
