package queue

import (
	"context"
	"slices"
	"time"

	"waybill/internal/mail"
	"waybill/internal/spool"
	"waybill/internal/store"
	"waybill/internal/trail"
)

// maxAtOnce bounds the recipients of a message that is filed with its acceptance: beyond it the client would wait long.
const maxAtOnce = 10

// AtOnce files a message with the batch that accepts it, if all its recipients have mailboxes here: that saves it the way
// through the queue, and it is there when its sender is told that we have it. b has the body (spool.Spool.Pass); events
// belong into it too. If all is false, b is of no use: not everybody can get the message so, and it goes through the
// queue, which finds out who and why.
func (q *Queue) AtOnce(ctx context.Context, b *store.Batch, item *spool.Item) (events []trail.Event, all bool) {
	if len(item.Recipients) > maxAtOnce || item.Hops == nil { // the header cannot be read before the batch is committed
		return nil, false
	}
	e := &entry{id: item.ID, item: item, began: time.Now(), attempt: item.Attempts + 1}
	t := &task{entry: e, nextHop: localHop}
	for i := range item.Recipients {
		if !q.isPlain(&item.Recipients[i]) {
			return nil, false
		}
		t.recipients = append(t.recipients, i)
	}
	a := t.attemptOf()
	a.Passing = true
	r := q.attempt(ctx, q.Local, a, b)
	if len(r.outcomes) != len(t.recipients) || slices.ContainsFunc(r.outcomes, func(o spool.Outcome) bool { return !o.Status.Success() }) {
		return nil, false
	}
	done := q.event(item, trail.Done, time.Now())
	done.Attempt = e.attempt
	return slices.Concat(q.routed(t), r.events, []trail.Event{done}), true
}

// isPlain says whether a recipient is local, and nobody is to be told that it has the message.
func (q *Queue) isPlain(r *spool.Recipient) bool {
	name, _ := q.nextHop(r.ForwardPath)
	return name == localHop && r.Report.Notify&mail.NotifySuccess == 0
}
