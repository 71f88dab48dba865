package queue

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"waybill/internal/mail"
	"waybill/internal/spool"
	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/lease"
	"waybill/internal/store/pebble"
	"waybill/internal/store/storetest"
	"waybill/internal/trail"
)

// node is a rig that shares its store with others, and can be cut off from it.
type node struct {
	*rig
	*storetest.Line
	lease *lease.Lease
}

func newNode(t *testing.T, engine store.Store) *node {
	n := &node{Line: &storetest.Line{Store: engine}}
	st := &flaky{Store: n.Line}
	var err error
	if n.lease, err = lease.Join(t.Context(), lease.Options{Store: st}); err != nil {
		t.Fatal(err)
	}
	n.rig = newRigOn(t, st, n.lease)
	return n
}

// among runs a test in virtual time, with three nodes on one store.
func among(t *testing.T, prepare func([3]*node), test func(t *testing.T, nodes [3]*node)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engine, err := pebble.Open(pebble.Options{Dir: "store", FS: vfs.NewMem(), MemTableSize: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		defer engine.Close()
		var nodes [3]*node
		for i := range nodes {
			nodes[i] = newNode(t, engine)
		}
		prepare(nodes)
		for _, n := range nodes {
			n.start()
			defer func() {
				n.stop()
				if err := n.lease.Leave(context.Background()); err != nil {
					t.Error(err)
				}
				n.options.Trail.Close(context.Background())
			}()
		}
		test(t, nodes)
	})
}

var notNow = always(450, "4.2.1", "later")

// outcomes are the events, of all nodes, that tell what became of a message.
func outcomes(nodes [3]*node, id mail.ID) (n int) {
	for _, node := range nodes {
		for _, ev := range node.all() {
			if ev.Message == id && (ev.Kind == trail.Relayed || ev.Kind == trail.Filed || ev.Kind == trail.Done) {
				n++
			}
		}
	}
	return n
}

// attempts is how often a recipient was tried by each.
func attempts(nodes [3]*node, path string) (n [3]int) {
	for i, node := range nodes {
		n[i] = node.remote.tried(path)
	}
	return n
}

// TestTakeover: what a node that is cut off has in its queue is tried by exactly one of the others when it is due, and by nobody
// before; and by the node itself no more, also when it is back.
func TestTakeover(t *testing.T) {
	var well atomic.Bool
	among(t, func(nodes [3]*node) {
		for _, n := range nodes {
			n.remote.answer = func(a spool.Attempt, i int) mail.Status {
				if well.Load() {
					return delivered(a, i)
				}
				return notNow(a, i)
			}
		}
	}, func(t *testing.T, nodes [3]*node) {
		id := nodes[0].send("me@a.test", "you@b.test")
		slice := id.Node()
		time.Sleep(10 * time.Second)
		nodes[0].Cut.Store(true)
		well.Store(true)
		time.Sleep(40 * time.Second)
		if got := attempts(nodes, "you@b.test"); got != [3]int{1, 0, 0} {
			t.Fatalf("attempts before it is due: %v", got)
		}
		if nodes[1].lease.Holds(slice) == nodes[2].lease.Holds(slice) {
			t.Fatal("not one of the others works on the slice")
		}
		time.Sleep(time.Minute)
		nodes[0].Cut.Store(false)
		time.Sleep(3 * time.Minute)
		if got := attempts(nodes, "you@b.test"); got != [3]int{1, 1, 0} && got != [3]int{1, 0, 1} {
			t.Errorf("attempts %v", got)
		}
		if nodes[0].load(id) != nil {
			t.Error("it is in the queue still")
		}
		next := nodes[0].send("me@a.test", "again@b.test")
		time.Sleep(time.Minute)
		if next.Node() == slice || nodes[0].load(next) != nil || nodes[0].remote.tried("again@b.test") != 1 {
			t.Error("the node that is back does not deliver its own mail")
		}
	})
}

// TestFrozenAttempt: an attempt during which the node is taken for dead ends without a trace, whatever it comes to.
func TestFrozenAttempt(t *testing.T) {
	var thaw, slow chan struct{}
	among(t, func(nodes [3]*node) {
		thaw, slow = make(chan struct{}), make(chan struct{})
		nodes[0].remote.hold = func(context.Context, spool.Attempt) { <-thaw }
		for _, n := range nodes[1:] {
			n.remote.hold = func(context.Context, spool.Attempt) { <-slow }
		}
	}, func(t *testing.T, nodes [3]*node) {
		id := nodes[0].send("me@a.test", "you@b.test")
		time.Sleep(time.Second)
		nodes[0].Cut.Store(true)
		time.Sleep(time.Minute)
		if got := attempts(nodes, "you@b.test"); got != [3]int{1, 1, 0} && got != [3]int{1, 0, 1} {
			t.Errorf("attempts %v", got)
		}
		nodes[0].Cut.Store(false)
		time.Sleep(time.Minute)
		close(thaw) // before the other one knows anything
		time.Sleep(time.Minute)
		if outcomes(nodes, id) != 0 || nodes[0].load(id) == nil {
			t.Error("a node recorded the outcome of an attempt at a message that it had lost")
		}
		close(slow)
		time.Sleep(time.Minute)
		if outcomes(nodes, id) == 0 || nodes[0].load(id) != nil {
			t.Error("the node that took it over recorded no outcome")
		}
		if nodes[0].inMemory() != 0 {
			t.Error("the message is still in memory")
		}
	})
}

