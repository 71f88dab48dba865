package node

import (
	"context"
	"slices"
	"testing"
	"time"

	"waybill/internal/mailbox"
	"waybill/internal/spool"
	"waybill/internal/store"
	"waybill/internal/store/faultfs"
	"waybill/internal/store/keys"
	"waybill/internal/trail"
)

// TestFiledWhenAcknowledged: a letter for a mailbox here is in it when its 250 comes, and never was in the queue; its
// waybill tells the same as that of one that was.
func TestFiledWhenAcknowledged(t *testing.T) {
	t.Parallel()
	n := nodeOn(t, faultfs.NewDisk(), t.TempDir())
	if err := n.AddAccount(t.Context(), alice, "secret"); err != nil {
		t.Fatal(err)
	}
	address := n.Listeners()[0].Addr.String()
	s := &sender{acknowledged: map[string]bool{}}
	if err := s.run(address, "at-once", 1, 100_000); err != nil {
		t.Fatal(err)
	}
	if found := delivered(t, n, 100_000); found["at-once-0"] != 1 {
		t.Fatalf("in the mailbox right after the 250: %v", found)
	}
	if err := s.run(address, "queued", 2, 1000); err != nil { // the second has many recipients
		t.Fatal(err)
	}
	var entries []mailbox.Entry
	for deadline := time.Now().Add(20 * time.Second); len(entries) < 3; time.Sleep(5 * time.Millisecond) {
		listing, err := n.mailboxes.List(t.Context(), alice.Key(), mailbox.Inbox)
		if err != nil || time.Now().After(deadline) {
			t.Fatal(len(listing.Entries), err)
		}
		entries = listing.Entries
	}
	if due := n.inQueue(t); len(due) != 0 {
		t.Errorf("in the queue: %v", due)
	}
	direct, queued := n.told(t, entries[0]), n.told(t, entries[2])
	for _, kind := range []trail.Kind{trail.Received, trail.Accepted, trail.Durable, trail.Routed, trail.Decided, trail.Filed, trail.Done} {
		if !slices.Contains(direct, kind) || !slices.Contains(queued, kind) {
			t.Errorf("%s: at once %v, through the queue %v", kind, direct, queued)
		}
	}
}

// TestMailboxThatHasGone: what cannot be filed at once is in the queue when its 250 comes.
func TestMailboxThatHasGone(t *testing.T) {
	t.Parallel()
	n := nodeOn(t, faultfs.NewDisk(), t.TempDir())
	if err := n.AddAccount(t.Context(), alice, "secret"); err != nil {
		t.Fatal(err)
	}
	address := n.Listeners()[0].Addr.String()
	s := &sender{acknowledged: map[string]bool{}}
	if err := s.run(address, "before", 1, 1000); err != nil { // the mailbox is remembered
		t.Fatal(err)
	}
	var b store.Batch
	b.Delete(keys.Mailbox(alice.Key(), mailbox.Inbox))
	if err := n.mailboxes.Create(t.Context(), &b, alice.Key(), "Other", time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := n.engine.Commit(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	if err := s.run(address, "after", 1, 1000); err != nil {
		t.Errorf("with the mailbox gone: %v", err)
	}
}

func (n *Node) inQueue(t *testing.T) []spool.DueEntry {
	t.Helper()
	due, err := n.spool.Due(context.Background(), time.Now().Add(1000*time.Hour), spool.DueEntry{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	return due
}

// told returns the kinds of events in a message's waybill, once the last of them is there.
func (n *Node) told(t *testing.T, e mailbox.Entry) (kinds []trail.Kind) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		events, err := n.trail.Events(t.Context(), e.ID)
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("%v, %v", kinds, err)
		}
		kinds = nil
		for _, event := range events {
			kinds = append(kinds, event.Kind)
		}
		if slices.Contains(kinds, trail.Durable) && slices.Contains(kinds, trail.Done) {
			return kinds
		}
	}
}
