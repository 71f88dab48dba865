package maildrop

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"waybill/internal/mailbox"
	"waybill/internal/pop3"
	"waybill/internal/store"
)

// drop is an account's INBOX as it was at the login.
type drop struct {
	service *Service
	story   *story
	account string
	lock    *mailbox.Lock
	entries []mailbox.Entry
	infos   []pop3.MessageInfo
	started map[int]time.Time // when messages were opened, by number
}

// describe fills infos. A UID is never used again under the same UIDVALIDITY, so both together are a good UIDL.
func (d *drop) describe(ctx context.Context, validity uint32) error {
	d.infos = make([]pop3.MessageInfo, len(d.entries))
	for i, e := range d.entries {
		size, err := d.size(ctx, e)
		if err != nil {
			return fmt.Errorf("size of message %d of %s: %w", e.UID, d.account, err)
		}
		d.infos[i] = pop3.MessageInfo{Size: size, UIDL: fmt.Sprintf("%d.%d", validity, e.UID)}
	}
	return nil
}

// Messages implements pop3.Maildrop.
func (d *drop) Messages() []pop3.MessageInfo { return slices.Clone(d.infos) }

// Open implements pop3.Maildrop.
func (d *drop) Open(ctx context.Context, n int) (pop3.Content, error) {
	d.started[n] = time.Now()
	content, err := d.service.open(ctx, d.account, d.entries[n-1])
	if errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("%w: %w", pop3.ErrGone, err)
	}
	if err != nil {
		return nil, err
	}
	return content, nil
}

// Retrieved implements pop3.Maildrop.
func (d *drop) Retrieved(n int) {
	d.story.fetched(d.entries[n-1].ID, n, d.infos[n-1], d.started[n])
}

// Release implements pop3.Maildrop.
func (d *drop) Release() { d.lock.Unlock() }

// Quit implements pop3.Maildrop: the messages, with the events that tell of it, go in one batch. Messages that
// somebody else removed meanwhile are gone already, which is as good.
func (d *drop) Quit(ctx context.Context, deleted []int) error {
	var doomed []mailbox.Entry
	for _, n := range deleted {
		doomed = append(doomed, d.entries[n-1])
	}
	for range maxConflicts {
		if len(doomed) == 0 {
			return nil
		}
		err := d.expunge(ctx, doomed)
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
		if lost, err := d.lock.Lost(ctx); lost || err != nil {
			return errors.Join(err, fmt.Errorf("delete from %s: this server was cut off, and the maildrop may be another's", d.account))
		}
		if doomed, err = d.remaining(ctx, doomed); err != nil {
			return err
		}
	}
	return fmt.Errorf("delete from %s: %w", d.account, store.ErrConflict)
}

// Bounds of what QUIT tries again: a mailbox that keeps changing, and a store whose answer is not known.
const (
	maxConflicts = 10
	maxUnknown   = 6
	firstPause   = 100 * time.Millisecond // doubled each time
)

// expunge commits one batch and publishes its events.
func (d *drop) expunge(ctx context.Context, doomed []mailbox.Entry) error {
	began := time.Now()
	b := &store.Batch{ID: store.NewBatchID(began)}
	d.lock.End(b)
	d.service.Mailboxes.Expunge(b, d.account, mailbox.Inbox, doomed)
	events := d.story.deletions(doomed, began)
	for _, id := range events.order {
		d.service.Trail.Append(b, id, events.of[id])
	}
	if err := d.commit(ctx, b); err != nil {
		return fmt.Errorf("delete %d messages of %s: %w", len(doomed), d.account, err)
	}
	d.lock.Ended()
	for _, id := range events.order {
		d.story.touch(id)
		d.service.Trail.Publish(events.of[id])
	}
	d.story.deleted = len(doomed)
	return nil
}

// commit asks again, with the batch's id, when the store could not say what became of it.
func (d *drop) commit(ctx context.Context, b *store.Batch) error {
	_, err := d.service.Store.Commit(ctx, b)
	unknown := errors.Is(err, store.ErrUnknown)
	for i := 0; unknown && i < maxUnknown; i++ {
		select {
		case <-ctx.Done():
			return err
		case <-time.After(firstPause << i):
		}
		if _, err = d.service.Store.Commit(ctx, b); err == nil || errors.Is(err, store.ErrConflict) {
			break
		}
	}
	return err
}

// remaining returns those of the entries that are still there, as they are now.
func (d *drop) remaining(ctx context.Context, doomed []mailbox.Entry) ([]mailbox.Entry, error) {
	now, err := d.service.Mailboxes.List(ctx, d.account, mailbox.Inbox)
	if err != nil {
		return nil, fmt.Errorf("list %s again: %w", d.account, err)
	}
	uids := map[uint32]bool{}
	for _, e := range doomed {
		uids[e.UID] = true
	}
	return slices.DeleteFunc(now.Entries, func(e mailbox.Entry) bool { return !uids[e.UID] }), nil
}
