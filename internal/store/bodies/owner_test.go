package bodies_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"waybill/internal/store"
	"waybill/internal/store/bodies"
	"waybill/internal/store/keys"
	"waybill/internal/store/objects"
)

// late does something before the place is claimed, after it was found to be nobody's.
type late struct {
	bodies.Objects
	before func()
}

func (l late) Create(ctx context.Context, key string, data []byte) (bool, error) {
	l.before()
	return l.Objects.Create(ctx, key, data)
}

// TestClaimAtOnce: of two stores that find one place nobody's, one has it, and the other one knows.
func TestClaimAtOnce(t *testing.T) {
	t.Parallel()
	st, bucket := open(t, vfs.NewMem()), newBucket(t)
	one := bodies.With(bodies.Options{Store: st, Objects: bucket})
	two := bodies.With(bodies.Options{Store: open(t, vfs.NewMem()), Objects: late{bucket, func() {
		if err := one.Claim(t.Context()); err != nil {
			t.Error(err)
		}
	}}})
	if err := two.Claim(t.Context()); !errors.Is(err, bodies.ErrForeign) {
		t.Error("the second store:", err)
	}
	if n, err := one.Collect(t.Context(), time.Hour); n != 0 || err != nil {
		t.Error("the first store:", err)
	}
	if n := count(t, st, keys.Claiming()); n != 0 {
		t.Error("the first store does not believe that it has the place")
	}
}

// blind is a place that reads as nobody's until its owner is written: to a process that looked before others wrote.
type blind struct {
	*memory
	looked atomic.Bool
}

func (b *blind) Create(ctx context.Context, key string, data []byte) (bool, error) {
	b.looked.Store(true)
	return b.memory.Create(ctx, key, data)
}

func (b *blind) Get(ctx context.Context, key string, into []byte) error {
	if !b.looked.Load() {
		return objects.ErrNotFound
	}
	return b.memory.Get(ctx, key, into)
}

// settling is how long a claim of a place in a memory takes.
const settling = 75 * time.Second

// claims expects a claim to end so; nil is success.
func claims(t *testing.T, who string, s *bodies.Bodies, want error) {
	t.Helper()
	err := s.Claim(t.Context())
	if !errors.Is(err, want) || want != nil && !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("%s: %v, want %v", who, err, want)
	}
}

// TestClaimUnsure: where the object store does not know the condition, nobody believes that the place is its own before all others have written who may:
// neither who wrote the name, nor another process of the same store that finds it there.
func TestClaimUnsure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		place, one, two := &memory{}, open(t, vfs.NewMem()), open(t, vfs.NewMem())
		first := bodies.With(bodies.Options{Store: one, Objects: &blind{memory: place}, Shared: true})
		winner := bodies.With(bodies.Options{Store: two, Objects: &blind{memory: place}})
		claims(t, "the first store", first, bodies.ErrUnsettled)
		again := bodies.With(bodies.Options{Store: one, Objects: place, Shared: true})
		claims(t, "the first store's second node", again, bodies.ErrUnsettled)
		time.Sleep(settling / 2)
		claims(t, "the second store", winner, bodies.ErrUnsettled) // it writes over the first one
		time.Sleep(settling / 2)
		claims(t, "the first store, later", first, bodies.ErrForeign)
		claims(t, "its second node, later", again, bodies.ErrForeign)
		time.Sleep(settling/2 - 1)
		claims(t, "the second store, a moment early", winner, bodies.ErrUnsettled)
		time.Sleep(time.Nanosecond)
		claims(t, "the second store, in time", winner, nil)
		enter(t, two, winner, nil, octets(200_000), "h")
	})
}

// stalled is a store that takes its time for the first batch which changes a key.
type stalled struct {
	store.Store
	key  []byte
	time time.Duration
}

func (s *stalled) Commit(ctx context.Context, b *store.Batch) (store.Result, error) {
	if len(b.Puts) > 0 && string(b.Puts[0].Key) == string(s.key) {
		time.Sleep(s.time)
		s.time = 0
	}
	return s.Store.Commit(ctx, b)
}

