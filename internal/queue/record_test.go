package queue

import (
	"context"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"waybill/internal/mail"
	"waybill/internal/spool"
	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/trail"
)

// The store applied a batch and did not say so: what the attempt came to stands in the waybill once.
func TestUnknownIsRecordedOnce(t *testing.T) {
	bubble(t, func(r *rig) {
		var failures atomic.Int32
		r.remote.answer = byLocalPart
		r.store.after = func(*store.Batch) error {
			if failures.Add(1) > 3 {
				return nil
			}
			return store.ErrUnknown
		}
	}, func(t *testing.T, r *rig) {
		id := r.send("me@a.test", "later@b.test", "you@b.test")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		events, err := r.options.Trail.Events(context.Background(), id)
		var kinds []string
		for _, ev := range events {
			kinds = append(kinds, strings.TrimSpace(string(ev.Kind)+" "+ev.Recipient))
		}
		if err != nil {
			t.Error(err)
		}
		r.expect("events", kinds, []string{"queue.routed later@b.test", "queue.routed you@b.test", "relay.attempted", "queue.deferred later@b.test"})
		if item := r.load(id); item.Attempts != 1 {
			t.Errorf("%d attempts are recorded", item.Attempts)
		}
	})
}

// Of several recipients whose batch meets a limit only the one with the full mailbox waits.
func TestLimitOfOneRecipient(t *testing.T) {
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
		id := r.send("me@a.test", "a@a.test", "full@a.test", "z@a.test")
		synctest.Wait()
		r.expect("filed", r.filed(id), []string{"a@a.test", "z@a.test"})
		item := r.load(id)
		if item.Recipients[1].Status.Enhanced != (mail.Enhanced{4, 2, 2}) || item.Due.Sub(item.Accepted) != time.Minute {
			t.Errorf("the full mailbox: %+v", item)
		}
		if n := r.inMemory(); n != 0 {
			t.Errorf("%d messages stay in memory", n)
		}
	})
}

// A message whose body is gone cannot be quoted; its sender is told all the same.
func TestBounceWithoutHeader(t *testing.T) {
	bubble(t, func(r *rig) { r.remote.answer = byLocalPart }, func(t *testing.T, r *rig) {
		var dsn string
		r.local.hold = func(ctx context.Context, a spool.Attempt) {
			content, err := r.spool.Open(ctx, a.Item)
			if err != nil {
				t.Error(err)
				return
			}
			defer content.Close()
			text, _ := io.ReadAll(content)
			dsn = string(text)
		}
		synctest.Wait() // the scan at start is over, and cannot find the message while its body is there
		item := r.accept("me@a.test", "never@b.test")
		var b store.Batch
		b.Delete(keys.Chunk(item.Body.ID, 0))
		if _, err := r.store.Store.Commit(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		id := item.ID
		r.queue.Enqueue(item)
		synctest.Wait()
		if r.load(id) != nil || !strings.Contains(dsn, "never@b.test") || strings.Contains(dsn, "Subject: Test Email") {
			t.Errorf("in the spool: %+v, the DSN:\n%s", r.load(id), dsn)
		}
	})
}

// A store that is away is no reason for a DSN without the header.
func TestBounceWaitsForTheStore(t *testing.T) {
	t.Parallel()
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if !isPassing(t.Context(), store.ErrUnavailable) || !isPassing(done, io.ErrUnexpectedEOF) || isPassing(t.Context(), store.ErrNotFound) || isPassing(done, nil) {
		t.Error("the message is blamed for what the store does, or the other way round")
	}
}

// untellable is a local Deliverer that gives a recipient up without the sender being told.
type untellable struct{ *deliverer }

func (u untellable) Deliver(ctx context.Context, a spool.Attempt, b *store.Batch) ([]spool.Outcome, []trail.Event) {
	outcomes, events := u.deliverer.Deliver(ctx, a, b)
	for i, o := range outcomes {
		if o.Status.Enhanced == (mail.Enhanced{5, 4, 6}) {
			outcomes[i].Untold = "it is in a loop"
		}
	}
	return outcomes, events
}

// A failure that the sender is not to hear of ends the recipient and says why there is no DSN; others are told of.
func TestUntoldFailure(t *testing.T) {
	bubble(t, func(r *rig) {
		r.options.Local = untellable{r.local}
		r.local.answer = func(a spool.Attempt, i int) mail.Status {
			if a.Item.Recipients[i].ForwardPath.Local == "loop" {
				return mail.NewStatus(554, "5.4.6", "loop")
			}
			return byLocalPart(a, i)
		}
	}, func(t *testing.T, r *rig) {
		id := r.send("me@b.test", "loop@a.test")
		synctest.Wait()
		r.expect("events", r.kinds(id), []string{"queue.routed loop@a.test", "queue.failed loop@a.test",
			"queue.suppressed loop@a.test", "queue.done"})
		if ev, _ := r.event(id, trail.Suppressed); ev.Text != "nobody is told: it is in a loop" || r.load(id) != nil {
			t.Errorf("%+v", ev)
		}
		id = r.send("me@b.test", "loop@a.test", "never@a.test")
		synctest.Wait()
		if ev, ok := r.event(id, trail.Bounced); !ok || ev.Recipient != "me@b.test" {
			t.Error("the other failure is not told of")
		}
	})
}

// Making the DSN panics: nobody is given up, who has the message does not get it again, and it is tried again at the
// times of the schedule, past the message's time too, until it works.
func TestPanicInBounce(t *testing.T) {
	for name, path := range map[string]string{"remote": "never@b.test", "local": "never@a.test"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(r *rig) { r.remote.answer, r.local.answer = byLocalPart, byLocalPart }, func(t *testing.T, r *rig) {
				testPanicInBounce(t, r, path)
			})
		})
	}
}

