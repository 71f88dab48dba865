package mailbox

import (
	"bytes"
	"context"
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
// What a stop leaves is deleted by the next call. Errors: those of the store.
func (m *Mailboxes) Purge(ctx context.Context) (messages int, err error) {
	marked, err := m.abandoned()
	if err != nil {
		return 0, fmt.Errorf("purge: %w", err)
	}
	for _, x := range marked {
		for {
			n, err := m.purgeSome(ctx, x)
			messages += n
			if err != nil {
				return messages, fmt.Errorf("purge %s: %w", x.Account, err)
			}
			if n < purgeAtOnce {
				break
			}
		}
	}
	return messages, nil
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
// there.
func (m *Mailboxes) purgeSome(ctx context.Context, x keys.Box) (n int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	snap, err := m.st.Snapshot()
	if err != nil {
		return 0, err
	}
	defer snap.Close()
	whole := x.Number == 0
	messages := x.Messages()
	if whole {
		messages = keys.AllMessages(x.Account)
	}
	var b store.Batch
	var octets int64
	for e, err := range snap.Scan(store.Prefix(messages)) {
		if err != nil {
			return 0, err
		}
		if n == purgeAtOnce {
			break
		}
		n++
		b.Delete(bytes.Clone(e.Key))
		if entry, err := DecodeEntry(e.Value); err == nil { // one that cannot be read holds a body for ever
			m.bodies.Drop(&b, entry.Body, bodies.Holder(e.Key))
			octets += entry.Size
		}
	}
	if !whole && octets > 0 {
		b.Count(keys.Octets(x.Account), -octets, 0)
	}
	if n < purgeAtOnce {
		m.endPurge(&b, x)
	}
	_, err = m.st.Commit(ctx, &b)
	return n, err
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
