package bodies_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"waybill/internal/store"
	"waybill/internal/store/bodies"
	"waybill/internal/store/faultfs"
	"waybill/internal/store/keys"
)

var errStopped = errors.New("the process has stopped")

// life is that of a process, which ends after a number of steps: changes of the store, barriers, and requests to the object store.
type life struct {
	mu    sync.Mutex // one step after the other
	left  int
	after bool // the last step is made, and its answer never comes
	over  bool
}

// step makes one, if there is time.
func (l *life) step(do func() error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return errStopped
	}
	if l.left--; l.left > 0 {
		return do()
	}
	l.over = true
	if l.after {
		_ = do()
	}
	return errStopped
}

type mortalStore struct {
	store.Store
	life *life
}

func (m mortalStore) Commit(ctx context.Context, b *store.Batch) (r store.Result, err error) {
	err = m.life.step(func() error {
		r, err = m.Store.Commit(ctx, b)
		return err
	})
	return r, err
}

func (m mortalStore) Barrier(ctx context.Context) error {
	return m.life.step(func() error { return m.Store.Barrier(ctx) })
}

type mortalObjects struct {
	bodies.Objects
	life *life
}

func (m mortalObjects) Put(ctx context.Context, key string, data []byte) error {
	return m.life.step(func() error { return m.Objects.Put(ctx, key, data) })
}

func (m mortalObjects) Create(ctx context.Context, key string, data []byte) (sure bool, err error) {
	err = m.life.step(func() error {
		sure, err = m.Objects.Create(ctx, key, data)
		return err
	})
	return sure, err
}

func (m mortalObjects) Delete(ctx context.Context, key string) error {
	return m.life.step(func() error { return m.Objects.Delete(ctx, key) })
}

// story is the life of a body, as far as its process came.
type story struct {
	body      bodies.Body
	committed bool // and said so
	releasing bool
}

// tell takes a message in, hands its body on, lets it go, and sweeps; another draft comes to nothing meanwhile.
func (x *story) tell(st store.Store, s *bodies.Bodies, content []byte) error {
	ctx := context.Background()
	lost := s.NewDraft()
	defer lost.Discard()
	if _, err := lost.Write(content); err != nil {
		return err
	}
	d := s.NewDraft()
	defer d.Discard()
	if _, err := d.Write(content); err != nil {
		return err
	}
	var b store.Batch
	var err error
	if x.body, err = d.Finish(&b, []byte("prefix"), "spool"); err != nil {
		return err
	}
	if _, err := st.Commit(ctx, &b); err != nil {
		return err
	}
	x.committed = true
	d.Committed()
	lost.Discard()
	if err := refer(st, s, bodies.Reference{Body: x.body.ID, From: "spool", To: "mail"}); err != nil {
		return err
	}
	x.releasing = true
	for _, h := range []bodies.Holder{"spool", "mail"} {
		b = store.Batch{Lazy: true}
		s.Release(&b, x.body, h)
		if _, err := st.Commit(ctx, &b); err != nil {
			return err
		}
	}
	_, err = s.Sweep(ctx, time.Hour)
	return err
}

// TestStopAfterEveryStep ends the process before and after each of its steps, and the machine with all that the disk had not got yet, or without: what
// was acknowledged is whole, unless it was let go; and what nobody refers to is gone from both stores after the next process's first sweep.
func TestStopAfterEveryStep(t *testing.T) {
	t.Parallel()
	content := octets(headSize + objectSize + 50_000)
	steps := 1
	for whole := false; !whole; steps++ {
		for variant := range 4 {
			disk := faultfs.NewDisk()
			st, bucket := open(t, disk), newBucket(t)
			l := &life{left: steps, after: variant&1 == 1}
			mortal := mortalStore{st, l}
			var x story
			err := x.tell(mortal, bodies.With(bodies.Options{Store: mortal, Objects: mortalObjects{bucket, l}}), content)
			if whole = err == nil; err != nil && !errors.Is(err, errStopped) {
				t.Fatalf("step %d: %v", steps, err)
			}
			crashed := disk.Crash(100*(variant>>1), uint64(steps))
			st.Close()
			what := fmt.Sprintf("step %d, variant %d, after %v", steps, variant, x)
			st = open(t, crashed)
			next := bodies.With(bodies.Options{Store: st, Objects: bucket})
			sweep(t, next)
			held := count(t, st, keys.Refs(x.body.ID)) > 0
			if x.committed && !x.releasing && !held {
				t.Fatalf("%s: what was acknowledged is lost", what)
			}
			left := objectsIn(t, bucket)
			if held {
				checkWhole(t, next, x.body, content)
				if len(left) != 2 {
					t.Errorf("%s: objects %v, want the two of the body", what, left)
				}
			} else if len(left) > 0 || count(t, st, []byte("body/")) > 0 {
				t.Errorf("%s: left: %v", what, left)
			}
			if n := count(t, st, keys.Drafts()) + count(t, st, keys.Sweeps()); n > 0 {
				t.Errorf("%s: %d marks are left", what, n)
			}
			st.Close()
		}
	}
	if steps < 20 {
		t.Errorf("only %d steps", steps)
	}
}
