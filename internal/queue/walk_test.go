package queue

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"waybill/internal/mail"
	"waybill/internal/spool"
	"waybill/internal/store"
	"waybill/internal/store/bodies"
	"waybill/internal/store/lease"
)

// interrupted is a store in which something happens just after a snapshot was taken: what is read is from before.
type interrupted struct {
	*flaky
	by atomic.Pointer[func()] // once
}

func (s *interrupted) Snapshot() (store.Snapshot, error) {
	snap, err := s.flaky.Snapshot()
	if f := s.by.Swap(nil); f != nil {
		(*f)()
	}
	return snap, err
}

func (s *interrupted) with(f func()) { s.by.Store(&f) }

func newInterrupted(t *testing.T) (*rig, *interrupted) {
	r := newRig(t, vfs.NewMem())
	st := &interrupted{flaky: r.store}
	r.spool = spool.New(st, bodies.New(st), lease.Alone(1))
	r.options.Store, r.options.Spool = st, r.spool
	return r, st
}

// A message that is released while a page of the index is being read has its turn at once, not with the walk through everything.
func TestReleaseWhileAPageIsRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, st := newInterrupted(t)
		r.wishes = func(i *spool.Item) { i.Due = spool.Held() }
		id := r.accept("me@a.test", "you@b.test").ID
		r.start()
		defer r.close()
		time.Sleep(time.Minute)
		goOn, done := make(chan struct{}), make(chan struct{})
		r.store.mu.Lock()
		r.store.before = func(*store.Batch) error { <-goOn; return nil }
		r.store.mu.Unlock()
		go func() {
			if err := r.queue.Manage(context.Background(), id, spool.Release); err != nil {
				t.Error(err)
			}
			close(done)
		}()
		synctest.Wait()
		time.Sleep(time.Millisecond)
		st.with(func() { close(goOn); <-done })
		r.queue.wantScan(time.Now())
		time.Sleep(time.Second)
		synctest.Wait()
		if r.load(id) != nil {
			t.Error("the message was not attempted")
		}
	})
}

// What comes true before a walk from the beginning is asked for is seen by it, though a page was being read.
func TestStartOverWhileAPageIsRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, st := newInterrupted(t)
		q := New(r.options)
		q.walkedAll = time.Now()
		time.Sleep(time.Second)
		var id mail.ID
		r.wishes = func(i *spool.Item) { i.Due = i.Due.Add(-500 * time.Millisecond) }
		st.with(func() {
			id = r.accept("", "you@b.test").ID
			q.startOver(time.Now())
		})
		q.scan(t.Context())
		q.scan(t.Context())
		if q.active[id] == nil {
			t.Error("the message was not seen")
		}
		if err := r.store.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A message that is held when a scan has read it already is not attempted.
func TestHoldWhileAScanHasIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, st := newInterrupted(t)
		id := r.accept("me@a.test", "you@b.test").ID
		r.remote.hold = func(context.Context, spool.Attempt) { time.Sleep(time.Second) }
		r.options.PerHop = 1
		r.accept("me@a.test", "first@b.test") // it may have the only place
		r.queue = New(r.options)
		held := make(chan error, 1)
		var hold func()
		hold = func() {
			r.queue.mu.Lock()
			e := r.queue.active[id]
			r.queue.mu.Unlock()
			if e == nil || !e.reserved {
				st.with(hold)
				return
			}
			go func() { held <- r.queue.Manage(context.Background(), id, spool.Hold) }()
			time.Sleep(time.Millisecond) // it is committed, and the scan goes on with what it read
		}
		st.with(hold)
		if err := r.queue.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		defer r.close()
		time.Sleep(time.Minute)
		if err := <-held; err != nil {
			t.Error(err)
		}
		if item := r.load(id); item == nil || !item.IsHeld() {
			t.Errorf("%d attempts at a held message", r.remote.tried("you@b.test"))
		}
	})
}

// However much is found at the start, memory that is full in between loses sight of nothing.
func TestBacklogBeyondMemory(t *testing.T) {
	var ids []mail.ID
	bubble(t, func(r *rig) {
		r.options.MaxActive = 4500
		r.local.hold = func(context.Context, spool.Attempt) { time.Sleep(10 * time.Millisecond) }
		for range frontStep*scanLimit + 2000 {
			ids = append(ids, r.accept("me@a.test", "you@a.test").ID)
		}
	}, func(t *testing.T, r *rig) {
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		left := 0
		for _, id := range ids {
			if r.load(id) != nil {
				left++
			}
		}
		if left > 0 {
			t.Errorf("%d of %d messages wait for nothing", left, len(ids))
		}
	})
}

// What is in line for a next hop has its turn when memory is crowded no more, although nothing else comes for that.
func TestLineAfterACrowd(t *testing.T) {
	bubble(t, func(r *rig) {
		r.options.MaxActive, r.options.HopRoom = 16, 2
		r.local.hold = func(context.Context, spool.Attempt) { time.Sleep(time.Minute) }
		r.remote.hold = func(context.Context, spool.Attempt) { time.Sleep(10 * time.Second) }
	}, func(t *testing.T, r *rig) {
		var ids []mail.ID
		for range 3 {
			ids = append(ids, r.send("me@a.test", "you@h.test"))
		}
		for range 11 {
			r.send("me@a.test", "you@a.test")
		}
		synctest.Wait()
		time.Sleep(time.Second)
		for range 4 { // while h.test works off what it has
			r.send("me@a.test", "you@a.test")
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		for i, id := range ids {
			if r.load(id) != nil {
				t.Errorf("message %d is still there", i)
			}
		}
	})
}

// A walk for a next hop whose line new mail has filled meanwhile leaves behind what it has not seen.
func TestLineFilledDuringAWalk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, vfs.NewMem())
		r.options.HopRoom, r.options.LineRoom = 2, 2
		q := New(r.options)
		for range 300 {
			r.accept("me@a.test", "you@other.test")
			time.Sleep(time.Microsecond)
		}
		old := r.accept("me@a.test", "you@h.test")
		time.Sleep(time.Second)
		now := time.Now()
		q.front.at = behind(now)
		h := q.remote.hop("h.test")
		h.sought = true
		q.back, q.walkedAll = []*walk{{at: spool.DueEntry{Due: now.Add(-time.Hour)}, until: now, hop: h}}, now
		time.Sleep(time.Second)
		for range 3 { // two into line, the third is left behind it
			q.Enqueue(r.accept("me@a.test", "you@h.test"))
		}
		for range 10 {
			q.scan(t.Context())
			q.refill(t.Context())
		}
		_, inLine := q.left[old.ID]
		if q.active[old.ID] == nil && !inLine && !(h.more && !before(&entry{id: old.ID, item: old}).Due.Before(h.from.Due)) {
			t.Errorf("nobody knows of the message: more %t, from %v", h.more, h.from)
		}
		if err := r.store.Close(); err != nil {
			t.Error(err)
		}
	})
}
