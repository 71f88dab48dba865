package bodies_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"waybill/internal/store"
	"waybill/internal/store/bodies"
	"waybill/internal/store/faultfs"
	"waybill/internal/store/keys"
)

// forget keeps what comes next from the log. Else some of it may be there though nobody waited for it, and a store that comes back finds it.
func forget(disk *faultfs.Disk) {
	disk.Before(func(o faultfs.Op) error {
		if o.Log() {
			return faultfs.ErrSkip
		}
		return nil
	})
}

// fail makes the store lose what was to be forgotten, and waits until it is back.
func fail(t *testing.T, st store.Store, disk *faultfs.Disk) {
	t.Helper()
	disk.Before(func(o faultfs.Op) error {
		if o.Log() {
			return faultfs.ErrInjected
		}
		return nil
	})
	var b store.Batch
	b.Put([]byte("fails"), nil)
	if _, err := st.Commit(context.Background(), &b); err == nil {
		t.Fatal("a commit on a failing disk succeeded")
	}
	disk.Before(nil)
	for deadline := time.Now().Add(20 * time.Second); st.Healthy() != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the store did not come back:", st.Healthy())
		}
	}
}

// TestDraftThatLostChunks: the store failed and came back while a message came in; what it lost must not be answered
// for.
func TestDraftThatLostChunks(t *testing.T) {
	t.Parallel()
	disk := faultfs.NewDisk()
	st := open(t, disk)
	s := bodies.New(st)
	d := s.NewDraft()
	defer d.Discard()
	write(t, d, octets(400_000), 1<<20)
	if err := st.Barrier(t.Context()); err != nil { // the chunks so far are safe, the next are not
		t.Fatal(err)
	}
	forget(disk)
	write(t, d, octets(600_000), 1<<20)
	fail(t, st, disk)
	var b store.Batch
	body, err := d.Finish(&b, nil, "h")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Commit(t.Context(), &b); err == nil {
		if r, err := s.Open(t.Context(), body); err == nil {
			_, err = io.Copy(io.Discard, r)
			t.Fatalf("a draft without all its chunks became a body; reading it: %v", err)
		}
	} else if !errors.Is(err, store.ErrConflict) {
		t.Errorf("finish of a draft that lost chunks: %v, want ErrConflict", err)
	}
}

// TestSweepAfterLostRelease: the sweeper saw a release that then was lost; the body must stay.
func TestSweepAfterLostRelease(t *testing.T) {
	t.Parallel()
	disk := faultfs.NewDisk()
	st := open(t, disk)
	content := octets(3000)
	plain := bodies.New(st)
	body := enter(t, st, plain, nil, content, "mail")
	if err := st.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	forget(disk)
	var b store.Batch
	b.Lazy = true
	plain.Release(&b, body, "mail")
	commit(t, st, &b)
	// Between the sweeper's look and its batch the store fails.
	s := bodies.New(&failsBeforeCommit{Store: st, fail: func() { fail(t, st, disk) }})
	if n, err := s.Sweep(t.Context(), time.Hour); err != nil || n != 0 {
		t.Errorf("sweep: %d, %v", n, err)
	}
	if n := count(t, st, keys.Refs(body.ID)); n != 1 {
		t.Fatalf("%d references; the release was not lost and the test tests nothing", n)
	}
	checkContent(t, plain, body, content)
}

type failsBeforeCommit struct {
	store.Store
	fail func()
	done bool
}

func (f *failsBeforeCommit) Commit(ctx context.Context, b *store.Batch) (store.Result, error) {
	if !f.done {
		f.done = true
		f.fail()
	}
	return f.Store.Commit(ctx, b)
}

// TestCrashLeavesWholeBodies crashes at every step of taking in large and small messages: a body that has a
// reference is whole, and one that was committed is there.
func TestCrashLeavesWholeBodies(t *testing.T) {
	t.Parallel()
	disk := faultfs.NewDisk()
	st := open(t, disk)
	s := bodies.New(st)
	type crash struct {
		disk *faultfs.Disk
		done int
	}
	var mu sync.Mutex
	var crashes []crash
	done := 0
	disk.After(func(o faultfs.Op) {
		mu.Lock()
		defer mu.Unlock()
		if o.Kind == faultfs.Sync || len(crashes)%3 == 0 {
			crashes = append(crashes, crash{disk.Crash(len(crashes)*29%101, uint64(len(crashes))), done})
		}
	})
	sizes := []int{100, 200_000, 64 << 10, 700_000, 5}
	var all []bodies.Body
	for _, size := range sizes {
		all = append(all, enter(t, st, s, []byte("prefix"), octets(size), "h"))
		mu.Lock()
		done++
		mu.Unlock()
	}
	disk.After(nil)
	mu.Lock()
	defer mu.Unlock()
	if len(crashes) < len(sizes) {
		t.Fatalf("only %d crashes", len(crashes))
	}
	for i, c := range crashes {
		if i > 60 {
			break
		}
		st := open(t, c.disk)
		s := bodies.New(st)
		sweep(t, s)
		for k, body := range all {
			held := count(t, st, keys.Refs(body.ID)) > 0
			if !held && k < c.done {
				t.Fatalf("crash %d: body %d was committed and is not there", i, k)
			}
			if !held && count(t, st, keys.Chunks(body.ID)) > 0 {
				t.Fatalf("crash %d: chunks of body %d are left that nobody holds", i, k)
			}
			if held {
				checkWhole(t, s, body, octets(sizes[k]))
			}
		}
		st.Close()
	}
}

func checkWhole(t *testing.T, s *bodies.Bodies, body bodies.Body, content []byte) {
	t.Helper()
	r, err := s.Open(t.Context(), body)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, append([]byte("prefix"), content...)) {
		t.Fatalf("body of %d octets: %d octets, %v", body.Size, len(got), err)
	}
}
