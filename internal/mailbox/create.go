package mailbox

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/record"
)

// Create adds to the batch an empty mailbox of an account, which is named by mail.Address.Key. Its UIDVALIDITY is that of
// no mailbox that the account, or an earlier one of that name, ever had: now in seconds, or one more than the newest
// (RFC 9051 §2.3.1.1 wants a mailbox that is made anew to have a higher one). A batch may have one Create for an account.
// The commit fails with store.ErrConflict if there is a mailbox of that name, another is created at the same moment, or the
// account's old mail is still being deleted (Abandon). Errors: those of the store.
func (m *Mailboxes) Create(ctx context.Context, b *store.Batch, account, name string, now time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	snap, err := m.st.Snapshot()
	if err != nil {
		return fmt.Errorf("create mailbox %s of %s: %w", name, account, err)
	}
	defer snap.Close()
	b.Check(keys.Mailbox(account, canonical(name)), store.Absent)
	return create(snap, b, account, name, now)
}

// create adds to the batch an empty mailbox, which takes the place of one of that name.
func create(snap store.Snapshot, b *store.Batch, account, name string, now time.Time) error {
	validity, err := newValidity(snap, b, account, now)
	if err != nil {
		return fmt.Errorf("create mailbox %s of %s: %w", name, account, err)
	}
	number := b.Count(keys.MailboxNumbers(account), 1, 0)
	value, numberAt := box{uidValidity: validity}.encode()
	b.Check(keys.Purge(account), store.Absent)
	b.Puts = append(b.Puts, store.Put{
		Key: keys.Mailbox(account, canonical(name)), Value: value, ValueSlots: []store.Slot{{Counter: number, At: numberAt, Width: 4}},
	})
	return nil
}

// newValidity returns a UIDVALIDITY that was not given before, and adds to the batch that it is now.
func newValidity(snap store.Snapshot, b *store.Batch, account string, now time.Time) (uint32, error) {
	key := keys.UIDValidity(account)
	value, version, err := snap.Get(key)
	var newest int64
	switch {
	case errors.Is(err, store.ErrNotFound):
		version = store.Absent
	case err != nil:
		return 0, err
	default:
		if newest, err = DecodeUIDValidity(value); err != nil {
			return 0, err
		}
	}
	next := max(newest+1, now.Unix())
	if next > math.MaxUint32 {
		return 0, errors.New("there is no higher UIDVALIDITY")
	}
	b.Check(key, version)
	b.Put(key, binary.BigEndian.AppendUint32(nil, uint32(next)))
	return uint32(next), nil
}

// DecodeUIDValidity reads the record of the newest UIDVALIDITY of an account. Errors: record.ErrCorrupt.
func DecodeUIDValidity(value []byte) (int64, error) {
	if len(value) != 4 {
		return 0, fmt.Errorf("the newest UIDVALIDITY: %w", record.ErrCorrupt)
	}
	return int64(binary.BigEndian.Uint32(value)), nil
}
