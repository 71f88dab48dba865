package mailbox

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/lease"
	"waybill/internal/store/record"
)

// ErrLocked: another session has the maildrop.
var ErrLocked = errors.New("the maildrop is locked by another session")

// Lock is the exclusive use of an account's maildrop (RFC 1939 §4). Where several nodes share the store it stands there too, with
// the node's membership, and so is void when the node dies or is taken for dead.
type Lock struct {
	m       *Mailboxes
	account string
	version store.Version // of its key; Absent: there is none
	unlock  sync.Once
}

// LockMaildrop gives one session the exclusive use of an account's maildrop until Unlock. Errors: ErrLocked, those of the store.
func (m *Mailboxes) LockMaildrop(ctx context.Context, account string) (*Lock, error) {
	if !m.reserve(account) {
		return nil, ErrLocked
	}
	l := &Lock{m: m, account: account}
	if !m.lease.Shared() {
		return l, nil
	}
	if err := l.write(ctx); err != nil {
		m.free(account)
		return nil, err
	}
	return l, nil
}

func (m *Mailboxes) reserve(account string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, taken := m.locked[account]
	m.locked[account] = struct{}{}
	return !taken
}

func (m *Mailboxes) free(account string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.locked, account)
}

const lockFormat = 1

// write puts the lock into the store, if no member has it there. What stands there of this node is left over: else the account
// would be reserved.
func (l *Lock) write(ctx context.Context) error {
	key := keys.Maildrop(l.account)
	number, epoch := l.m.lease.Epoch()
	b := store.Batch{ID: store.NewBatchID(time.Now())}
	held, err := l.look(&b, key, number, epoch)
	if err != nil {
		return fmt.Errorf("lock the maildrop of %s: %w", l.account, err)
	}
	if held {
		return ErrLocked
	}
	l.m.lease.Fence(&b, number)
	b.Put(key, binary.AppendUvarint(binary.AppendUvarint([]byte{lockFormat}, uint64(number)), uint64(epoch)))
	result, err := l.m.st.Commit(ctx, &b)
	switch {
	case errors.Is(err, store.ErrConflict): // somebody was faster
		return ErrLocked
	case err != nil:
		return fmt.Errorf("lock the maildrop of %s: %w", l.account, err)
	}
	l.version = result.Version
	return nil
}

// look says whether another member has the lock, and adds to the batch the checks that it stays as it is.
func (l *Lock) look(b *store.Batch, key []byte, number uint16, epoch store.Version) (held bool, err error) {
	snap, err := l.m.st.Snapshot()
	if err != nil {
		return false, err
	}
	defer snap.Close()
	value, version, err := snap.Get(key)
	if errors.Is(err, store.ErrNotFound) {
		b.Check(key, store.Absent)
		return false, nil
	}
	if err != nil {
		return false, err
	}
	b.Check(key, version)
	ofNumber, ofEpoch, err := decodeLock(value)
	if err != nil || ofNumber == number && ofEpoch == epoch { // nobody can have a lock that cannot be read
		return false, nil
	}
	return lease.Member(snap, ofNumber, ofEpoch)
}

func decodeLock(value []byte) (number uint16, epoch store.Version, err error) {
	r := record.NewReader(value, lockFormat)
	number, epoch = uint16(r.Uvarint()), store.Version(r.Uvarint())
	return number, epoch, r.End()
}

// ReadableLock returns why the value of a lock in the store cannot be read; nil if it can.
func ReadableLock(value []byte) error {
	_, _, err := decodeLock(value)
	return err
}

// Fence makes the batch fail with store.ErrConflict unless the session still has the lock.
func (l *Lock) Fence(b *store.Batch) {
	if l.version != store.Absent {
		b.Check(keys.Maildrop(l.account), l.version)
	}
}

// Lost says whether the lock is another's by now, or nobody's: the node was taken for dead. Errors: those of the store.
func (l *Lock) Lost(ctx context.Context) (bool, error) {
	if l.version == store.Absent {
		return false, nil
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	snap, err := l.m.st.Snapshot()
	if err != nil {
		return false, fmt.Errorf("look for the lock of %s: %w", l.account, err)
	}
	defer snap.Close()
	_, version, err := snap.Get(keys.Maildrop(l.account))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return false, fmt.Errorf("look for the lock of %s: %w", l.account, err)
	}
	return version != l.version, nil
}

// unlockTime bounds how long a session that ends waits for the store.
const unlockTime = 5 * time.Second

// Unlock ends the lock. It may be called again. If the store cannot be reached, the lock stays there until this node, or its
// successor, is asked for it.
func (l *Lock) Unlock() {
	l.unlock.Do(func() {
		defer l.m.free(l.account)
		if l.version == store.Absent {
			return
		}
		var b store.Batch
		l.Fence(&b)
		b.Delete(keys.Maildrop(l.account))
		ctx, cancel := context.WithTimeout(context.Background(), unlockTime)
		defer cancel()
		_, _ = l.m.st.Commit(ctx, &b)
	})
}
