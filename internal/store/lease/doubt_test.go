package lease

import (
	"context"
	"errors"
	"testing"
	"time"

	"waybill/internal/store"
	"waybill/internal/store/keys"
)

// unsure is a way to the store on which what became of a batch is not learnt.
type unsure struct {
	store.Store
	lose    func(b *store.Batch) bool // the answer to this one
	refuse  func(b *store.Batch) bool // this one is not applied
	refused time.Duration             // after that time
}

func (u *unsure) Commit(ctx context.Context, b *store.Batch) (store.Result, error) {
	if u.refuse != nil && u.refuse(b) {
		time.Sleep(u.refused)
		return store.Result{}, store.ErrUnavailable
	}
	r, err := u.Store.Commit(ctx, b)
	if err == nil && u.lose != nil && u.lose(b) {
		return store.Result{}, store.ErrUnknown
	}
	return r, err
}

// once says yes to the first batch that fits.
func once(fits func(b *store.Batch) bool) func(b *store.Batch) bool {
	done := false
	return func(b *store.Batch) bool {
		yes := !done && fits(b)
		done = done || yes
		return yes
	}
}

// takes says whether a batch takes over what a dead node had.
func takes(b *store.Batch) bool { return len(b.Deletes) == 1 && string(b.Deletes[0][:5]) == "beat/" }

func joinBy(t *testing.T, o Options) *Lease {
	t.Helper()
	l, err := Join(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestTakeoverUnknown: a node that took something over without learning it works on it all the same.
func TestTakeoverUnknown(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store) {
		one := join(t, st, "one")
		if _, err := one.mail(t); err != nil {
			t.Fatal(err)
		}
		two := joinBy(t, Options{Store: &unsure{Store: st, lose: once(takes)}})
		one.freeze()
		time.Sleep(25 * time.Second)
		if !two.Holds(one.Number()) {
			t.Error("the node does not know what it took over")
		}
		if err := two.Leave(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestRefusedTakeover: one that was refused after a long wait is tried again soon.
func TestRefusedTakeover(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store) {
		one := join(t, st, "one")
		if _, err := one.mail(t); err != nil {
			t.Fatal(err)
		}
		two := joinBy(t, Options{Store: &unsure{Store: st, refuse: once(takes), refused: 8 * time.Second}})
		time.Sleep(time.Minute)
		one.freeze()
		time.Sleep(29 * time.Second)
		if !two.Holds(one.Number()) {
			t.Error("30 s after its death nobody has what the node had")
		}
		if err := two.Leave(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestDropUnknown: a slice that ended without the node's learning it is none of its any more, also when the node leaves.
func TestDropUnknown(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store) {
		one := join(t, st, "one")
		key, err := one.mail(t)
		if err != nil {
			t.Fatal(err)
		}
		slice := one.Number()
		ends := func(b *store.Batch) bool {
			return len(b.Deletes) == 1 && string(b.Deletes[0]) == string(keys.Node(slice))
		}
		two := joinBy(t, Options{Store: &unsure{Store: st, lose: once(ends)}})
		one.leave(t)
		time.Sleep(20 * time.Second)
		if !two.Holds(slice) {
			t.Fatal("the slice was not taken over")
		}
		if _, err := st.Commit(t.Context(), &store.Batch{Deletes: [][]byte{key}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if two.Holds(slice) {
			t.Error("the node holds a slice that has ended")
		}
		if err := two.Leave(t.Context()); err != nil {
			t.Error(err)
		}
		if _, beat := beatOf(t, st, two.Number()); beat {
			t.Error("the node did not leave")
		}
	})
}

func beatOf(t *testing.T, st store.Store, number uint16) (value []byte, is bool) {
	t.Helper()
	snap, err := st.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	value, _, err = snap.Get(keys.Beat(number))
	return value, err == nil
}

// TestPart: nobody becomes a node of a store that is only a part of another one.
func TestPart(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store) {
		if _, err := st.Commit(t.Context(), &store.Batch{Puts: []store.Put{{Key: keys.Copying()}}}); err != nil {
			t.Fatal(err)
		}
		if l, err := Join(t.Context(), Options{Store: st}); !errors.Is(err, ErrPart) {
			t.Errorf("joined as %v: %v", l, err)
		}
	})
}

// TestGuest: a command that is a node for a while takes nothing over, neither from the dead nor from who leaves.
func TestGuest(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store) {
		one, two := join(t, st, "one"), join(t, st, "two")
		for _, n := range []node{one, two} {
			if _, err := n.mail(t); err != nil {
				t.Fatal(err)
			}
		}
		guest := joinBy(t, Options{Store: st, Guest: true})
		one.freeze()
		two.leave(t)
		time.Sleep(5 * time.Minute)
		if len(guest.Slices()) != 1 || !guest.Alive() {
			t.Errorf("a guest has slices %v, alive: %t", guest.Slices(), guest.Alive())
		}
		if err := guest.Leave(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestTerm: it ends when the slice is another's, and with the time of the lease, and does not come again with the slice.
func TestTerm(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store) {
		one, two := join(t, st, "one"), join(t, st, "two")
		if _, err := one.mail(t); err != nil {
			t.Fatal(err)
		}
		slice := one.Number()
		own, others := one.Term(slice), two.Term(slice)
		time.Sleep(time.Minute)
		if !own() || others() {
			t.Errorf("the holder's term: %t, another's: %t", own(), others())
		}
		one.Cut.Store(true)
		time.Sleep(11 * time.Second)
		if own() {
			t.Error("the term is longer than the lease")
		}
		time.Sleep(time.Minute)
		taken := two.Term(slice)
		one.Cut.Store(false)
		time.Sleep(time.Minute)
		if own() || !taken() {
			t.Errorf("after the takeover: the old one's term %t, the new one's %t", own(), taken())
		}
		two.freeze() // and back again
		time.Sleep(time.Minute)
		if again := one.Term(slice); own() || !again() {
			t.Errorf("when it is back: the term of before %t, a new one %t", own(), again())
		}
		one.leave(t)
	})
}
