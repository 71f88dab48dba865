package queue

import (
	"fmt"
	"time"

	"waybill/internal/mail"
	"waybill/internal/spool"
	"waybill/internal/trail"
)

const role = "MTA"

func (q *Queue) event(item *spool.Item, kind trail.Kind, at time.Time) trail.Event {
	return trail.Event{Kind: kind, At: at, Actor: q.Hostname, Role: role, Message: item.ID, Attempt: item.Attempts}
}

func (q *Queue) recipientEvent(item *spool.Item, kind trail.Kind, at time.Time, i int) trail.Event {
	ev := q.event(item, kind, at)
	ev.Recipient = item.Recipients[i].ForwardPath.String()
	return ev
}

// routed tells which next hop each recipient of a task has and why, with the first attempt at it.
func (q *Queue) routed(t *task) []trail.Event {
	e := t.entry
	var events []trail.Event
	for _, i := range t.recipients {
		if e.item.Recipients[i].Status.Code != 0 {
			continue
		}
		ev := q.recipientEvent(e.item, trail.Routed, e.began, i)
		ev.Attempt = e.attempt
		ev.Decision = q.decision(t.nextHop, e.item.Recipients[i].ForwardPath)
		events = append(events, ev)
	}
	return events
}

func (q *Queue) decision(nextHop string, path mail.Address) *trail.Decision {
	_, rule := q.nextHop(path)
	d := &trail.Decision{Question: "what is the next hop for " + path.String() + "?", Outcome: nextHop, Rule: rule}
	switch {
	case nextHop == localHop:
		d.Outcome = "local"
	case nextHop == path.Domain && nextHop[0] != '[':
		d.Outcome = "MX of " + nextHop
	}
	return d
}

// deferred tells of the recipients that are tried again; NextAt is not known yet.
func (q *Queue) deferred(item *spool.Item, v verdicts, now time.Time) []trail.Event {
	var events []trail.Event
	for _, r := range v.deferred {
		ev := q.recipientEvent(item, trail.Deferred, now, r.recipient)
		status := item.Recipients[r.recipient].Status
		ev.Status = &status
		ev.Text = fmt.Sprintf("attempt %d failed for now; it is made again until %s", item.Attempts,
			item.Expires.UTC().Format(time.RFC3339))
		events = append(events, ev)
	}
	return events
}

// failed tells of the recipients that are given up.
func (q *Queue) failed(item *spool.Item, v verdicts, now time.Time) []trail.Event {
	var events []trail.Event
	for _, r := range v.failed {
		ev := q.recipientEvent(item, trail.Failed, now, r.recipient)
		status := item.Recipients[r.recipient].Status
		ev.Status = &status
		events = append(events, ev)
	}
	return events
}
