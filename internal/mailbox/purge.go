package mailbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"waybill/internal/store"
	"waybill/internal/store/bodies"
	"waybill/internal/store/keys"
)

// purgeAtOnce bounds the messages that one batch of Purge deletes.
const purgeAtOnce = 500

// Abandon adds to the batch the end of all mailboxes of an account: nothing is filed any more, and Purge deletes what is in
// them, which may be much. Until that is over no mailbox of that account can be created.
func (m *Mailboxes) Abandon(b *store.Batch, account string) {
	b.DeleteRanges = append(b.DeleteRanges, store.Prefix(keys.Mailboxes(account)))
	b.Put(keys.Purge(account), nil)
}

// Purge deletes what was abandoned or in mailboxes that were removed, in batches, and returns how many messages that were.
// What a stop leaves is deleted by the next call. Calls wait for one another. Where one mailbox cannot be read, the others are
// deleted all the same. Errors: a done context, those of the store, joined.
func (m *Mailboxes) Purge(ctx context.Context) (messages int, err error) {
	m.purging.Lock()
	defer m.purging.Unlock()
	marked, err := m.abandoned()
	if err != nil {
		return 0, fmt.Errorf("purge: %w", err)
	}
	var failed []error
	for _, x := range marked {
		n, err := m.purge(ctx, x)
		messages += n
		if err == nil {
			continue
		}
		failed = append(failed, fmt.Errorf("purge %s: %w", x.Account, err))
		if ctx.Err() != nil || !isDamage(err) {
			break
		}
	}
	return messages, errors.Join(failed...)
}

func (m *Mailboxes) purge(ctx context.Context, x keys.Box) (messages int, err error) {
	for {
		n, more, err := m.purgeSome(ctx, x)
		if errors.Is(err, store.ErrConflict) { // somebody else is at it, and does the rest
			return messages, nil
		}
		messages += n
		if err != nil || !more {
			return messages, err
		}
	}
}

func (m *Mailboxes) abandoned() (marked []keys.Box, err error) {
	snap, err := m.st.Snapshot()
	if err != nil {
		return nil, err
	}
	defer snap.Close()
	for e, err := range snap.Scan(store.Prefix(keys.Purges())) {
		if err != nil {
			return nil, err
		}
		if x, ok := keys.ParsePurge(e.Key); ok {
			marked = append(marked, x)
		}
	}
	return marked, nil
}

// purgeSome deletes some messages of a mailbox, or of all mailboxes of an account; with the last ones all else that was
// there. Without the mark nothing is deleted: by then others may have made an account of that name. Each batch checks the
// mark and writes it anew, so that of two callers one meets a conflict, and no octet is subtracted twice.
func (m *Mailboxes) purgeSome(ctx context.Context, x keys.Box) (n int, more bool, err error) {
	if err := ctx.Err(); err != nil {
		return 0, false, err
	}
	snap, err := m.st.Snapshot()
	if err != nil {
		return 0, false, err
	}
	defer snap.Close()
	mark := markOf(x)
	_, version, err := snap.Get(mark)
	if errors.Is(err, store.ErrNotFound) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	var b store.Batch
	b.Check(mark, version)
	n, octets, err := m.dropSome(snap, &b, x)
	if err != nil {
		return 0, false, err
	}
	if x.Number != 0 && octets > 0 {
		b.Count(keys.Octets(x.Account), -octets, 0)
	}
	if more = n == purgeAtOnce; more {
		b.Put(mark, nil)
	} else {
		m.endPurge(&b, x)
	}
	if _, err = m.st.Commit(ctx, &b); err != nil {
		return 0, false, err
	}
	return n, more, nil
}

func markOf(x keys.Box) []byte {
	if x.Number == 0 {
		return keys.Purge(x.Account)
	}
	return x.Purge()
}

// dropSome adds to the batch the end of up to purgeAtOnce messages, and returns how many octets they have.
func (m *Mailboxes) dropSome(snap store.Snapshot, b *store.Batch, x keys.Box) (n int, octets int64, err error) {
	messages := x.Messages()
	if x.Number == 0 {
		messages = keys.AllMessages(x.Account)
	}
	r := store.Prefix(messages)
	r.Limit = purgeAtOnce
	for e, err := range snap.Scan(r) {
		if err != nil {
			return 0, 0, err
		}
		n++
		b.Delete(bytes.Clone(e.Key))
		if entry, err := DecodeEntry(e.Value); err == nil { // one that cannot be read holds a body for ever
			m.bodies.Drop(b, entry.Body, bodies.Holder(e.Key))
			octets += entry.Size
		}
	}
	return n, octets, nil
}

// endPurge adds to the batch the end of what is left beside messages.
func (m *Mailboxes) endPurge(b *store.Batch, x keys.Box) {
	if x.Number != 0 {
		b.Delete(x.Purge())
		b.DeleteRanges = []store.Range{store.Prefix(x.Counters()), store.Prefix(x.Tombstones())}
		return
	}
	b.Delete(keys.Octets(x.Account))
	b.Delete(keys.MailboxNumbers(x.Account))
	b.DeleteRanges = []store.Range{
		store.Prefix(keys.MailboxCounters(x.Account)), store.Prefix(keys.AllGone(x.Account)), store.Prefix(keys.Purge(x.Account)),
		store.Prefix(keys.AllImported(x.Account)),
	}
}
