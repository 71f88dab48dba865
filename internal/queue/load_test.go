package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"waybill/internal/mail"
	"waybill/internal/spool"
	"waybill/internal/store"
	"waybill/internal/store/keys"
)

// A dead next hop neither delays the others nor gets more than its share of workers, and after some failures it
// is left alone.
func TestDeadNextHop(t *testing.T) {
	bubble(t, func(r *rig) {
		r.remote.hold = func(_ context.Context, a spool.Attempt) {
			if a.NextHop == "dead.test" {
				time.Sleep(5 * time.Minute)
			}
		}
		r.remote.answer = func(a spool.Attempt, _ int) mail.Status {
			if a.NextHop == "dead.test" {
				return mail.NewStatus(451, "4.4.1", "no answer")
			}
			return mail.NewStatus(250, "2.0.0", "ok")
		}
	}, func(t *testing.T, r *rig) {
		var dead []mail.ID
		for i := range 200 {
			dead = append(dead, r.send("me@a.test", fmt.Sprintf("you%d@dead.test", i)))
		}
		var live []mail.ID
		for i := range 200 {
			live = append(live, r.send("me@a.test", fmt.Sprintf("you@live%d.test", i%10)))
		}
		synctest.Wait()
		for _, id := range live {
			if r.load(id) != nil {
				t.Fatal("a message waits for the dead next hop")
			}
		}
		if n := r.remote.atOnce("dead.test"); n != r.options.PerHop {
			t.Errorf("%d attempts at the dead next hop at once, want %d", n, r.options.PerHop)
		}
		time.Sleep(5*time.Minute + time.Second)
		synctest.Wait()
		tried, deferred := 0, 0
		for i, id := range dead {
			tried += r.remote.tried(fmt.Sprintf("you%d@dead.test", i))
			item := r.load(id)
			if item == nil {
				t.Fatalf("message %d is gone", i)
			}
			if item.Due.After(time.Now()) && item.Attempts == 1 {
				deferred++
			}
		}
		// Some began a second attempt before enough had failed; the last few wait for their turn.
		if tried > 2*r.options.PerHop || deferred < 200-r.queue.HopRoom {
			t.Errorf("%d attempts were made at a next hop that does not answer, %d messages are deferred", tried, deferred)
		}
		if n := r.inMemory(); n != 200-deferred {
			t.Errorf("%d messages are in memory, %d are deferred", n, deferred)
		}
	})
}

// What memory has no room for waits on disk and is found there.
func TestMemoryIsBounded(t *testing.T) {
	bubble(t, func(r *rig) {
		r.options.MaxActive = 7
		r.remote.hold = func(context.Context, spool.Attempt) { time.Sleep(time.Second) }
	}, func(t *testing.T, r *rig) {
		var ids []mail.ID
		for range 100 {
			ids = append(ids, r.send("me@a.test", "you@b.test"))
			if n := r.inMemory(); n > 7 {
				t.Fatalf("%d messages in memory", n)
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, id := range ids {
			if r.load(id) != nil {
				t.Fatalf("%s was forgotten", id)
			}
		}
		if n := r.remote.tried("you@b.test"); n != 100 {
			t.Errorf("%d attempts for 100 messages", n)
		}
	})
}

// What was accepted while the queue was not there is found at start.
func TestStartWalksTheIndex(t *testing.T) {
	var ids []mail.ID
	bubble(t, func(r *rig) {
		for i := range 600 {
			ids = append(ids, r.accept("me@a.test", fmt.Sprintf("you%d@a.test", i)).ID)
		}
	}, func(t *testing.T, r *rig) {
		synctest.Wait()
		for _, id := range ids {
			if r.load(id) != nil || len(r.filed(id)) != 1 {
				t.Fatalf("%s was not delivered", id)
			}
		}
	})
}

// A record that cannot be read does not hold up what stands behind it in the index.
func TestCorruptRecord(t *testing.T) {
	var behind mail.ID
	bubble(t, func(r *rig) {
		broken := r.accept("me@a.test", "you@a.test")
		var b store.Batch
		b.Put(keys.Spool(broken.ID), []byte("garbage"))
		if _, err := r.store.Commit(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) // the next one is due later
		behind = r.accept("me@a.test", "other@a.test").ID
	}, func(t *testing.T, r *rig) {
		synctest.Wait()
		if len(r.filed(behind)) != 1 {
			t.Error("the message behind a corrupt record was not delivered")
		}
	})
}

// Nor does a record in a part of the store that cannot be read.
func TestUnreadableRecord(t *testing.T) {
	var broken, behind mail.ID
	bubble(t, func(r *rig) {
		broken = r.accept("me@a.test", "you@a.test").ID
		r.store.open = func(key string) error {
			if key == string(keys.Spool(broken)) {
				return errors.New("the block does not have its checksum")
			}
			return nil
		}
		time.Sleep(time.Second)
		behind = r.accept("me@a.test", "other@a.test").ID
	}, func(t *testing.T, r *rig) {
		synctest.Wait()
		if len(r.filed(behind)) != 1 {
			t.Error("the message behind a record that cannot be read was not delivered")
		}
		r.store.mu.Lock()
		r.store.open = nil
		r.store.mu.Unlock()
		time.Sleep(2 * scanRest) // it may have been for the moment only
		if len(r.filed(broken)) != 1 {
			t.Error("once its record could be read again the message was not delivered")
		}
	})
}

// A scan may find a message before its Enqueue comes: it is attempted once all the same.
func TestScanBeforeEnqueue(t *testing.T) {
	bubble(t, nil, func(t *testing.T, r *rig) {
		item := r.accept("me@a.test", "you@b.test")
		r.queue.startOver(time.Now())
		synctest.Wait()
		r.queue.Enqueue(item)
		synctest.Wait()
		if n := r.remote.tried("you@b.test"); n != 1 {
			t.Errorf("%d attempts", n)
		}
	})
}

// More recipients than one attempt may have.
func TestManyRecipients(t *testing.T) {
	bubble(t, nil, func(t *testing.T, r *rig) {
		var recipients []string
		for i := range 450 {
			recipients = append(recipients, fmt.Sprintf("you%d@b.test", i), fmt.Sprintf("you%d@a.test", i))
		}
		id := r.send("me@a.test", recipients...)
		synctest.Wait()
		if r.load(id) != nil {
			t.Error("custody has not ended")
		}
		if n := len(r.filed(id)); n != 450 {
			t.Errorf("filed for %d local recipients", n)
		}
		for _, path := range recipients {
			if strings.HasSuffix(path, "@b.test") && r.remote.tried(path) != 1 {
				t.Fatalf("%s was attempted %d times", path, r.remote.tried(path))
			}
		}
	})
}

// A batch of several messages meets a conflict: each is filed on its own.
func TestGroupConflict(t *testing.T) {
	var ids []mail.ID
	var conflicts atomic.Int32
	bubble(t, func(r *rig) {
		for i := range 200 { // found together at start
			ids = append(ids, r.accept("me@a.test", fmt.Sprintf("you%d@a.test", i)).ID)
		}
		r.store.before = func(b *store.Batch) error {
			if len(b.Checks) > 5 && conflicts.Add(1) < 3 {
				return store.ErrConflict
			}
			return nil
		}
	}, func(t *testing.T, r *rig) {
		synctest.Wait()
		if n := conflicts.Load(); n < 3 {
			t.Errorf("%d batches of several messages: nothing was grouped", n)
		}
		for _, id := range ids {
			if r.load(id) != nil || len(r.filed(id)) != 1 {
				t.Fatalf("%s was not delivered", id)
			}
		}
	})
}
