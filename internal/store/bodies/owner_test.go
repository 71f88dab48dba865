package bodies_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"waybill/internal/store"
	"waybill/internal/store/bodies"
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
	bucket := newBucket(t)
	one := bodies.With(bodies.Options{Store: open(t, vfs.NewMem()), Objects: bucket})
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
}

// ignorant is an object store that writes whatever the condition; what blind callers read of the owner is that there is none.
type ignorant struct {
	bodies.Objects
	blind *atomic.Bool
}

func (i ignorant) Create(ctx context.Context, key string, data []byte) (bool, error) {
	i.blind.Store(false)
	return false, i.Put(ctx, key, data)
}

func (ignorant) CallTime() time.Duration { return 400 * time.Millisecond }

func (i ignorant) Get(ctx context.Context, key string, into []byte) error {
	if i.blind.Load() {
		return objects.ErrNotFound
	}
	return i.Objects.Get(ctx, key, into)
}

// TestClaimUnsure: where the object store does not know the condition, nobody believes that the place is its own before all others have written who may.
func TestClaimUnsure(t *testing.T) {
	t.Parallel()
	bucket := newBucket(t)
	var stores []store.Store
	var all []*bodies.Bodies
	for range 2 {
		blind := &atomic.Bool{}
		blind.Store(true)
		st := open(t, vfs.NewMem())
		stores = append(stores, st)
		all = append(all, bodies.With(bodies.Options{Store: st, Objects: ignorant{bucket, blind}}))
	}
	for _, s := range all { // the second one writes over the first one
		if err := s.Claim(t.Context()); !errors.Is(err, bodies.ErrUnsettled) || !errors.Is(err, store.ErrUnavailable) {
			t.Error("at once:", err)
		}
	}
	settled := func(s *bodies.Bodies) (err error) {
		for until := time.Now().Add(20 * time.Second); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
			if err = s.Claim(t.Context()); !errors.Is(err, bodies.ErrUnsettled) {
				break
			}
		}
		return err
	}
	if err := settled(all[0]); !errors.Is(err, bodies.ErrForeign) {
		t.Error("the first store:", err)
	}
	if err := settled(all[1]); err != nil {
		t.Error("the second store:", err)
	}
	enter(t, stores[1], all[1], nil, octets(200_000), "h")
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
