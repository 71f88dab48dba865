package node

import (
	"context"
	"errors"
	"sync"
	"time"

	"waybill/internal/control"
	"waybill/internal/mail"
	"waybill/internal/spool"
	"waybill/internal/store"
)

// Bounds of what one request looks at and answers.
const (
	queuePage    = 500    // items of an answer
	queueLooked  = 20_000 // items that are looked at for it
	queueReading = 500    // items that are read at once
)

// Queue returns messages in the queue, a page at a time.
func (k *core) Queue(ctx context.Context, f control.QueueFilter) (control.QueuePage, error) {
	if f.Limit <= 0 || f.Limit > queuePage {
		f.Limit = queuePage
	}
	if len(f.IDs) > 0 {
		return k.queueOf(ctx, f)
	}
	page := control.QueuePage{Next: f.After}
	now := time.Now()
	for looked := 0; looked < queueLooked; looked += queueReading {
		items, err := k.spool.Scan(ctx, page.Next, queueReading)
		if err != nil {
			return control.QueuePage{}, err
		}
		for _, item := range items {
			page.Next = item.ID
			if i := queueItem(item); f.Matches(i, now) {
				page.Items = append(page.Items, i)
			}
			if len(page.Items) == f.Limit {
				return page, nil
			}
		}
		if len(items) < queueReading {
			page.Next = ""
			break
		}
	}
	return page, nil
}

// queueOf returns those with the ids of the filter.
func (k *core) queueOf(ctx context.Context, f control.QueueFilter) (page control.QueuePage, err error) {
	for _, id := range f.IDs {
		item, err := k.spool.Load(ctx, id)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return control.QueuePage{}, err
		}
		if i := queueItem(item); f.Matches(i, time.Now()) {
			page.Items = append(page.Items, i)
		}
	}
	return page, nil
}

func queueItem(item *spool.Item) control.QueueItem {
	i := control.QueueItem{
		ID: item.ID, Unreadable: len(item.Recipients) == 0, ReversePath: item.ReversePath.String(), Accepted: item.Accepted,
		Due: item.Due, Held: item.IsHeld(), Expires: item.Expires, Attempts: item.Attempts, Size: item.Body.Total(),
	}
	for _, r := range item.Recipients {
		q := control.QueueRecipient{Address: r.ForwardPath.String(), Original: r.Original.String(), Sender: r.Sender.String(), State: r.State}
		if r.Status.Code != 0 {
			q.Status = r.Status.String()
		}
		i.Recipients = append(i.Recipients, q)
	}
	return i
}

// managedAtOnce is how many messages are worked on at the same time: other nodes take half a second to answer.
const managedAtOnce = 32

// ManageQueue does something to messages, and returns those to which it could not be done.
func (k *core) ManageQueue(ctx context.Context, ids []mail.ID, action spool.Action) (refused []control.Refusal, err error) {
	errs := make([]error, len(ids))
	var working sync.WaitGroup
	free := make(chan struct{}, managedAtOnce)
	for i, id := range ids {
		free <- struct{}{}
		working.Go(func() {
			defer func() { <-free }()
			if errs[i] = ctx.Err(); errs[i] == nil {
				errs[i] = k.queue.Manage(ctx, id, action)
			}
		})
	}
	working.Wait()
	for i, err := range errs {
		if err != nil {
			refused = append(refused, control.Refusal{ID: ids[i], Reason: err.Error()})
		}
	}
	return refused, ctx.Err()
}
