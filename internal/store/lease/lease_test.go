package lease

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"waybill/internal/mail"
	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/pebble/pebbletest"
	"waybill/internal/store/storetest"
)

// node is a member of the store with a line of its own.
type node struct {
	*Lease
	*storetest.Line
}

func join(t testing.TB, st store.Store, name string) node {
	t.Helper()
	way := &storetest.Line{Store: st}
	l, err := Join(context.Background(), Options{Store: way, Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return node{l, way}
}

// freeze stops a node as SIGSTOP does: it does nothing any more, and does not know it.
func (n node) freeze() {
	n.stop()
	n.running.Wait()
}

// wake lets it go on.
func (n node) wake() {
	ctx, stop := context.WithCancel(context.Background())
	n.stop = stop
	n.running.Go(func() { n.keep(ctx) })
}

// mail puts an entry into the node's own slice, if that is still its, and returns its key.
func (n node) mail(t testing.TB) (key []byte, err error) {
	t.Helper()
	number := n.Number()
	key = keys.Due(time.Now(), mail.NewIDs(number).New(time.Now()))
	var b store.Batch
	b.Put(key, nil)
	n.Fence(&b, number)
	_, err = n.Line.Store.Commit(t.Context(), &b)
	return key, err
}

func (n node) leave(t testing.TB) {
	t.Helper()
	if err := n.Leave(context.Background()); err != nil {
		t.Error(err)
	}
}

// act commits a batch of a node about a slice.
func (n node) act(slice uint16) error {
	var b store.Batch
	b.Put([]byte("outcome"), nil)
	n.Fence(&b, slice)
	_, err := n.Line.Store.Commit(context.Background(), &b)
	return err
}

// bubble runs a test in a bubble of time, with a store.
func bubble(t *testing.T, f func(t *testing.T, st store.Store)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f(t, pebbletest.Open(t))
	})
}

// holders returns how many of the nodes hold a slice.
func holders(slice uint16, nodes ...node) (n int) {
	for _, node := range nodes {
		if node.Holds(slice) {
			n++
		}
	}
	return n
}

func TestEachHasItsOwn(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store) {
		one, two := join(t, st, "one"), join(t, st, "two")
		defer one.leave(t)
		defer two.leave(t)
		if one.Number() == two.Number() {
			t.Fatal("two nodes have one number")
		}
		time.Sleep(10 * time.Minute)
		for _, n := range []node{one, two} {
			if got := n.Slices(); !slices.Equal(got, []uint16{n.Number()}) {
				t.Errorf("node %d works on %v", n.Number(), got)
			}
			if !n.Alive() || n.act(n.Number()) != nil {
				t.Error("a node that beats may not work")
			}
		}
		if err := one.act(two.Number()); !errors.Is(err, store.ErrConflict) {
			t.Errorf("one recorded something of the other's slice: %v", err)
		}
	})
}

// TestDeath: what a dead node had is taken over by exactly one of the others, within 30 s, and not before its lease is over.
func TestDeath(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store) {
		one, two, three := join(t, st, "one"), join(t, st, "two"), join(t, st, "three")
		defer two.leave(t)
		defer three.leave(t)
		key, err := one.mail(t)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		slice, died := one.Number(), time.Now()
		one.freeze()
		for holders(slice, two, three) == 0 {
			if one.Alive() {
				time.Sleep(time.Millisecond)
				continue
			}
			if time.Sleep(100 * time.Millisecond); time.Since(died) > 30*time.Second {
				t.Fatal("nobody took the slice over within 30 s")
			}
		}
		if one.Alive() {
			t.Error("the slice was taken while its holder thought that it had it")
		}
		t.Logf("taken over after %v", time.Since(died))
		if n := holders(slice, two, three); n != 1 {
			t.Errorf("%d nodes took the slice over", n)
		}
		if err := one.act(slice); !errors.Is(err, store.ErrConflict) {
			t.Errorf("a node that was taken for dead recorded an outcome: %v", err)
		}
		if _, err := one.mail(t); !errors.Is(err, store.ErrConflict) {
			t.Errorf("a node that was taken for dead took mail into its slice: %v", err)
		}

		one.wake()
		time.Sleep(time.Minute)
		defer one.leave(t)
		if one.Number() == slice || !one.Alive() || one.act(one.Number()) != nil {
			t.Errorf("woken up, it is node %d, alive: %v", one.Number(), one.Alive())
		}
		if n := holders(slice, one, two, three); n != 1 {
			t.Errorf("%d nodes have the slice", n)
		}
		var b store.Batch // the last message of the slice is delivered
		b.Delete(key)
		if _, err := st.Commit(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if n := holders(slice, one, two, three); n != 0 {
			t.Errorf("%d nodes keep an empty slice", n)
		}
		snap, _ := st.Snapshot()
		defer snap.Close()
		if _, _, err := snap.Get(keys.Node(slice)); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the number of a node that has died is not free: %v", err)
		}
	})
}

