package mailbox

import (
	"errors"
	"fmt"

	"waybill/internal/store"
)

// isDamage says whether err is that of a part of the store, and not of the whole of it.
func isDamage(err error) bool {
	return !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrClosed)
}

// listOneByOne adds to a listing the messages behind the UID last. It is for a mailbox part of which cannot be read: a scan
// ends there. Which UIDs of that part had a message is not known; all of them count as damaged.
func (x box) listOneByOne(snap store.Snapshot, l *Listing, last uint32, limit int) error {
	value, _, err := snap.Get(x.UIDs())
	if err != nil {
		return fmt.Errorf("list mailbox %d of %s one by one: %w", x.Number, x.Account, err)
	}
	newest := store.ReadCounter(value)
	for uid := int64(last) + 1; uid <= newest && (limit <= 0 || len(l.Entries) < limit); uid++ {
		value, version, err := snap.Get(x.Message(uint32(uid)))
		switch {
		case err == nil:
			l.add(x, uint32(uid), value, version)
		case errors.Is(err, store.ErrNotFound):
		case isDamage(err):
			l.Damaged = append(l.Damaged, uint32(uid))
		default:
			return fmt.Errorf("list mailbox %d of %s one by one: %w", x.Number, x.Account, err)
		}
	}
	return nil
}
