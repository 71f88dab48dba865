package queue

import (
	"time"

	"waybill/internal/dialogue"
	"waybill/internal/mail"
	"waybill/internal/spool"
)

// A next hop that did not answer some times in a row is left alone for a while. What waits for it in memory waits until then,
// and is tried. Only if there is more than memory keeps for one next hop is it put off by the schedule without a try, so that
// a dead destination with a large backlog, of which each attempt takes half a minute or more, is worked through at all; the
// last of it waits, and is tried.

const (
	failureLimit = 3           // unanswered attempts in a row that make a next hop quiet
	quietTime    = time.Minute // how long, at most; the first retry delay if that is shorter
	quietMemory  = time.Hour   // how long a next hop's failures are remembered while nothing comes for it
)

var notTried = mail.NewStatus(451, "4.4.1", "")

// quiet says whether a task of a next hop is put off without a try, and why.
func (q *Queue) quiet(h *hop) (words string, yes bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return h.lastWords, time.Now().Before(h.quietUntil) && h.isCrowded()
}

// isCrowded says whether more waits for a next hop than memory keeps for one.
func (h *hop) isCrowded() bool { return len(h.left) > 0 || h.more || h.sought }

// listen notes whether a next hop answered at all.
func (q *Queue) listen(h *hop, outcomes []spool.Outcome) {
	words, silent := silence(outcomes)
	q.mu.Lock()
	defer q.mu.Unlock()
	if !silent {
		if h.failures > 0 {
			h.failures, h.quietUntil, h.lastWords = 0, time.Time{}, ""
			q.remote.rouse(h)
		}
		return
	}
	h.failures++
	h.lastWords = words
	if h.failures >= failureLimit {
		h.quietUntil = time.Now().Add(min(quietTime, q.schedule.retry[0]))
	}
}

// silence says whether every outcome is "no answer from host" (RFC 3463 §3.5: X.4.1), "no name server answered"
// (X.4.3), or a connection that came about and then failed (X.4.2), as with a host that never greets. A host's own
// words are an answer, whatever they say.
func silence(outcomes []spool.Outcome) (words string, yes bool) {
	for _, o := range outcomes {
		e := o.Status.Enhanced
		if !o.Status.Temporary() || o.RemoteMTA != "" || e[1] != 4 || e[2] < 1 || e[2] > 3 {
			return "", false
		}
		words = o.Status.Text
	}
	return dialogue.Printable(words), len(outcomes) > 0
}
