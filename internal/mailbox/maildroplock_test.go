package mailbox

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"waybill/internal/store"
	"waybill/internal/store/bodies"
	"waybill/internal/store/lease"
	"waybill/internal/store/pebble/pebbletest"
	"waybill/internal/store/storetest"
)

func TestLockMaildrop(t *testing.T) {
	t.Parallel()
	checkLock(t, newFixture(t).Mailboxes)
}

// checkLock holds the locks of one node to what they promise.
func checkLock(t *testing.T, m *Mailboxes) {
	t.Helper()
	first, err := m.LockMaildrop(t.Context(), alice)
	if err != nil {
		t.Fatal(err)
	}
	if other, err := m.LockMaildrop(t.Context(), bob); err != nil {
		t.Error("another's maildrop is locked:", err)
	} else {
		defer other.Unlock()
	}
	if _, err := m.LockMaildrop(t.Context(), alice); !errors.Is(err, ErrLocked) {
		t.Error("locked twice:", err)
	}
	first.Unlock()
	second, err := m.LockMaildrop(t.Context(), alice)
	if err != nil {
		t.Fatal("still locked:", err)
	}
	first.Unlock() // again: it must not open the second one's
	if _, err := m.LockMaildrop(t.Context(), alice); !errors.Is(err, ErrLocked) {
		t.Error("the first unlock opened the second lock:", err)
	}
	second.Unlock()
}

// several runs a test in a bubble of time, with three nodes of one store.
func several(t *testing.T, f func(t *testing.T, nodes [3]*Mailboxes, lines [3]*storetest.Line)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := pebbletest.Open(t)
		var nodes [3]*Mailboxes
		var lines [3]*storetest.Line
		for i := range nodes {
			lines[i] = &storetest.Line{Store: st}
			l, err := lease.Join(t.Context(), lease.Options{Store: lines[i]})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Leave(context.Background())
			nodes[i] = New(lines[i], bodies.New(st), l)
		}
		f(t, nodes, lines)
	})
}

// lockOf locks a maildrop that nobody may have any more; otherwise says what is wrong then.
func lockOf(t *testing.T, m *Mailboxes, account, otherwise string) *Lock {
	t.Helper()
	lock, err := m.LockMaildrop(t.Context(), account)
	if err != nil {
		t.Fatal(otherwise, err)
	}
	return lock
}

// commit makes a batch of a session that has the lock.
func (l *Lock) commit(t *testing.T) error {
	b := store.Batch{Puts: []store.Put{{Key: []byte("deleted")}}}
	l.Fence(&b)
	_, err := l.m.st.Commit(t.Context(), &b)
	return err
}

func TestLockAmongNodes(t *testing.T) {
	several(t, func(t *testing.T, nodes [3]*Mailboxes, _ [3]*storetest.Line) {
		for _, m := range nodes {
			checkLock(t, m)
		}
		lock := lockOf(t, nodes[0], alice, "not locked:")
		for range 3 {
			for _, m := range nodes {
				if _, err := m.LockMaildrop(t.Context(), alice); !errors.Is(err, ErrLocked) {
					t.Error("locked twice:", err)
				}
			}
			time.Sleep(10 * time.Minute)
		}
		if err := lock.commit(t); err != nil {
			t.Error("the session that has the lock cannot delete:", err)
		}
		if lost, err := lock.Lost(t.Context()); lost || err != nil {
			t.Error("the lock is lost:", lost, err)
		}
		lock.Unlock()
		lock = lockOf(t, nodes[1], alice, "still locked:")
		lock.Unlock()
	})
}

// TestLockEndsWithItsNode: a node that was taken for dead has no locks any more, whatever it believes.
func TestLockEndsWithItsNode(t *testing.T) {
	several(t, func(t *testing.T, nodes [3]*Mailboxes, lines [3]*storetest.Line) {
		lock := lockOf(t, nodes[0], alice, "not locked:")
		lines[0].Cut.Store(true)
		time.Sleep(5 * time.Second)
		if _, err := nodes[1].LockMaildrop(t.Context(), alice); !errors.Is(err, ErrLocked) {
			t.Error("a node that only does not answer lost its lock at once:", err)
		}
		time.Sleep(25 * time.Second)
		second := lockOf(t, nodes[1], alice, "the lock outlived its node:")
		if _, err := nodes[2].LockMaildrop(t.Context(), alice); !errors.Is(err, ErrLocked) {
			t.Error("locked twice:", err)
		}
		lines[0].Cut.Store(false)
		if err := lock.commit(t); !errors.Is(err, store.ErrConflict) {
			t.Error("a session that has lost its lock deletes:", err)
		}
		if lost, err := lock.Lost(t.Context()); !lost || err != nil {
			t.Error("it is not told that the lock is lost:", err)
		}
		lock.Unlock() // it must not open the second one's
		if err := second.commit(t); err != nil {
			t.Error("the second session cannot delete:", err)
		}
		second.Unlock()
	})
}

