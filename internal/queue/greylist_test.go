package queue

import (
	"testing"
	"testing/synctest"
	"time"

	"waybill/internal/mail"
	"waybill/internal/spool"
)

func TestNamedDelay(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"Greylisted, try again in 300 seconds":                    5 * time.Minute,
		"Greylisting in action, please come back in 00:04:32":     4*time.Minute + 32*time.Second,
		"greylisted, please retry after 5 min":                    5 * time.Minute,
		"Graylisted; wait at least 60s":                           time.Minute,
		"Greylisted, see http://postgrey.schweikert.ch/help/x.ht": 0,
		"in 99999999999999999999 seconds":                         0,
		"mail from 10 senders":                                    0,
	} {
		if got := namedDelay(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// A message that is greylisted is tried again soon, where the schedule is long; one that is refused otherwise is not.
func TestGreylisting(t *testing.T) {
	words := map[string]string{"grey.test": "Greylisted, come again in 2 minutes", "busy.test": "come again in 2 minutes"}
	bubble(t, func(r *rig) {
		r.options.Retry = []time.Duration{time.Hour}
		r.remote.answer = func(a spool.Attempt, _ int) mail.Status { return mail.NewStatus(451, "4.7.1", words[a.NextHop]) }
		r.remote.host = "mx.test"
	}, func(t *testing.T, r *rig) {
		began := time.Now()
		due := func(id mail.ID) time.Duration { synctest.Wait(); return r.load(id).Due.Sub(began) }
		grey, busy := r.send("me@a.test", "you@grey.test"), r.send("me@a.test", "you@busy.test")
		if got := due(grey); got != 2*time.Minute+time.Second {
			t.Errorf("the greylisted message is due after %v", got)
		}
		if got := due(busy); got != time.Hour {
			t.Errorf("the other one is due after %v", got)
		}
		time.Sleep(30 * time.Minute)
		if got := r.load(grey).Attempts; got != greyTries+1 {
			t.Errorf("%d attempts at the host that greylists, want %d and then the schedule", got, greyTries+1)
		}
		both := r.send("me@a.test", "you@grey.test", "you@busy.test")
		if got := due(both); got != time.Hour+30*time.Minute {
			t.Errorf("a message that waits for others too is due after %v", got)
		}
	})
}