// TestLateBeat: a node that beats in the very moment in which it is taken for dead is not.
func TestLateBeat(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store) {
		one := join(t, st, "one")
		var saved atomic.Bool
		way := &storetest.Line{Store: st, Before: func(b *store.Batch) {
			if len(b.Deletes) > 0 && saved.CompareAndSwap(false, true) {
				if err := one.renew(t.Context()); err != nil {
					t.Error(err)
				}
			}
		}}
		two, err := Join(t.Context(), Options{Store: way})
		if err != nil {
			t.Fatal(err)
		}
		number := one.Number()
		one.freeze()
		for end := time.Now().Add(time.Minute); !saved.Load(); time.Sleep(100 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("nobody took the node for dead")
			}
		}
		one.wake()
		time.Sleep(time.Minute)
		if one.Number() != number || two.Holds(number) {
			t.Error("a node that had just shown that it is alive was replaced")
		}
		one.leave(t)
		if err := two.Leave(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestInheritance: what a node took over goes on with its own when it dies itself.
func TestInheritance(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store) {
		one, two := join(t, st, "one"), join(t, st, "two")
		if _, err := one.mail(t); err != nil {
			t.Fatal(err)
		}
		one.freeze()
		time.Sleep(30 * time.Second)
		if !two.Holds(one.Number()) {
			t.Fatal("the second does not have what the first had")
		}
		if _, err := two.mail(t); err != nil {
			t.Fatal(err)
		}
		three := join(t, st, "three")
		defer three.leave(t)
		two.freeze()
		time.Sleep(30 * time.Second)
		if !three.Holds(one.Number()) || !three.Holds(two.Number()) {
			t.Errorf("the third has %v, of %d and %d", three.Slices(), one.Number(), two.Number())
		}
		for _, slice := range []uint16{one.Number(), two.Number(), three.Number()} {
			if err := three.act(slice); err != nil {
				t.Errorf("slice %d: %v", slice, err)
			}
		}
		if err := two.act(one.Number()); !errors.Is(err, store.ErrConflict) {
			t.Errorf("the second recorded something of what it had taken over: %v", err)
		}
		snap, err := st.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		defer snap.Close()
		nodes, err := Nodes(snap)
		if err != nil || len(nodes) != 1 {
			t.Fatalf("nodes %+v, %v", nodes, err)
		}
		n := nodes[0]
		if n.Number != three.Number() || n.Name != "three" || !slices.Equal(n.Taken, []string{"one", "two"}) || time.Since(n.Beat) > 5*time.Second {
			t.Errorf("the only node is %+v", n)
		}
	})
}

// TestLeave: what is left of a node that leaves is taken over at once; a node alone takes over what those before it left.
func TestLeave(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store) {
		one := join(t, st, "one")
		if _, err := one.mail(t); err != nil {
			t.Fatal(err)
		}
		one.leave(t)
		if one.Alive() {
			t.Error("a node that has left is alive")
		}
		two := join(t, st, "two")
		defer two.leave(t)
		began := time.Now()
		for !two.Holds(one.Number()) {
			if time.Sleep(100 * time.Millisecond); time.Since(began) > 5*time.Second {
				t.Fatal("what a node left is not taken over within 5 s")
			}
		}
		select {
		case <-two.Changed():
		default:
			t.Error("nobody is told of the change")
		}
	})
}