// TestClaimStalled: a store that found a place nobody's, and was slow to note that, does not take it from one that has it by then.
func TestClaimStalled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		place := &memory{}
		one := bodies.With(bodies.Options{Store: open(t, vfs.NewMem()), Objects: place})
		slow := &stalled{Store: open(t, vfs.NewMem()), key: keys.Claiming(), time: 2 * settling}
		two := bodies.With(bodies.Options{Store: slow, Objects: place})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			claims(t, "the slow store", two, bodies.ErrForeign)
		}()
		synctest.Wait() // it has looked
		claims(t, "the other one", one, bodies.ErrUnsettled)
		time.Sleep(settling)
		claims(t, "the other one, in time", one, nil)
		<-ended
		claims(t, "the slow store, later", two, bodies.ErrForeign)
		claims(t, "the other one, later", one, nil)
	})
}

// slow is a place that answers late.
type slow struct {
	*memory
	get, create time.Duration
}

func (s *slow) Get(ctx context.Context, key string, into []byte) error {
	err := s.memory.Get(ctx, key, into)
	time.Sleep(s.get)
	return err
}

func (s *slow) Create(ctx context.Context, key string, data []byte) (bool, error) {
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case <-time.After(s.create):
		return s.memory.Create(ctx, key, data)
	}
}

// TestClaimSlowly: who is answered so late that another store may have the place by now does not write.
func TestClaimSlowly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		place := &memory{}
		one := bodies.With(bodies.Options{Store: open(t, vfs.NewMem()), Objects: place})
		two := bodies.With(bodies.Options{Store: open(t, vfs.NewMem()), Objects: &slow{place, 19 * time.Second, 59 * time.Second}})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			claims(t, "the slow one", two, objects.ErrUnavailable)
		}()
		time.Sleep(20 * time.Second) // it has looked twice, the second time just now
		claims(t, "the other one", one, bodies.ErrUnsettled)
		time.Sleep(settling)
		claims(t, "the other one, in time", one, nil)
		<-ended
		claims(t, "the slow one, later", two, bodies.ErrForeign)
	})
}

// TestClaimGoesOn: a process that finds its store's name, and not that its claim was ended, waits as long as one that writes it; once one of them has
// waited the others need not, nor later ones, until the store gets another place.
func TestClaimGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := open(t, vfs.NewMem())
		node := func(place bodies.Objects) *bodies.Bodies {
			return bodies.With(bodies.Options{Store: st, Objects: place, Shared: true})
		}
		for _, place := range []*memory{{}, {}} {
			claims(t, "a node that ends at once", node(place), bodies.ErrUnsettled)
			time.Sleep(settling) // it does not come back
			restarted, late := node(place), node(place)
			claims(t, "the next one", restarted, bodies.ErrUnsettled)
			time.Sleep(settling - 1)
			claims(t, "the next one, a moment early", restarted, bodies.ErrUnsettled)
			claims(t, "a late one", late, bodies.ErrUnsettled)
			time.Sleep(time.Nanosecond)
			claims(t, "the next one, in time", restarted, nil)
			claims(t, "the late one, after it", late, nil)
			claims(t, "a new one", node(place), nil)
		}
	})
}

// TestCollectAsksWhose: from a place that has lost its owner, or has become another store's, nothing is deleted.
func TestCollectAsksWhose(t *testing.T) {
	t.Parallel()
	st, bucket := open(t, vfs.NewMem()), newBucket(t)
	s := bodies.With(bodies.Options{Store: st, Objects: bucket})
	enter(t, st, s, nil, octets(200_000), "h")
	mail := bodies.ID{1}.String() + "/00000001" // of another store
	if err := bucket.Put(t.Context(), mail, []byte("x")); err != nil {
		t.Fatal(err)
	}
	refused := func(says string) {
		t.Helper()
		if n, err := s.Collect(t.Context(), -time.Hour); n != 0 || err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%d were collected, %v, want %q", n, err, says)
		}
		if n := len(objectsIn(t, bucket)); n != 2 {
			t.Errorf("%d objects are left", n)
		}
	}
	if err := bucket.Delete(t.Context(), "store"); err != nil {
		t.Fatal(err)
	}
	refused(`the object "store", which says whose the place is that bodies names, is gone`)
	if err := bodies.With(bodies.Options{Store: open(t, vfs.NewMem()), Objects: bucket}).Claim(t.Context()); err != nil {
		t.Fatal(err)
	}
	refused("belongs to another store")
	d := s.NewDraft()
	defer d.Discard()
	_, err := d.Write(octets(200_000))
	if err == nil {
		_, err = d.Finish(&store.Batch{}, nil, "h")
	}
	if !errors.Is(err, bodies.ErrForeign) || !errors.Is(err, store.ErrUnavailable) {
		t.Error("mail goes on to a place that is another store's:", err)
	}
}
