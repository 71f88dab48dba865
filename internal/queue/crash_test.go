package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"waybill/internal/mail"
	"waybill/internal/spool"
	"waybill/internal/store"
	"waybill/internal/store/faultfs"
)

// ledger is what the world was told: who got a 250 for which message, and which messages a next hop has taken.
type ledger struct {
	mu    sync.Mutex
	acked []mail.ID
	never int // of them, those that end in a DSN
	taken map[mail.ID]bool
}

func (l *ledger) ack(id mail.ID, never bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked = append(l.acked, id)
	if never {
		l.never++
	}
}

func (l *ledger) take(id mail.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taken[id] = true
}

func (l *ledger) copy() *ledger {
	l.mu.Lock()
	defer l.mu.Unlock()
	return &ledger{acked: l.acked[:len(l.acked):len(l.acked)], never: l.never, taken: maps.Clone(l.taken)}
}

// crash is a disk as it was found, and what the world had been told at the latest.
type crash struct {
	disk *faultfs.Disk
	told *ledger
}

const (
	crashWriters = 6
	crashEach    = 25 // messages of each writer
	crashMost    = 80
)

// crashes runs a queue under load and returns what the disk would have been at many moments.
func crashes(t *testing.T) []crash {
	disk := faultfs.NewDisk()
	told := &ledger{taken: map[mail.ID]bool{}}
	r := newRig(t, disk)
	r.crashing(told)
	r.start()
	var found []crash
	var mu sync.Mutex
	disk.After(func(o faultfs.Op) {
		mu.Lock()
		defer mu.Unlock()
		if n := len(found); n < crashMost && (o.Kind == faultfs.Sync || disk.Steps()%9 == 0) {
			before := told.copy() // whoever is told while the disk is looked at is not demanded
			found = append(found, crash{disk.Crash([]int{0, 30, 70}[n%3], uint64(n)), before})
		}
	})
	var writers sync.WaitGroup
	for w := range crashWriters {
		writers.Go(func() {
			for i := range crashEach {
				never := i%5 == 4
				to := []string{"you@a.test", "you@b.test"}
				if never {
					to = append(to, "never@b.test")
				}
				item := r.accept("me@a.test", to...)
				told.ack(item.ID, never)
				r.queue.Enqueue(item)
				if i%7 == w {
					r.queue.startOver(time.Now())
				}
			}
		})
	}
	writers.Wait()
	synctest.Wait()
	disk.After(nil)
	r.close()
	return found
}

// crashing makes the rig's next hop write down what it takes.
func (r *rig) crashing(told *ledger) {
	r.remote.answer = func(a spool.Attempt, i int) mail.Status {
		status := byLocalPart(a, i)
		if status.Success() {
			told.take(a.Item.ID)
		}
		return status
	}
}

// check runs a queue on the disk as it was found.
func (c crash) check(t *testing.T, name string) {
	r := newRig(t, c.disk)
	r.crashing(c.told)
	r.start()
	defer r.close()
	synctest.Wait()
	for _, id := range c.told.acked {
		if item := r.load(id); item != nil {
			t.Errorf("%s: %s is still in custody: %+v", name, id, item)
		}
		if filed := r.filed(id); len(filed) != 1 {
			t.Errorf("%s: %s got its 250 and is filed for %q", name, id, filed)
		}
		if !c.told.taken[id] {
			t.Errorf("%s: %s got its 250 and its next hop never had it", name, id)
		}
	}
	if n := r.notified(); n < c.told.never {
		t.Errorf("%s: %d messages failed for one recipient, %d DSNs were filed", name, c.told.never, n)
	}
}

// notified counts the DSNs filed: nobody else writes to me@a.test.
func (r *rig) notified() (n int) {
	snap, err := r.store.Snapshot()
	if err != nil {
		r.t.Fatal(err)
	}
	defer snap.Close()
	for entry, err := range snap.Scan(store.Prefix([]byte("filed/"))) {
		if err != nil {
			r.t.Fatal(err)
		}
		if bytes.HasSuffix(entry.Key, []byte("/me@a.test")) {
			n++
		}
	}
	return n
}

// The power fails after syncs and other steps, while messages come in and are delivered here and there. Whatever
// got its 250 is filed, taken by its next hop, or told of in a DSN, as soon as a queue runs on what is left:
// nothing is lost, and nothing is filed twice (its key is created, so a second time would fail).
func TestCrashAfterEveryStep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		found := crashes(t)
		if len(found) < 50 {
			t.Fatalf("%d crashes: too few to mean anything", len(found))
		}
		for i, c := range found {
			c.check(t, fmt.Sprintf("crash %d, %d acknowledged", i, len(c.told.acked)))
			if t.Failed() {
				return
			}
		}
	})
}

// The engine itself fails under load and reopens what is on the disk: batches that did not wait for the disk are
// gone, and nobody tells the queue but the store. Every message that got its 250 arrives, without a restart.
func TestEngineFailsAndReopens(t *testing.T) {
	t.Parallel()
	for _, nth := range []int64{3, 20, 47, 80} {
		t.Run(fmt.Sprintf("at sync %d", nth), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { testEngineFails(t, nth) })
		})
	}
}