// TestLockOfNoMember: a node that was taken for dead, and is not back yet, can lock nothing: nobody would mind its locks.
func TestLockOfNoMember(t *testing.T) {
	several(t, func(t *testing.T, nodes [3]*Mailboxes, lines [3]*storetest.Line) {
		lines[0].Cut.Store(true)
		time.Sleep(time.Minute)
		lines[0].Tear.Store(true)
		lines[0].Cut.Store(false)
		for !lines[0].Cut.Load() { // until it has learned that
			time.Sleep(10 * time.Millisecond)
		}
		lines[0].Cut.Store(false)
		if _, err := nodes[0].LockMaildrop(t.Context(), alice); !errors.Is(err, store.ErrUnavailable) {
			t.Error("it locks a maildrop:", err)
		}
		time.Sleep(time.Minute)
		lock := lockOf(t, nodes[0], alice, "it is back, and cannot lock:")
		if _, err := nodes[1].LockMaildrop(t.Context(), alice); !errors.Is(err, ErrLocked) {
			t.Error("locked twice:", err)
		}
		lock.Unlock()
	})
}

// TestLockThatWasLeft: what could not be unlocked keeps nobody of this node out, and others as long as the node lives.
func TestLockThatWasLeft(t *testing.T) {
	several(t, func(t *testing.T, nodes [3]*Mailboxes, lines [3]*storetest.Line) {
		lock := lockOf(t, nodes[0], alice, "not locked:")
		lines[0].Cut.Store(true)
		lock.Unlock()
		lines[0].Cut.Store(false)
		lock = lockOf(t, nodes[0], alice, "the node cannot lock what it could not unlock:")
		lock.Unlock()
		lock = lockOf(t, nodes[1], alice, "not locked:")
		lock.Unlock()
	})
}

// TestLockLeftToAnother: what a node could not unlock, and another one has by now, is that one's.
func TestLockLeftToAnother(t *testing.T) {
	several(t, func(t *testing.T, nodes [3]*Mailboxes, lines [3]*storetest.Line) {
		lock := lockOf(t, nodes[0], alice, "not locked:")
		lines[0].Cut.Store(true)
		lock.Unlock()
		time.Sleep(30 * time.Second)
		second := lockOf(t, nodes[1], alice, "not locked:")
		lines[0].Cut.Store(false)
		if err := nodes[0].FreeLocks(t.Context()); err != nil {
			t.Error(err)
		}
		if err := second.commit(t); err != nil {
			t.Error("another node's lock was ended:", err)
		}
		second.Unlock()
	})
}

// TestLockEndsWithABatch: the batch of a session's end can end its lock too, if it has that still.
func TestLockEndsWithABatch(t *testing.T) {
	several(t, func(t *testing.T, nodes [3]*Mailboxes, lines [3]*storetest.Line) {
		lock := lockOf(t, nodes[0], alice, "not locked:")
		var b store.Batch
		lock.End(&b)
		if _, err := lines[0].Commit(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		lock.Ended()
		second := lockOf(t, nodes[1], alice, "the lock did not end with the batch:")
		b = store.Batch{Puts: []store.Put{{Key: []byte("deleted")}}}
		lock.version = 1 // as if it did not know that it has ended
		lock.End(&b)
		if _, err := lines[0].Commit(t.Context(), &b); !errors.Is(err, store.ErrConflict) {
			t.Error("a session ended a lock that it does not have:", err)
		}
		lock.Ended()
		lines[0].Cut.Store(true)
		lock.Unlock()
		lines[0].Cut.Store(false)
		if len(nodes[0].left) > 0 {
			t.Error("the store was asked to end a lock that has ended")
		}
		if err := second.commit(t); err != nil {
			t.Error("the second session lost its lock:", err)
		}
		second.Unlock()
	})
}

// TestLockIsFreedLater: what could not be unlocked keeps other nodes out no longer than the store is away.
func TestLockIsFreedLater(t *testing.T) {
	several(t, func(t *testing.T, nodes [3]*Mailboxes, lines [3]*storetest.Line) {
		lock := lockOf(t, nodes[0], alice, "not locked:")
		used := lockOf(t, nodes[0], bob, "not locked:")
		lines[0].Cut.Store(true)
		lock.Unlock()
		used.Unlock()
		if err := nodes[0].FreeLocks(t.Context()); !errors.Is(err, store.ErrUnavailable) {
			t.Error("while the store is away:", err)
		}
		lines[0].Cut.Store(false)
		used = lockOf(t, nodes[0], bob, "not locked:")
		if _, err := nodes[1].LockMaildrop(t.Context(), alice); !errors.Is(err, ErrLocked) {
			t.Error("the lock was not left:", err)
		}
		if err := nodes[0].FreeLocks(t.Context()); err != nil {
			t.Error(err)
		}
		lock = lockOf(t, nodes[1], alice, "the lock is still there:")
		if err := used.commit(t); err != nil {
			t.Error("a lock that is used was ended:", err)
		}
		if err := nodes[0].FreeLocks(t.Context()); err != nil {
			t.Error(err)
		}
		if err := lock.commit(t); err != nil {
			t.Error("another node's lock was ended:", err)
		}
		lock.Unlock()
		used.Unlock()
	})
}
