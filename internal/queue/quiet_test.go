package queue

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"waybill/internal/mail"
	"waybill/internal/spool"
)

// Three messages at which a host breaks the connection do not keep others from being tried: they wait for a minute at most,
// whatever the schedule says, and so does one whose turn had come already.
func TestQuietReplacesNoAttempt(t *testing.T) {
	for name, waiting := range map[string]bool{"it comes later": false, "it was waiting": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(r *rig) {
				r.options.Retry = []time.Duration{4 * time.Hour}
				r.options.RemoteWorkers = 1
				r.remote.answer = func(a spool.Attempt, i int) mail.Status {
					if strings.HasPrefix(a.Item.Recipients[i].ForwardPath.Local, "poison") {
						return mail.NewStatus(451, "4.4.2", "connection lost during the content")
					}
					return mail.NewStatus(250, "2.0.0", "ok")
				}
			}, func(t *testing.T, r *rig) {
				for range failureLimit {
					r.send("me@a.test", "poison@b.test")
				}
				if !waiting {
					synctest.Wait()
				}
				id := r.send("me@a.test", "good@b.test")
				synctest.Wait()
				if n := r.remote.tried("good@b.test"); n != 0 && !waiting {
					t.Errorf("%d attempts at a next hop that is left alone", n)
				}
				time.Sleep(quietTime)
				synctest.Wait()
				if item := r.load(id); item != nil {
					t.Errorf("after %d attempts: %+v", r.remote.tried("good@b.test"), item)
				}
			})
		})
	}
}

// What waits in memory when the routes change goes where they lead then; nothing is tried on the old way, and nothing counted.
func TestRouteChangesWhileWaiting(t *testing.T) {
	var changed atomic.Bool
	bubble(t, func(r *rig) {
		r.options.PerHop = 1
		r.options.IsLocal = func(domain string) bool { return domain == "a.test" || domain == "c.test" && changed.Load() }
		r.options.NextHop = func(domain string) (string, string) {
			if domain == "b.test" && !changed.Load() {
				return "old.test:587", "a rule"
			}
			return domain, "another"
		}
		r.remote.answer = func(a spool.Attempt, _ int) mail.Status {
			if a.NextHop == "old.test:587" || a.NextHop == "c.test" {
				time.Sleep(time.Minute)
				if changed.Load() {
					return mail.NewStatus(451, "4.4.1", "it is switched off")
				}
			}
			return mail.NewStatus(250, "2.0.0", "ok")
		}
	}, func(t *testing.T, r *rig) {
		r.send("me@a.test", "first@b.test", "first@c.test") // they have the only places
		synctest.Wait()
		id := r.send("me@a.test", "you@b.test", "you@c.test", "you@d.test")
		synctest.Wait()
		changed.Store(true)
		time.Sleep(time.Minute)
		synctest.Wait()
		if item := r.load(id); item != nil {
			t.Errorf("still in the queue: %+v", item)
		}
		r.expect("filed", r.filed(id), []string{"you@c.test"})
		for _, path := range []string{"you@b.test", "you@d.test"} {
			if n := r.remote.tried(path); n != 1 {
				t.Errorf("%d attempts at %s", n, path)
			}
		}
	})
}

// New limits count for a next hop that is at work.
func TestLimitsChange(t *testing.T) {
	var limit atomic.Int64
	limit.Store(1)
	bubble(t, func(r *rig) {
		r.options.Limits = func(string) (int, float64) { return int(limit.Load()), 0 }
		r.remote.answer = func(spool.Attempt, int) mail.Status {
			time.Sleep(time.Hour)
			return mail.NewStatus(250, "2.0.0", "ok")
		}
	}, func(t *testing.T, r *rig) {
		for range 10 {
			r.send("me@a.test", "you@b.test")
		}
		synctest.Wait()
		limit.Store(4)
		r.queue.LimitsChanged()
		time.Sleep(time.Minute)
		if n := r.remote.atOnce("b.test"); n != 4 {
			t.Errorf("%d attempts at once, want 4", n)
		}
	})
}
