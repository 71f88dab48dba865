package mailbox

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/record"
)

// validity returns the UIDVALIDITY of a mailbox of alice.
func (f fixture) validity(name string) uint32 {
	f.Helper()
	l, err := f.List(f.Context(), alice, name)
	if err != nil {
		f.Fatal(err)
	}
	return l.UIDValidity
}

func (f fixture) create(name string, at time.Time) error {
	return f.try(func(b *store.Batch) error { return f.Create(f.Context(), b, alice, name, at) })
}

// TestUIDValidityGrows: no mailbox gets a UIDVALIDITY that another of the account had, however short the time between them
// and whatever the clock does; nor does one of a later account of that name.
func TestUIDValidityGrows(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx := t.Context()
	newest := f.validity(Inbox)
	grows := func(what, name string) {
		t.Helper()
		v := f.validity(name)
		if v <= newest {
			t.Errorf("%s: UIDVALIDITY %d after %d", what, v, newest)
		}
		newest = v
	}
	for i := range 3 {
		if err := f.create("Work", now); err != nil {
			t.Fatal(err)
		}
		grows(fmt.Sprintf("%d in the same second", i), "Work")
		if err := f.try(func(b *store.Batch) error { return f.Remove(ctx, b, alice, "Work") }); err != nil {
			t.Fatal(err)
		}
	}
	for what, at := range map[string]time.Time{"the clock was set back": now.Add(-time.Hour), "there is no clock": time.Unix(0, 0)} {
		if err := f.create(what, at); err != nil {
			t.Fatal(err)
		}
		grows(what, what)
	}
	if err := f.create("later", now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if grows("later", "later"); newest != uint32(now.Add(time.Hour).Unix()) {
		t.Errorf("an hour later it is %d, not the time", newest)
	}
	if err := f.try(func(b *store.Batch) error { f.Abandon(b, alice); return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Purge(ctx); err != nil {
		t.Fatal(err)
	}
	if err := f.create(Inbox, now); err != nil {
		t.Fatal(err)
	}
	grows("an account of the same name", Inbox)
}

func TestUIDValidityThatCannotBe(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		value []byte
		want  error
	}{
		"damaged": {[]byte{1, 2, 3}, record.ErrCorrupt},
		"the end": {[]byte{255, 255, 255, 255}, nil},
	} {
		f := newFixture(t)
		if err := f.try(func(b *store.Batch) error { b.Put(keys.UIDValidity(alice), test.value); return nil }); err != nil {
			t.Fatal(err)
		}
		if err := f.create("Work", now); err == nil || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f := newFixture(t)
	if err := f.create("Work", time.Unix(math.MaxUint32+1, 0)); err == nil {
		t.Error("a time that does not fit")
	}
}

// TestRenameInbox: its messages are in the new mailbox, with their UIDs, and INBOX is there and empty (RFC 9051 §6.3.6).
func TestRenameInbox(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx := t.Context()
	rename := func(from, to string) error {
		return f.try(func(b *store.Batch) error { return f.Rename(ctx, b, alice, from, to, now) })
	}
	if err := f.create("INBOX/Below", now); err != nil {
		t.Fatal(err)
	}
	f.file(alice, Inbox, f.message("one\r\n"))
	f.file(alice, Inbox, f.message("two\r\n"))
	before, was := f.list(alice, Inbox), f.validity(Inbox)
	if err := rename("inbox", "Old"); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(f.boxes(alice)); got != "[INBOX 0/1 INBOX/Below 0/1 Old 2/3]" {
		t.Errorf("mailboxes: %s", got)
	}
	if got := f.list(alice, "Old"); len(got) != 2 || got[0].UID != before[0].UID || got[1].ID != before[1].ID || f.validity("Old") != was {
		t.Errorf("renamed: %+v, was %+v", got, before)
	}
	if f.validity(Inbox) <= f.validity("INBOX/Below") {
		t.Error("the new INBOX has the UIDVALIDITY of an older mailbox")
	}
	f.file(alice, Inbox, f.message("three\r\n"))
	if got := fmt.Sprint(f.boxes(alice)); got != "[INBOX 1/2 INBOX/Below 0/1 Old 2/3]" {
		t.Errorf("mailboxes after a further message: %s", got)
	}
	for _, test := range []struct{ err, want error }{
		{rename(Inbox, "Old"), store.ErrConflict}, {rename(Inbox, "a//b"), ErrName}, {rename(Inbox, "inbox"), ErrInbox},
	} {
		if !errors.Is(test.err, test.want) {
			t.Errorf("%v, want %v", test.err, test.want)
		}
	}
}