func testPanicInBounce(t *testing.T, r *rig, path string) {
	var broken atomic.Bool
	broken.Store(true)
	r.store.mu.Lock()
	r.store.open = func(key string) error {
		if broken.Load() && strings.HasPrefix(key, "body/") {
			panic("strange header")
		}
		return nil
	}
	r.store.mu.Unlock()
	id := r.send("me@a.test", path, "you@b.test")
	time.Sleep(20 * time.Hour)
	synctest.Wait()
	early := r.load(id)
	time.Sleep(10 * time.Hour) // its time is over
	synctest.Wait()
	item := r.load(id)
	if early == nil || item == nil || item.Recipients[0].State != spool.Pending || item.Recipients[1].State != spool.Delivered {
		t.Fatalf("%+v", item)
	}
	n := r.remote.tried(path) + r.local.tried(path)
	if n < 25 || n > 70 || r.remote.tried("you@b.test") != 1 {
		t.Errorf("%d attempts in 30 hours, %d at who has the message", n, r.remote.tried("you@b.test"))
	}
	broken.Store(false)
	time.Sleep(2 * time.Hour)
	synctest.Wait()
	if ev, ok := r.event(id, trail.Bounced); !ok || r.load(id) != nil || len(r.filed(ev.Ref)) != 1 {
		t.Error("the sender was never told")
	}
}

// Even where nothing can be recorded without a panic, the process lives, the message stays, and nobody touches it
// all the time.
func TestPanicInCommit(t *testing.T) {
	bubble(t, func(r *rig) {
		r.store.before = func(b *store.Batch) error {
			for _, c := range b.Checks {
				if strings.HasPrefix(string(c.Key), "spool/") {
					panic("strange batch")
				}
			}
			return nil
		}
	}, func(t *testing.T, r *rig) {
		id := r.send("me@a.test", "you@b.test")
		for range 60 {
			time.Sleep(time.Minute)
			r.queue.startOver(time.Now()) // as other mail does
			synctest.Wait()
		}
		if n := r.remote.tried("you@b.test"); n > 5 || n < 3 || r.load(id) == nil {
			t.Errorf("%d attempts in an hour; in the spool: %+v", n, r.load(id))
		}
		r.store.mu.Lock()
		r.store.before = nil
		r.store.mu.Unlock()
		time.Sleep(time.Hour)
		synctest.Wait()
		if r.load(id) != nil || r.inMemory() != 0 {
			t.Error("the message was forgotten")
		}
	})
}
