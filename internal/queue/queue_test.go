package queue

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"waybill/internal/mail"
	"waybill/internal/spool"
	"waybill/internal/trail"
)

func TestDelivered(t *testing.T) {
	bubble(t, nil, func(t *testing.T, r *rig) {
		id := r.send("me@a.test", "you@a.test", "you@b.test", "postmaster")
		synctest.Wait()
		if r.load(id) != nil {
			t.Error("custody has not ended")
		}
		r.expect("filed", r.filed(id), []string{"postmaster", "you@a.test"})
		got := r.kinds(id)
		slices.Sort(got)
		r.expect("events", got, []string{"queue.done", "queue.routed postmaster", "queue.routed you@a.test", "queue.routed you@b.test"})
		events, err := r.options.Trail.Events(context.Background(), id)
		if err != nil || len(events) < 4 {
			t.Errorf("%d events are kept (%v)", len(events), err)
		}
	})
}

// Temporary failures are tried again by the schedule, and the count of attempts survives restarts.
func TestRetriesSurviveRestarts(t *testing.T) {
	bubble(t, func(r *rig) { r.remote.answer = byLocalPart }, func(t *testing.T, r *rig) {
		id := r.send("me@a.test", "later@b.test", "you@b.test")
		synctest.Wait()
		item := r.load(id)
		if item == nil || item.Attempts != 1 || item.Due.Sub(item.Accepted) != time.Minute {
			t.Fatalf("after the first attempt: %+v", item)
		}
		if ev, ok := r.event(id, trail.Deferred); !ok || !ev.NextAt.Equal(item.Due) || ev.Recipient != "later@b.test" || ev.Status.Code != 450 {
			t.Errorf("deferred: %+v", ev)
		}
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if n := r.remote.tried("later@b.test"); n != 1 {
			t.Errorf("%d attempts before the first retry is due", n)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n := r.remote.tried("later@b.test"); n != 2 {
			t.Errorf("%d attempts when the first retry is due, want 2", n)
		}
		r.stop()
		r.start()
		time.Sleep(4 * time.Minute)
		synctest.Wait()
		if n := r.remote.tried("later@b.test"); n != 2 {
			t.Errorf("the restart caused an attempt")
		}
		time.Sleep(90 * time.Second) // 5m and at most a tenth
		synctest.Wait()
		item = r.load(id)
		if n := r.remote.tried("later@b.test"); n != 3 || item.Attempts != 3 {
			t.Errorf("%d attempts, %d recorded, want 3", n, item.Attempts)
		}
		if n := r.remote.tried("you@b.test"); n != 1 {
			t.Errorf("the delivered recipient was attempted %d times", n)
		}
	})
}

// A message that is never taken is given up at its time, after a last attempt there; its sender is told, once.
func TestExpiry(t *testing.T) {
	bubble(t, func(r *rig) { r.remote.answer = byLocalPart }, func(t *testing.T, r *rig) {
		id := r.send("me@a.test", "later@b.test")
		time.Sleep(24*time.Hour - time.Second)
		synctest.Wait()
		if r.load(id) == nil {
			t.Fatal("given up too early")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if r.load(id) != nil {
			t.Fatal("not given up")
		}
		ev, ok := r.event(id, trail.Bounced)
		if !ok {
			t.Fatal("the sender is not told")
		}
		r.expect("filed", r.filed(ev.Ref), []string{"me@a.test"})
		failed, _ := r.event(id, trail.Failed)
		if failed.Status.String() != "550 5.4.7 given up after 24h0m0s; the last attempt ended with: 450 4.2.1 later" {
			t.Errorf("failed: %v", failed.Status)
		}
		// 1m, 5m, 1h… and the last one at the end
		if n := r.remote.tried("later@b.test"); n < 22 || n > 28 {
			t.Errorf("%d attempts in 24 hours", n)
		}
	})
}

// The DSN is created with the end of the recipient, in one batch, and says what the peer said.
func TestBounce(t *testing.T) {
	bubble(t, func(r *rig) { r.remote.answer = byLocalPart }, func(t *testing.T, r *rig) {
		r.local.hold = func(ctx context.Context, a spool.Attempt) { // the DSN, on its way to the sender
			if !a.Item.ReversePath.IsNull() {
				return
			}
			content, err := r.spool.Open(ctx, a.Item)
			if err != nil {
				t.Error(err)
				return
			}
			defer content.Close()
			text, err := io.ReadAll(content)
			for _, want := range []string{"never@b.test", "5.1.1", "Subject: Test Email", "multipart/report"} {
				if !strings.Contains(string(text), want) {
					t.Errorf("the DSN lacks %q (%v):\n%s", want, err, text)
				}
			}
			if strings.Contains(string(text), "you@b.test") {
				t.Error("the DSN names a recipient that has the message")
			}
		}
		synctest.Wait() // the scan at start may find a DSN before its commit returns
		id := r.send("me@a.test", "never@b.test", "you@b.test")
		synctest.Wait()
		bounced, _ := r.event(id, trail.Bounced)
		r.expect("events", r.kinds(id), []string{"queue.routed never@b.test", "queue.routed you@b.test",
			"queue.failed never@b.test", "queue.bounced me@a.test", "queue.done"})
		r.expect("filed", r.filed(bounced.Ref), []string{"me@a.test"})
		r.expect("events of the DSN", r.kinds(bounced.Ref), []string{"spool.accepted", "queue.routed me@a.test", "queue.done"})
	})
}

// A bounce is never bounced.
func TestNoBounceOfABounce(t *testing.T) {
	bubble(t, func(r *rig) { r.remote.answer = byLocalPart }, func(t *testing.T, r *rig) {
		synctest.Wait()                              // the scan at start may find a DSN before its commit returns
		id := r.send("never@b.test", "never@b.test") // its DSN fails too
		synctest.Wait()
		bounced, ok := r.event(id, trail.Bounced)
		if !ok {
			t.Fatal("no DSN")
		}
		r.expect("events of the DSN", r.kinds(bounced.Ref), []string{"spool.accepted", "queue.routed never@b.test",
			"queue.failed never@b.test", "queue.suppressed", "queue.done"})
		if r.load(bounced.Ref) != nil {
			t.Error("the DSN is still in custody")
		}
	})
}

// Next hops that end at different times: the message is due again once, after the last of them, and only the
// pending recipients are attempted.
func TestNextHopsOfOneMessage(t *testing.T) {
	bubble(t, func(r *rig) {
		r.remote.answer = byLocalPart
		r.remote.hold = func(_ context.Context, a spool.Attempt) {
			if a.NextHop == "slow.test" && a.Number == 1 {
				time.Sleep(10 * time.Minute)
			}
		}
	}, func(t *testing.T, r *rig) {
		id := r.send("me@a.test", "later@b.test", "later@slow.test", "you@a.test")
		time.Sleep(9 * time.Minute)
		synctest.Wait()
		r.expect("filed", r.filed(id), []string{"you@a.test"})
		if n := r.remote.tried("later@b.test"); n != 1 {
			t.Errorf("later@b.test was attempted %d times in the first round", n)
		}
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		item := r.load(id)
		if wait := time.Until(item.Due); wait < 58*time.Second || wait > time.Minute {
			t.Errorf("due again in %v, want a minute after the last outcome", wait)
		}
		for _, ev := range r.all() {
			if ev.Kind == trail.Deferred && !ev.NextAt.Equal(item.Due) {
				t.Errorf("%s is deferred until %v, but due at %v", ev.Recipient, ev.NextAt, item.Due)
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if b, slow := r.remote.tried("later@b.test"), r.remote.tried("later@slow.test"); b != 2 || slow != 2 {
			t.Errorf("attempts in two rounds: %d and %d", b, slow)
		}
		if n := r.local.tried("you@a.test"); n != 1 {
			t.Errorf("the local recipient was attempted %d times", n)
		}
	})
}

// A delivery that panics costs its own message a retry, and no other one anything.
func TestPanic(t *testing.T) {
	bubble(t, func(r *rig) {
		r.local.answer = func(a spool.Attempt, i int) mail.Status {
			if a.Item.Recipients[i].ForwardPath.Local == "strange" {
				panic("strange message")
			}
			return mail.NewStatus(250, "2.0.0", "ok")
		}
	}, func(t *testing.T, r *rig) {
		var ids []mail.ID
		for i := range 20 {
			ids = append(ids, r.send("me@a.test", fmt.Sprintf("you%d@a.test", i)))
		}
		strange := r.send("me@a.test", "strange@a.test")
		synctest.Wait()
		for _, id := range ids {
			if r.load(id) != nil || len(r.filed(id)) != 1 {
				t.Fatalf("%s was not delivered", id)
			}
		}
		if item := r.load(strange); item == nil || item.Attempts != 1 || !item.Due.After(time.Now()) {
			t.Errorf("the strange message: %+v", item)
		}
	})
}

// An attempt that shutdown breaks off leaves no trace: nothing is deferred, nothing is lost, what was proven holds.
func TestShutdownBreaksOff(t *testing.T) {
	bubble(t, func(r *rig) {
		r.remote.hold = func(ctx context.Context, a spool.Attempt) { <-ctx.Done() }
		r.remote.answer = byLocalPart
	}, func(t *testing.T, r *rig) {
		later, sent := r.send("me@a.test", "later@b.test"), r.send("me@a.test", "later@b.test", "you@b.test")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := r.queue.Shutdown(ctx); err == nil {
			t.Error("Shutdown does not say that attempts were broken off")
		}
		if item := r.load(later); item.Attempts != 0 || item.Due.After(time.Now()) {
			t.Errorf("broken off: %+v", item)
		}
		item := r.load(sent)
		if item.Recipients[0].State != spool.Pending || item.Recipients[1].State != spool.Delivered || item.Due.After(time.Now()) {
			t.Errorf("broken off, with one outcome: %+v", item)
		}
		r.remote.hold = nil
		r.start()
		synctest.Wait()
		if n := r.remote.tried("you@b.test"); n != 1 {
			t.Errorf("the delivered recipient was attempted %d times", n)
		}
	})
}

// TestClockSetBack: a message that a clock ahead of ours put off is not kept for as long as that clock was ahead; nor does
// one that a clock behind ours took wait for anything.
func TestClockSetBack(t *testing.T) {
	for name, wrong := range map[string]time.Duration{"a day ahead": 24 * time.Hour, "ten years ahead": 10 * 365 * 24 * time.Hour, "a day behind": -24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(r *rig) {
				r.wishes = func(item *spool.Item) {
					item.Accepted, item.Due = item.Accepted.Add(wrong), item.Due.Add(wrong)
					item.Expires = item.Expires.Add(wrong)
				}
			}, func(t *testing.T, r *rig) {
				synctest.Wait() // the first look at the index is over
				id := r.accept("me@a.test", "you@a.test").ID
				time.Sleep(scanRest + time.Minute) // nobody tells the queue: the clock was set while it ran, or it restarts
				synctest.Wait()
				r.expect("filed", r.filed(id), []string{"you@a.test"})
				if r.load(id) != nil {
					t.Error("still in the queue")
				}
			})
		})
	}
}
