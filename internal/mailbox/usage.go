package mailbox

import (
	"context"
	"errors"
	"fmt"

	"waybill/internal/store"
	"waybill/internal/store/keys"
)

// Usage returns the octets of all mail of an account. Errors: those of the store.
func (m *Mailboxes) Usage(ctx context.Context, account string) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	snap, err := m.st.Snapshot()
	if err != nil {
		return 0, fmt.Errorf("usage of %s: %w", account, err)
	}
	defer snap.Close()
	value, _, err := snap.Get(keys.Octets(account))
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("usage of %s: %w", account, err)
	}
	return store.ReadCounter(value), nil
}