// TestRejoined: a node that was replaced and is one again under another number goes on with nothing of before: neither with an
// attempt under way nor with one that waits.
func TestRejoined(t *testing.T) {
	var thaw chan struct{}
	var wasValid, isValid atomic.Bool
	among(t, func(nodes [3]*node) {
		thaw = make(chan struct{})
		nodes[0].options.RemoteWorkers = 1
		nodes[0].remote.hold = func(_ context.Context, a spool.Attempt) {
			wasValid.Store(a.Valid())
			<-thaw
			isValid.Store(a.Valid())
		}
	}, func(t *testing.T, nodes [3]*node) {
		id := nodes[0].send("me@a.test", "you@b.test", "them@c.test")
		time.Sleep(time.Second)
		nodes[0].Cut.Store(true)
		time.Sleep(time.Minute)
		nodes[0].Cut.Store(false)
		time.Sleep(10 * time.Second)
		if !nodes[0].lease.Alive() || nodes[0].lease.Holds(id.Node()) {
			t.Fatal("the node is not back under another number")
		}
		close(thaw)
		time.Sleep(time.Minute)
		if !wasValid.Load() || isValid.Load() {
			t.Errorf("the attempt is valid when it begins: %t, and when the message is another's: %t", wasValid.Load(), isValid.Load())
		}
		if you, them := nodes[0].remote.tried("you@b.test"), nodes[0].remote.tried("them@c.test"); you+them != 1 {
			t.Errorf("%d and %d attempts by the node that was replaced, which had begun one", you, them)
		}
		if you, them := attempts(nodes, "you@b.test"), attempts(nodes, "them@c.test"); you[1]+you[2] != 1 || them[1]+them[2] != 1 || nodes[0].load(id) != nil {
			t.Errorf("attempts %v and %v", you, them)
		}
	})
}

// TestEndWhatIsUnderWay: a message that another node is attempting cannot be ended until that is over, and what comes of it counts.
func TestEndWhatIsUnderWay(t *testing.T) {
	for _, action := range []spool.Action{spool.Drop, spool.Bounce} {
		t.Run(string(action), func(t *testing.T) { testEndWhatIsUnderWay(t, action) })
	}
}

func testEndWhatIsUnderWay(t *testing.T, action spool.Action) {
	var takes atomic.Int64
	among(t, func(nodes [3]*node) {
		for _, n := range nodes {
			n.remote.hold = func(context.Context, spool.Attempt) { time.Sleep(time.Duration(takes.Load())) }
		}
	}, func(t *testing.T, nodes [3]*node) {
		takes.Store(int64(3 * time.Second))
		id := nodes[0].send("me@a.test", "short@b.test")
		time.Sleep(time.Second)
		began := time.Now()
		if err := nodes[1].queue.Manage(t.Context(), id, action); !errors.Is(err, ErrNotQueued) || time.Since(began) >= answerTime {
			t.Errorf("%s of a message that is delivered meanwhile: %v, after %s", action, err, time.Since(began))
		}
		takes.Store(int64(time.Minute))
		id = nodes[0].send("me@a.test", "long@b.test")
		time.Sleep(time.Second)
		if err := nodes[1].queue.Manage(t.Context(), id, action); !errors.Is(err, errNoAnswer) {
			t.Errorf("%s of a message that is being delivered: %v", action, err)
		}
		if nodes[0].load(id).IsHeld() {
			t.Error("what could not be ended is held")
		}
		time.Sleep(2 * time.Minute)
		if got := attempts(nodes, "long@b.test"); got != [3]int{1, 0, 0} || nodes[0].load(id) != nil || nodes[1].local.tried("me@a.test") != 0 {
			t.Errorf("attempts %v, or it is not over, or its sender was told", got)
		}
	})
}

// TestNoAttemptWithoutLease: a node that does not reach the store for as long as a lease lasts begins no attempt.
func TestNoAttemptWithoutLease(t *testing.T) {
	among(t, func(nodes [3]*node) {
		for _, n := range nodes {
			n.remote.hold = func(context.Context, spool.Attempt) { time.Sleep(20 * time.Second) }
			n.options.Limits = func(string) (int, float64) { return 2, 1. / 30 } // the second one has its turn when the lease is over
		}
	}, func(t *testing.T, nodes [3]*node) {
		for _, n := range nodes { // nobody can take over
			n.send("me@a.test", "first@b.test")
			n.send("me@a.test", "second@b.test")
		}
		time.Sleep(time.Second)
		for _, n := range nodes {
			n.Cut.Store(true)
		}
		time.Sleep(2 * time.Minute)
		for i, n := range nodes {
			if made := n.remote.tried("first@b.test") + n.remote.tried("second@b.test"); made != 1 {
				t.Errorf("node %d made %d attempts, and had a lease for one", i, made)
			}
			n.Cut.Store(false)
		}
		time.Sleep(4 * time.Minute)
		if a, b := attempts(nodes, "first@b.test"), attempts(nodes, "second@b.test"); a != [3]int{1, 1, 1} || b != [3]int{1, 1, 1} {
			t.Errorf("attempts when the store is back: %v, %v", a, b)
		}
	})
}