// TestStoreAway: when the store was away from all nodes, none is taken for dead, and all go on.
func TestStoreAway(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store) {
		nodes := []node{join(t, st, "one"), join(t, st, "two"), join(t, st, "three")}
		numbers := map[int]uint16{}
		for i, n := range nodes {
			defer n.leave(t)
			numbers[i] = n.Number()
		}
		time.Sleep(time.Minute)
		for _, n := range nodes {
			n.Cut.Store(true)
		}
		time.Sleep(5 * time.Minute)
		for _, n := range nodes {
			if n.Alive() {
				t.Error("a node works on without its store")
			}
		}
		for i, n := range nodes { // they do not find it again at the same time
			n.Cut.Store(false)
			time.Sleep(time.Duration(i) * 20 * time.Second)
		}
		time.Sleep(time.Minute)
		for i, n := range nodes {
			if n.Number() != numbers[i] || !n.Alive() || n.act(n.Number()) != nil {
				t.Errorf("node %d is node %d now, alive: %v", numbers[i], n.Number(), n.Alive())
			}
		}
	})
}

// TestCutOff: a node that only does not reach the store stops in time, is replaced, and comes back as another.
func TestCutOff(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store) {
		one, two := join(t, st, "one"), join(t, st, "two")
		defer two.leave(t)
		if _, err := one.mail(t); err != nil {
			t.Fatal(err)
		}
		slice := one.Number()
		one.Cut.Store(true)
		for !two.Holds(slice) {
			time.Sleep(time.Millisecond)
		}
		if one.Alive() {
			t.Error("two nodes work on one slice")
		}
		one.Cut.Store(false)
		time.Sleep(10 * time.Second)
		defer one.leave(t)
		if one.Number() == slice || !one.Alive() {
			t.Errorf("it is node %d, alive: %v", one.Number(), one.Alive())
		}
	})
}

// TestCutOffAgain: a node that learns that it was taken for dead, and then loses the store again before it is another one, becomes that
// later, also when nothing is left of what it was.
func TestCutOffAgain(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store) {
		one, two := join(t, st, "one"), join(t, st, "two")
		defer one.leave(t)
		defer two.leave(t)
		one.Cut.Store(true)
		time.Sleep(time.Minute)
		one.Tear.Store(true)
		one.Cut.Store(false)
		for !one.Cut.Load() {
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		one.Cut.Store(false)
		time.Sleep(10 * time.Second)
		if _, err := one.mail(t); err != nil || !one.Alive() {
			t.Errorf("node %d is alive: %v; it takes mail: %v", one.Number(), one.Alive(), err)
		}
	})
}

// TestOrphans: a slice without any node, as a copied store may have, finds one.
func TestOrphans(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store) {
		var b store.Batch
		for _, slice := range []uint16{0, 7, 1023} {
			b.Put(keys.Due(time.Now(), mail.NewIDs(slice).New(time.Now())), nil)
		}
		b.Put(append(keys.DueAll(), 0), nil) // names no slice
		if _, err := st.Commit(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		if got, err := Slices(st); err != nil || !slices.Equal(got, []uint16{0, 7, 1023}) {
			t.Errorf("slices %v, %v", got, err)
		}
		one, two := join(t, st, "one"), join(t, st, "two")
		defer one.leave(t)
		defer two.leave(t)
		time.Sleep(30 * time.Second)
		for _, slice := range []uint16{0, 7, 1023} {
			if n := holders(slice, one, two); n != 1 {
				t.Errorf("slice %d has %d nodes", slice, n)
			}
		}
	})
}

// TestChaos: nodes die, freeze, wake up and are cut off at random; never do two hold a slice and have time left for it.
func TestChaos(t *testing.T) {
	for seed := range int64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { testChaos(t, seed) })
	}
}
