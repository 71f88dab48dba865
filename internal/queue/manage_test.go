package queue

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"waybill/internal/mail"
	"waybill/internal/spool"
	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/record"
	"waybill/internal/trail"
)

func (r *rig) manage(id mail.ID, action spool.Action) error {
	r.t.Helper()
	err := r.queue.Manage(context.Background(), id, action)
	synctest.Wait()
	return err
}

func busy(spool.Attempt, int) mail.Status { return mail.NewStatus(451, "4.4.1", "busy") }

// Held messages wait without end, and past their time are tried once more when they are released.
func TestHoldAndRelease(t *testing.T) {
	bubble(t, func(r *rig) { r.remote.answer = busy }, func(t *testing.T, r *rig) {
		id := r.send("me@a.test", "you@b.test")
		synctest.Wait()
		if err := r.manage(id, spool.Release); !errors.Is(err, ErrNotHeld) {
			t.Errorf("released what was not held: %v", err)
		}
		if err := r.manage(id, spool.Hold); err != nil {
			t.Fatal(err)
		}
		if err := r.manage(id, spool.Retry); !errors.Is(err, ErrHeld) {
			t.Errorf("a held message is tried: %v", err)
		}
		time.Sleep(30 * time.Hour)
		synctest.Wait()
		if item := r.load(id); item == nil || !item.IsHeld() || r.remote.tried("you@b.test") != 1 {
			t.Fatalf("%+v after %d attempts", item, r.remote.tried("you@b.test"))
		}
		r.stop()
		r.start() // a restart lets go of nothing
		time.Sleep(time.Hour)
		if r.remote.tried("you@b.test") != 1 {
			t.Error("a held message was tried after a restart")
		}
		if err := r.manage(id, spool.Release); err != nil {
			t.Fatal(err)
		}
		if r.remote.tried("you@b.test") != 2 || r.load(id) != nil {
			t.Errorf("%d attempts, %+v", r.remote.tried("you@b.test"), r.load(id))
		}
		if ev, ok := r.event(id, trail.Managed); !ok || ev.Text == "" {
			t.Error("the waybill does not tell of it")
		}
	})
}

func TestRetryNow(t *testing.T) {
	bubble(t, func(r *rig) { r.remote.answer = busy }, func(t *testing.T, r *rig) {
		id := r.send("me@a.test", "you@b.test")
		synctest.Wait()
		for want := 2; want < 5; want++ {
			if err := r.manage(id, spool.Retry); err != nil {
				t.Fatal(err)
			}
			if got := r.remote.tried("you@b.test"); got != want {
				t.Errorf("%d attempts, want %d", got, want)
			}
		}
		if err := r.manage("nosuchmessage1", spool.Retry); !errors.Is(err, ErrNotQueued) {
			t.Errorf("a message that is not there: %v", err)
		}
	})
}

// Dropped messages are gone and nobody hears of it; of returned ones the sender does.
func TestDropAndBounce(t *testing.T) {
	bubble(t, func(r *rig) { r.remote.answer = busy }, func(t *testing.T, r *rig) {
		gone, back := r.send("me@a.test", "you@b.test", "you@c.test"), r.send("me@a.test", "you@b.test")
		synctest.Wait()
		if err := errors.Join(r.manage(gone, spool.Drop), r.manage(back, spool.Bounce)); err != nil {
			t.Fatal(err)
		}
		if r.load(gone) != nil || r.load(back) != nil {
			t.Error("a message is still there")
		}
		if ev, told := r.event(gone, trail.Bounced); told {
			t.Errorf("somebody is told of a dropped message: %+v", ev)
		}
		ev, told := r.event(back, trail.Bounced)
		if !told || len(r.filed(ev.Ref)) != 1 {
			t.Errorf("nobody is told of the message that was returned: %+v", ev)
		}
		if n := r.inMemory(); n != 0 {
			t.Errorf("%d messages are in memory", n)
		}
		if err := r.manage(gone, spool.Drop); !errors.Is(err, ErrNotQueued) {
			t.Error(err)
		}
	})
}

// However many next hops a message has, its sender gets one report when it is returned.
func TestBounceOnce(t *testing.T) {
	bubble(t, func(r *rig) { r.remote.answer = busy }, func(t *testing.T, r *rig) {
		id := r.send("me@a.test", "you@b.test", "you@c.test", "you@d.test")
		synctest.Wait()
		if err := r.manage(id, spool.Bounce); err != nil {
			t.Fatal(err)
		}
		reports := slices.DeleteFunc(r.kinds(id), func(k string) bool { return !strings.HasPrefix(k, string(trail.Bounced)) })
		if len(reports) != 1 || r.load(id) != nil {
			t.Errorf("reports: %q", reports)
		}
	})
}