// TestManageElsewhere: what an operator does on one node to a message of another takes effect there.
func TestManageElsewhere(t *testing.T) {
	among(t, func(nodes [3]*node) {
		for _, n := range nodes {
			n.remote.answer = notNow
			n.options.Retry = []time.Duration{2 * time.Minute}
		}
	}, func(t *testing.T, nodes [3]*node) {
		manage := func(id mail.ID, action spool.Action) {
			t.Helper()
			if err := nodes[1].queue.Manage(t.Context(), id, action); err != nil {
				t.Fatal(action, err)
			}
			time.Sleep(2 * time.Second)
		}
		id := nodes[0].send("me@a.test", "you@b.test")
		time.Sleep(time.Minute)
		manage(id, spool.Retry)
		if got := attempts(nodes, "you@b.test"); got != [3]int{2, 0, 0} {
			t.Errorf("attempts after retry: %v", got)
		}
		manage(id, spool.Hold)
		time.Sleep(3 * time.Minute)
		if got := attempts(nodes, "you@b.test"); got != [3]int{2, 0, 0} {
			t.Errorf("attempts although it is held: %v", got)
		}
		manage(id, spool.Release)
		if got := attempts(nodes, "you@b.test"); got != [3]int{3, 0, 0} {
			t.Errorf("attempts after release: %v", got)
		}
		manage(id, spool.Drop)
		time.Sleep(3 * time.Minute)
		if got := attempts(nodes, "you@b.test"); got != [3]int{3, 0, 0} || nodes[0].load(id) != nil {
			t.Errorf("attempts although it was dropped: %v", got)
		}
		bounced := nodes[0].send("me@a.test", "them@b.test")
		time.Sleep(time.Minute)
		manage(bounced, spool.Bounce)
		if got := attempts(nodes, "them@b.test"); got != [3]int{1, 0, 0} || nodes[0].load(bounced) != nil {
			t.Errorf("attempts although it was returned: %v", got)
		}
		if nodes[1].local.tried("me@a.test") != 1 {
			t.Error("its sender has no report")
		}
		if nodes[0].nudged() {
			t.Error("a word to the other node is left")
		}
	})
}

// TestHoldWhatWaits: a message that waits in another node's memory is held all the same.
func TestHoldWhatWaits(t *testing.T) {
	among(t, func(nodes [3]*node) {
		for _, n := range nodes {
			n.remote.hold = func(context.Context, spool.Attempt) { time.Sleep(time.Minute) }
			n.options.PerHop = 1
		}
	}, func(t *testing.T, nodes [3]*node) {
		nodes[0].send("me@a.test", "first@b.test")
		time.Sleep(time.Second)
		id := nodes[0].send("me@a.test", "second@b.test")
		time.Sleep(time.Second)
		if err := nodes[2].queue.Manage(t.Context(), id, spool.Hold); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Minute)
		if n := nodes[0].remote.tried("second@b.test"); n != 0 || !nodes[0].load(id).IsHeld() {
			t.Errorf("%d attempts although it is held", n)
		}
	})
}

// TestManageWhatWasLost: a node that does not know yet that it was replaced does nothing to messages that are another's by now
// without that one's hearing of it.
func TestManageWhatWasLost(t *testing.T) {
	among(t, func(nodes [3]*node) {
		for _, n := range nodes {
			n.remote.hold = func(context.Context, spool.Attempt) { time.Sleep(2 * time.Minute) }
			n.options.PerHop = 1
		}
	}, func(t *testing.T, nodes [3]*node) {
		nodes[0].send("me@a.test", "first@b.test")
		time.Sleep(time.Second)
		id := nodes[0].send("me@a.test", "second@b.test")
		nodes[0].Cut.Store(true)
		time.Sleep(time.Minute)
		nodes[0].Cut.Store(false)
		if !nodes[0].lease.Holds(id.Node()) {
			t.Fatal("it knows already")
		}
		if err := nodes[0].queue.Manage(t.Context(), id, spool.Hold); err != nil {
			t.Fatal(err)
		}
		time.Sleep(4 * time.Minute)
		if got := attempts(nodes, "second@b.test"); got != [3]int{} || !nodes[1].load(id).IsHeld() {
			t.Errorf("attempts although it is held: %v", got)
		}
	})
}

// nudged says whether there is a word from one node to another.
func (n *node) nudged() bool {
	snap, err := n.store.Snapshot()
	if err != nil {
		n.t.Fatal(err)
	}
	defer snap.Close()
	for range snap.Scan(store.Prefix(keys.Nudges())) {
		return true
	}
	return false
}
