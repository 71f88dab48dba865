package mailbox

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
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
	if epoch == store.Absent { // the lock would count for nobody
		return fmt.Errorf("lock the maildrop of %s: the node is not one of the store's at the moment: %w", l.account, store.ErrUnavailable)
	}
	b := store.Batch{ID: store.NewBatchID(time.Now())}
	held, err := l.look(&b, key, number, epoch)
	if err != nil {
		return fmt.Errorf("lock the maildrop of %s: %w", l.account, err)
	}
	if held {
		return ErrLocked
	}
	b.Check(keys.Node(number), epoch)
	b.Put(key, binary.AppendUvarint(binary.AppendUvarint([]byte{lockFormat}, uint64(number)), uint64(epoch)))
	result, err := l.m.st.Commit(ctx, &b)
	switch {
	case errors.Is(err, store.ErrConflict): // somebody was faster
		return ErrLocked
	case err != nil:
		l.m.leave(l.account) // it may be there all the same
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

// End is Fence with the end of the lock in the same batch, which saves a commit; Ended is called when it is committed.
func (l *Lock) End(b *store.Batch) {
	l.Fence(b)
	if l.version != store.Absent {
		b.Delete(keys.Maildrop(l.account))
	}
}

// Ended says that the lock is not in the store any more: Unlock need not end it there.
func (l *Lock) Ended() { l.version = store.Absent }

// Lost says whether the lock is another's by now, or nobody's: the node was taken for dead. Errors: those of the store.
func (l *Lock) Lost(ctx context.Context) (bool, error) {
	if l.version == store.Absent {
		return false, nil
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	version, err := store.VersionOf(l.m.st, keys.Maildrop(l.account))
	if err != nil {
		return false, fmt.Errorf("look for the lock of %s: %w", l.account, err)
	}
	return version != l.version, nil
}

// unlockTime bounds how long a session that ends waits for the store.
const unlockTime = 5 * time.Second

// Unlock ends the lock. It may be called again. If the store cannot be reached, the lock stays there until FreeLocks.
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
		if _, err := l.m.st.Commit(ctx, &b); err != nil && !errors.Is(err, store.ErrConflict) { // else it is another's
			l.m.leave(l.account)
		}
	})
}

// leave notes that a lock may have been left in the store.
func (m *Mailboxes) leave(account string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.left[account] = struct{}{}
}

// FreeLocks ends the locks that could not be ended when their sessions were. Errors: those of the store; then it is to be called
// again.
func (m *Mailboxes) FreeLocks(ctx context.Context) error {
	m.mu.Lock()
	accounts := slices.Collect(maps.Keys(m.left))
	m.mu.Unlock()
	for _, account := range accounts {
		if !m.reserve(account) { // somebody here has it by now, and ends it
			continue
		}
		err := m.freeLock(ctx, account)
		m.mu.Lock()
		if err == nil { // before a session here can have it, and leave it again
			delete(m.left, account)
		}
		delete(m.locked, account)
		m.mu.Unlock()
		if err != nil {
			return fmt.Errorf("end the lock of %s: %w", account, err)
		}
	}
	return nil
}

// freeLock deletes a lock that is this node's, while nobody can take it here.
func (m *Mailboxes) freeLock(ctx context.Context, account string) error {
	snap, err := m.st.Snapshot()
	if err != nil {
		return err
	}
	defer snap.Close()
	key := keys.Maildrop(account)
	value, version, err := snap.Get(key)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	number, epoch := m.lease.Epoch()
	if ofNumber, ofEpoch, err := decodeLock(value); err != nil || ofNumber != number || ofEpoch != epoch {
		return nil // another's, or void
	}
	var b store.Batch
	b.Check(key, version)
	b.Delete(key)
	if _, err := m.st.Commit(ctx, &b); !errors.Is(err, store.ErrConflict) {
		return err
	}
	return nil
}