// Nor does it make several when its time is over, though its next hops fail one after the other.
func TestExpireOnce(t *testing.T) {
	bubble(t, func(r *rig) {
		r.options.DelayAfter = -1
		r.remote.answer = busy
		r.remote.hold = func(_ context.Context, a spool.Attempt) {
			if a.NextHop == "slow.test" {
				time.Sleep(time.Minute)
			}
		}
	}, func(t *testing.T, r *rig) {
		id := r.send("me@a.test", "you@b.test", "you@slow.test", "you@d.test")
		time.Sleep(30 * time.Hour)
		synctest.Wait()
		reports := slices.DeleteFunc(r.kinds(id), func(k string) bool { return !strings.HasPrefix(k, string(trail.Bounced)) })
		failed := slices.DeleteFunc(r.kinds(id), func(k string) bool { return !strings.HasPrefix(k, string(trail.Failed)) })
		if len(reports) != 1 || len(failed) != 3 || r.load(id) != nil {
			t.Errorf("reports: %q, failed: %q", reports, failed)
		}
		if n := r.inMemory(); n != 0 {
			t.Errorf("%d messages are in memory", n)
		}
	})
}

// A message whose record cannot be read can be dropped, with all that belongs to it, and is told of once until then.
func TestDropUnreadable(t *testing.T) {
	var log bytes.Buffer
	bubble(t, func(r *rig) {
		r.remote.answer = busy
		r.options.Logger = slog.New(slog.NewTextHandler(&log, nil))
	}, func(t *testing.T, r *rig) {
		id := r.send("me@a.test", "you@b.test")
		synctest.Wait()
		var b store.Batch
		b.Put(keys.Spool(id), []byte{9})
		if _, err := r.store.Commit(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		for range 50 {
			r.send("me@a.test", "you@c.test")
			time.Sleep(time.Minute)
		}
		if n := strings.Count(log.String(), "left alone"); n != 1 {
			t.Errorf("it was told of %d times", n)
		}
		if err := r.manage(id, spool.Bounce); !errors.Is(err, record.ErrCorrupt) {
			t.Errorf("bounced: %v", err)
		}
		if err := r.manage(id, spool.Drop); err != nil {
			t.Fatal(err)
		}
		snap, err := r.store.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		defer snap.Close()
		for _, prefix := range [][]byte{keys.Spool(""), keys.DueAll(), keys.RefAll()} {
			for e, err := range snap.Scan(store.Prefix(prefix)) {
				if err != nil || strings.HasSuffix(string(e.Key), string(id)) {
					t.Errorf("%q is left, %v", e.Key, err)
				}
			}
		}
	})
}

// While an attempt is under way a message is not ended; when it is held meanwhile the attempt's outcome counts, and then
// the hold does.
func TestManageDuringAnAttempt(t *testing.T) {
	bubble(t, func(r *rig) {
		r.remote.answer = busy
		r.remote.hold = func(context.Context, spool.Attempt) { time.Sleep(time.Minute) }
	}, func(t *testing.T, r *rig) {
		id := r.send("me@a.test", "you@b.test")
		synctest.Wait()
		for _, action := range []spool.Action{spool.Drop, spool.Bounce} {
			if err := r.manage(id, action); !errors.Is(err, ErrUnderWay) {
				t.Errorf("%s: %v", action, err)
			}
		}
		if err := r.manage(id, spool.Hold); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if item := r.load(id); item == nil || !item.IsHeld() || item.Recipients[0].Status.Code != 451 {
			t.Errorf("%+v", item)
		}
		time.Sleep(3 * time.Hour)
		if n := r.remote.tried("you@b.test"); n != 1 {
			t.Errorf("%d attempts at a held message", n)
		}
	})
}

// What waits for its turn in memory is held and dropped too.
func TestManageWhatWaits(t *testing.T) {
	bubble(t, func(r *rig) {
		r.options.PerHop = 1
		r.remote.hold = func(context.Context, spool.Attempt) { time.Sleep(time.Minute) }
	}, func(t *testing.T, r *rig) {
		first := r.send("me@a.test", "a@b.test")
		synctest.Wait() // it has the only place
		held, gone := r.send("me@a.test", "b@b.test"), r.send("me@a.test", "c@b.test")
		synctest.Wait()
		if err := errors.Join(r.manage(held, spool.Hold), r.manage(gone, spool.Drop)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if r.load(first) != nil || r.load(held) == nil || r.load(gone) != nil || r.remote.tried("b@b.test")+r.remote.tried("c@b.test") != 0 {
			t.Errorf("attempts at b %d, at c %d", r.remote.tried("b@b.test"), r.remote.tried("c@b.test"))
		}
	})
}
