package queue

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"waybill/internal/mail"
	"waybill/internal/store"
)

// The store fails while outcomes are recorded, with and without the batch having been applied, and comes back
// later. Nothing is dropped, and nobody who has the message gets it again.
func TestStoreFailure(t *testing.T) {
	for _, cause := range []error{store.ErrUnavailable, store.ErrUnknown, store.ErrConflict, errors.New("something else")} {
		for _, applied := range []bool{false, true} {
			if applied && errors.Is(cause, store.ErrConflict) {
				continue
			}
			t.Run(fmt.Sprintf("%v/applied=%v", cause, applied), func(t *testing.T) {
				bubble(t, func(r *rig) { r.remote.answer = byLocalPart }, func(t *testing.T, r *rig) {
					testStoreFailure(t, r, cause, applied)
				})
			})
		}
	}
}

func testStoreFailure(t *testing.T, r *rig, cause error, applied bool) {
	var failures atomic.Int32
	fail := func(*store.Batch) error {
		if failures.Add(1) > 8 {
			return nil
		}
		return fmt.Errorf("injected: %w", cause)
	}
	if applied {
		r.store.after = fail
	} else {
		r.store.before = fail
	}
	if !errors.Is(cause, store.ErrConflict) {
		r.store.sick = cause
	}
	var ids []mail.ID
	for i := range 5 {
		ids = append(ids, r.send("me@a.test", fmt.Sprintf("you%d@b.test", i), fmt.Sprintf("you%d@a.test", i)))
	}
	never := r.send("me@a.test", "never@b.test")
	later := r.send("me@a.test", "later@b.test")
	time.Sleep(10 * time.Second)
	r.store.mu.Lock()
	r.store.sick = nil
	r.store.mu.Unlock()
	r.queue.Recover()
	time.Sleep(2 * time.Minute)
	synctest.Wait()
	for i, id := range ids {
		if r.load(id) != nil || len(r.filed(id)) != 1 {
			t.Errorf("message %d was not delivered: %+v", i, r.load(id))
		}
		if n := r.remote.tried(fmt.Sprintf("you%d@b.test", i)); n != 1 {
			t.Errorf("message %d was given to its next hop %d times", i, n)
		}
	}
	if r.load(never) != nil {
		t.Error("the failed recipient is still in custody")
	}
	if item := r.load(later); item == nil || item.Attempts < 1 {
		t.Errorf("the deferred message: %+v", item)
	}
	if n := r.local.tried("me@a.test"); n == 0 {
		t.Error("the DSN got lost")
	}
	if n := r.inMemory(); n != 0 {
		t.Errorf("%d messages stay in memory", n)
	}
}

// Recover in the middle of everything, again and again: no message is attempted twice at once (the deliverer
// watches), none is forgotten.
func TestRecoverUnderLoad(t *testing.T) {
	bubble(t, func(r *rig) {
		r.remote.answer = byLocalPart
		r.remote.hold = nil
	}, func(t *testing.T, r *rig) {
		var ids []mail.ID
		for i := range 300 {
			item := r.accept("me@a.test", fmt.Sprintf("you@b%d.test", i%7), "you@a.test", fmt.Sprintf("you@c%d.test", i%3))
			ids = append(ids, item.ID)
			r.queue.Enqueue(item)
			if i%10 == 0 {
				r.queue.Recover()
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, id := range ids {
			if r.load(id) != nil || len(r.filed(id)) != 1 {
				t.Fatalf("%s was not delivered: %+v", id, r.load(id))
			}
		}
	})
}

// A mailbox whose counters are at their limit is full: tried again later, like any other temporary failure, and
// the messages filed in the same batch do not suffer.
func TestLimitIsTemporary(t *testing.T) {
	bubble(t, func(r *rig) {
		r.store.before = func(b *store.Batch) error {
			for _, put := range b.Puts {
				if strings.HasSuffix(string(put.Key), "/full@a.test") {
					return store.ErrLimit
				}
			}
			return nil
		}
	}, func(t *testing.T, r *rig) {
		var ids []mail.ID
		for i := range 20 {
			ids = append(ids, r.send("me@a.test", fmt.Sprintf("you%d@a.test", i)))
		}
		full := r.send("me@a.test", "full@a.test")
		synctest.Wait()
		for _, id := range ids {
			if r.load(id) != nil || len(r.filed(id)) != 1 {
				t.Fatalf("%s was not delivered", id)
			}
		}
		item := r.load(full)
		if item == nil || item.Recipients[0].Status.Enhanced != (mail.Enhanced{4, 2, 2}) || item.Due.Sub(item.Accepted) != time.Minute {
			t.Errorf("the full mailbox: %+v", item)
		}
	})
}
