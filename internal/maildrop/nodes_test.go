package maildrop

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"

	"waybill/internal/mail"
	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/lease"
	"waybill/internal/store/storetest"
)

// TestQuitEndsTheLock: where nodes share a store, the batch with the deletions ends the maildrop's lock too; no other one has to.
func TestQuitEndsTheLock(t *testing.T) {
	t.Parallel()
	var ends atomic.Int64
	s := newSiteOf(t, func(st store.Store) (store.Store, *lease.Lease) {
		way := &storetest.Line{Store: st, Before: func(b *store.Batch) {
			if slices.ContainsFunc(b.Deletes, func(key []byte) bool { return string(key) == string(keys.Maildrop(you)) }) {
				ends.Add(1)
			}
		}}
		l, err := lease.Join(t.Context(), lease.Options{Store: way})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Leave(context.Background()) })
		return way, l
	})
	id := s.file("", "Subject: x\r\n\r\nx\r\n")
	for _, deleted := range []mail.ID{"", id} { // a session that deletes nothing ends it by itself
		before, ended := ends.Load(), s.trail.sessionEnd(deleted)
		c := s.login()
		if version, err := store.VersionOf(s.store, keys.Maildrop(you)); err != nil || version == store.Absent {
			t.Fatal("the maildrop is not locked:", err)
		}
		want := int64(1)
		if deleted != "" {
			want = 0
			if err := c.Dele(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Quit(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-ended
		if version, err := store.VersionOf(s.store, keys.Maildrop(you)); err != nil || version != store.Absent {
			t.Error("the maildrop is still locked:", err)
		}
		if n := ends.Load() - before; n != want {
			t.Errorf("%d batches of their own were to end the lock, want %d", n, want)
		}
	}
}
