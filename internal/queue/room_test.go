package queue

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"waybill/internal/mail"
	"waybill/internal/spool"
	"waybill/internal/store/keys"
)

// silent makes the next hops whose names begin with "silent" accept connections and never greet, until they wake.
func silent(r *rig, awake *atomic.Bool) {
	isSilent := func(a spool.Attempt) bool { return a.NextHop[:4] == "sile" && !awake.Load() }
	r.options.MaxActive = 400
	r.remote.hold = func(_ context.Context, a spool.Attempt) {
		if isSilent(a) {
			time.Sleep(5 * time.Minute)
		}
	}
	r.remote.answer = func(a spool.Attempt, i int) mail.Status {
		if isSilent(a) {
			return mail.NewStatus(451, "4.4.2", "the server did not answer in time")
		}
		return byLocalPart(a, i)
	}
}

// However much waits for a next hop that never greets, memory has little of it, and the others do not wait for it:
// neither what comes in, nor what is found on disk behind it. When it wakes it gets everything, once.
func TestSilentNextHop(t *testing.T) {
	var awake atomic.Bool
	bubble(t, func(r *rig) { silent(r, &awake) }, func(t *testing.T, r *rig) {
		const n = 2000
		var ids []mail.ID
		for i := range n {
			ids = append(ids, r.send("me@a.test", fmt.Sprintf("you%d@silent.test", i)))
		}
		again := r.send("me@a.test", "later@live.test")
		local, live := r.send("me@a.test", "you@a.test"), r.send("me@a.test", "you@live.test")
		synctest.Wait()
		if r.load(local) != nil || r.load(live) != nil {
			t.Error("a message waits for the silent next hop")
		}
		if n := r.inMemory(); n > r.queue.HopRoom {
			t.Errorf("%d messages in memory, at most %d are for one next hop", n, r.queue.HopRoom)
		}
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		if n := r.remote.tried("later@live.test"); n != 2 || r.load(again) == nil {
			t.Errorf("%d attempts at a message behind those for the silent next hop, want 2", n)
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		tried := 0
		for i := range n {
			tried += r.remote.tried(fmt.Sprintf("you%d@silent.test", i))
		}
		if tried > 3*r.options.PerHop {
			t.Errorf("%d attempts at a next hop that never greets", tried)
		}
		awake.Store(true)
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		for i, id := range ids {
			if r.load(id) != nil {
				t.Fatalf("message %d was not delivered", i)
			}
		}
		if n := len(r.queue.left) + r.queue.recipients; n != 0 {
			t.Errorf("%d places are still taken", n)
		}
	})
}

// What waits on disk for a silent next hop, beyond its line too, is not read again whenever something else is due, and that is
// not late for it.
func TestBacklogIsReadOnce(t *testing.T) {
	const backlog = 2000
	var awake atomic.Bool
	var reads, late atomic.Int64
	due := map[mail.ID]time.Time{}
	bubble(t, func(r *rig) {
		silent(r, &awake)
		r.options.LineRoom = 200
		answer := r.remote.answer
		r.remote.answer = func(a spool.Attempt, i int) mail.Status {
			if at := due[a.Item.ID]; !at.IsZero() && time.Since(at) > time.Millisecond {
				late.Add(1)
			}
			return answer(a, i)
		}
		waiting := map[string]bool{}
		for range backlog {
			waiting[string(keys.Spool(r.accept("me@a.test", "you@silent.test").ID))] = true
		}
		r.wishes = func(item *spool.Item) { item.Due = item.Due.Add(time.Hour) }
		for i := range 200 {
			item := r.accept("me@a.test", fmt.Sprintf("you@live%d.test", i%10))
			due[item.ID] = item.Due.Truncate(time.Microsecond)
			time.Sleep(time.Second)
		}
		r.store.open = func(key string) error {
			if waiting[key] {
				reads.Add(1)
			}
			return nil
		}
	}, func(t *testing.T, r *rig) {
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		for id := range due {
			if r.load(id) != nil {
				t.Fatal("a message for another host was not delivered")
			}
		}
		if late.Load() > 0 {
			t.Errorf("%d of %d messages for other hosts were late", late.Load(), len(due))
		}
		// Once at the start, when its turn comes, and a few times in the walks through everything.
		if n := reads.Load(); n > 20*backlog {
			t.Errorf("the %d messages for the silent host were read %d times", backlog, n)
		}
		awake.Store(true)
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if n := len(r.queue.left) + r.queue.recipients; n != 0 {
			t.Errorf("%d places are still taken", n)
		}
		if next, any, err := r.spool.NextDue(t.Context()); any || err != nil {
			t.Errorf("something is left, due %v, %v", next, err)
		}
	})
}

// So many silent next hops that their shares fill memory: a quarter is kept for local mail, also at start.
func TestManySilentNextHops(t *testing.T) {
	var awake atomic.Bool
	var local mail.ID
	var ids []mail.ID
	bubble(t, func(r *rig) {
		silent(r, &awake)
		r.options.MaxActive, r.options.MaxRecipients = 1200, 400 // 256 may be reserved
		for i := range 1000 {
			ids = append(ids, r.accept("me@a.test", fmt.Sprintf("you@silent%d.test", i%50)).ID)
		}
		time.Sleep(time.Second)
		local = r.accept("me@a.test", "you@a.test").ID
	}, func(t *testing.T, r *rig) {
		synctest.Wait()
		if r.load(local) != nil {
			t.Error("a local message found on disk waits for the silent next hops")
		}
		other := r.send("me@a.test", "other@a.test")
		synctest.Wait()
		if r.load(other) != nil {
			t.Error("a local message that came in waits for the silent next hops")
		}
		if n := r.inMemory(); n != 300 {
			t.Errorf("%d messages with one recipient in memory, want 300", n)
		}
		awake.Store(true)
		time.Sleep(6 * time.Hour)
		synctest.Wait()
		if slices.ContainsFunc(ids, func(id mail.ID) bool { return r.load(id) != nil }) || r.queue.recipients != 0 {
			t.Errorf("not everything was delivered; %d recipients are in memory", r.queue.recipients)
		}
	})
}

// A message with a next hop that has no room goes to its other recipients at once, and to that one later.
func TestOtherRecipientsDoNotWait(t *testing.T) {
	var awake atomic.Bool
	bubble(t, func(r *rig) { silent(r, &awake) }, func(t *testing.T, r *rig) {
		for range 100 {
			r.send("me@a.test", "you@silent.test")
		}
		id := r.send("me@a.test", "last@silent.test", "you@a.test", "you@live.test")
		synctest.Wait()
		r.expect("filed", r.filed(id), []string{"you@a.test"})
		if item := r.load(id); r.remote.tried("you@live.test") != 1 || r.remote.tried("last@silent.test") != 0 || item.Due.After(time.Now()) {
			t.Errorf("%+v", item)
		}
		awake.Store(true)
		time.Sleep(time.Hour)
		synctest.Wait()
		if r.load(id) != nil || r.remote.tried("last@silent.test") == 0 {
			t.Error("the recipient that waited was forgotten")
		}
		got := r.kinds(id)
		slices.Sort(got)
		got = slices.DeleteFunc(got, func(k string) bool { return k == "queue.deferred last@silent.test" })
		r.expect("events", got, []string{"queue.done", "queue.routed last@silent.test", "queue.routed you@a.test", "queue.routed you@live.test"})
	})
}

// What waits for room is not looked for all the time.
func TestNoBusyScanning(t *testing.T) {
	var awake atomic.Bool
	var looks atomic.Int32
	bubble(t, func(r *rig) { silent(r, &awake) }, func(t *testing.T, r *rig) {
		for i := range 500 {
			r.send("me@a.test", fmt.Sprintf("you%d@silent.test", i), "you@a.test")
		}
		synctest.Wait()
		r.store.mu.Lock()
		r.store.look = func() { looks.Add(1) }
		r.store.mu.Unlock()
		time.Sleep(4 * time.Minute)
		synctest.Wait()
		if n := looks.Load(); n > 10 {
			t.Errorf("%d looks at the store while nothing can be done", n)
		}
		r.store.mu.Lock()
		r.store.look = nil
		r.store.mu.Unlock()
	})
}

func TestSilence(t *testing.T) {
	t.Parallel()
	for status, want := range map[string]bool{"4.4.1": true, "4.4.2": true, "4.4.3": true, "4.4.4": false, "4.3.0": false, "4.2.2": false} {
		o := spool.Outcome{Status: mail.NewStatus(451, status, "x")}
		if _, got := silence([]spool.Outcome{o}); got != want {
			t.Errorf("%s is silence: %v", status, got)
		}
		o.RemoteMTA = "mail.b.test"
		if _, got := silence([]spool.Outcome{o}); got {
			t.Errorf("%s in the host's words is silence", status)
		}
	}
}