func testEngineFails(t *testing.T, nth int64) {
	disk := faultfs.NewDisk()
	told := &ledger{taken: map[mail.ID]bool{}}
	r := newRig(t, disk)
	r.crashing(told)
	r.start()
	defer r.close()
	var syncs atomic.Int64
	disk.Before(func(o faultfs.Op) error {
		if o.Kind == faultfs.Sync && o.Log() && syncs.Add(1) == nth {
			return errors.New("injected: the disk is broken")
		}
		return nil
	})
	var writers sync.WaitGroup
	for range crashWriters {
		writers.Go(func() {
			for range 4 * crashEach {
				item, err := r.tryAccept("me@a.test", "you@a.test", "you@b.test")
				if err != nil {
					time.Sleep(10 * time.Millisecond) // as a client would, after a 451
					continue
				}
				told.ack(item.ID, false)
				r.queue.Enqueue(item)
			}
		})
	}
	writers.Wait()
	disk.Before(nil)
	time.Sleep(5 * time.Minute)
	synctest.Wait()
	if syncs.Load() < nth {
		t.Fatalf("only %d syncs were made: the engine never failed", syncs.Load())
	}
	if len(told.acked) < 100 {
		t.Fatalf("%d messages got through: too few to mean anything", len(told.acked))
	}
	for _, id := range told.acked {
		if filed := r.filed(id); len(filed) != 1 || !told.taken[id] || r.load(id) != nil {
			t.Fatalf("%s got its 250; filed for %q, taken: %v, in the spool: %+v", id, filed, told.taken[id], r.load(id))
		}
	}
}

// What was filed but was not durable yet is gone after the engine failed, at a moment when the queue has nothing to
// do: the message is in custody again, and only the store's word makes the queue look.
func TestReopeningIsHeardOfAtRest(t *testing.T) {
	t.Parallel()
	const tries = 20
	for range tries { // whether the failure takes the lazy batch with it is up to the engine: mostly it does
		attempts := 0
		t.Run("", func(t *testing.T) { attempts = reopenAtRest(t) })
		if t.Failed() || attempts == 2 {
			return
		}
	}
	t.Errorf("in %d tries the delivery was never lost, so this proves nothing", tries)
}

// reopenAtRest lets the engine fail after a delivery whose batch nothing made durable, checks that the message is filed once
// all the same when the engine is back, and returns how often that was tried.
func reopenAtRest(t *testing.T) (attempts int) {
	synctest.Test(t, func(t *testing.T) {
		disk := faultfs.NewDisk()
		r := newRig(t, disk)
		r.start()
		defer r.close()
		synctest.Wait() // the scan at start makes durable what it finds
		id := r.send("me@a.test", "you@a.test")
		synctest.Wait()
		if r.load(id) != nil {
			t.Fatal("the message was not delivered")
		}
		var failed atomic.Bool
		disk.Before(func(o faultfs.Op) error {
			if o.Log() && !failed.Swap(true) {
				return errors.New("injected: the disk is broken")
			}
			return nil
		})
		if err := r.store.Barrier(context.Background()); err == nil {
			t.Fatal("the engine did not fail")
		}
		time.Sleep(time.Minute) // the engine reopens
		synctest.Wait()
		if filed := r.filed(id); len(filed) != 1 || r.load(id) != nil {
			t.Errorf("filed for %q, in the spool: %+v", filed, r.load(id))
		}
		attempts = r.local.tried("you@a.test")
	})
	return attempts
}

// The same with the index's low-water mark above what comes back, because something later is under way.
func TestReopeningIsLookedAtFromTheStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := faultfs.NewDisk()
		r := newRig(t, disk)
		r.remote.hold = func(context.Context, spool.Attempt) { time.Sleep(10 * time.Minute) }
		r.start()
		defer r.close()
		synctest.Wait()
		above := r.accept("me@a.test", "you@b.test")
		var b store.Batch
		r.spool.Settle(&b, above, nil, above.Due.Add(time.Second))
		result, err := r.store.Commit(t.Context(), &b)
		if err != nil {
			t.Fatal(err)
		}
		above.Version = result.Version
		r.queue.Enqueue(above)
		r.send("me@a.test", "you@a.test")
		for range 5 { // the mark rises
			time.Sleep(6 * time.Second)
			r.queue.startOver(time.Now())
			synctest.Wait()
		}
		var failed atomic.Bool
		disk.Before(func(o faultfs.Op) error {
			if o.Log() && !failed.Swap(true) {
				return errors.New("injected: the disk is broken")
			}
			return nil
		})
		if err := r.store.Barrier(context.Background()); err == nil {
			t.Fatal("the engine did not fail")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := r.local.tried("you@a.test"); n != 2 {
			t.Errorf("%d attempts: what came back was not found", n)
		}
	})
}
