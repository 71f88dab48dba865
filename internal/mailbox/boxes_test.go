package mailbox

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"waybill/internal/store"
	"waybill/internal/store/bodies"
	"waybill/internal/store/keys"
)

func (f fixture) try(change func(b *store.Batch) error) error {
	var b store.Batch
	if err := change(&b); err != nil {
		return err
	}
	_, err := f.st.Commit(context.Background(), &b)
	return err
}

func (f fixture) boxes(account string) (texts []string) {
	f.Helper()
	boxes, err := f.Boxes(context.Background(), account)
	if err != nil {
		f.Fatal(err)
	}
	for _, x := range boxes {
		texts = append(texts, fmt.Sprintf("%s %d/%d", x.Name, x.Messages, x.UIDNext))
	}
	return texts
}

func TestBoxes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx := t.Context()
	create := func(name string) error {
		return f.try(func(b *store.Batch) error { return f.Create(ctx, b, alice, name, now) })
	}
	rename := func(from, to string) error {
		return f.try(func(b *store.Batch) error { return f.Rename(ctx, b, alice, from, to, now) })
	}
	remove := func(name string) error {
		return f.try(func(b *store.Batch) error { return f.Remove(ctx, b, alice, name) })
	}
	for _, name := range []string{"Work", "Work/Old", "Workshop", "\u00fcber\x00uns"} {
		if err := create(name); err != nil {
			t.Fatal(err)
		}
	}
	f.file(alice, "Work", f.message("one\r\n"))
	f.file(alice, "Work", f.message("two\r\n"))
	f.file(alice, "inbox", f.message("three\r\n"))
	uids := f.list(alice, "Work")
	if err := rename("Work", "Play"); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(f.boxes(alice)); got != "[INBOX 1/2 Play 2/3 Play/Old 0/1 Workshop 0/1 \u00fcber\x00uns 0/1]" {
		t.Errorf("mailboxes: %s", got)
	}
	if got := f.list(alice, "Play"); len(got) != 2 || got[0].UID != uids[0].UID || got[1].ID != uids[1].ID {
		t.Errorf("renamed: %+v, was %+v", got, uids)
	}
	for _, test := range []struct{ err, want error }{
		{create("Play"), store.ErrConflict}, {create("InBox"), store.ErrConflict}, {rename("Play", "\u00fcber\x00uns"), ErrName}, {rename("Play", "Workshop"), store.ErrConflict},
		{rename("Work", "x"), ErrNoMailbox}, {rename("Play", "a//b"), ErrName}, {rename("Play", "a*"), ErrName},
		{rename("Play", "INBOX"), ErrInbox}, {remove("Inbox"), ErrInbox}, {remove("Work"), ErrNoMailbox},
	} {
		if !errors.Is(test.err, test.want) {
			t.Errorf("%v, want %v", test.err, test.want)
		}
	}
	used, err := f.Usage(ctx, alice)
	if err != nil || used == 0 {
		t.Fatal(used, err)
	}
	if err := remove("Play"); err != nil {
		t.Fatal(err)
	}
	if n, err := f.Purge(ctx); n != 2 || err != nil {
		t.Errorf("%d messages purged, %v", n, err)
	}
	if left, err := f.Usage(ctx, alice); err != nil || left != f.list(alice, Inbox)[0].Size {
		t.Errorf("%d octets are left, %v", left, err)
	}
	if err := create("Play"); err != nil || len(f.list(alice, "Play")) != 0 {
		t.Errorf("a new mailbox of that name: %v", err)
	}
}

// TestLookCorrects: who files into a mailbox that is another one by now meets a conflict, looks, and is right the next time.
func TestLookCorrects(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	file := func() error {
		return f.try(func(b *store.Batch) error {
			d := f.bodies.NewDraft()
			defer d.Discard()
			body, err := d.Finish(b, []byte("x"), "")
			if err != nil {
				return err
			}
			return f.File(t.Context(), b, alice, "Work", Message{ID: "06J2Z9", Body: body, Received: now})
		})
	}
	anew := func() error {
		return errors.Join(
			f.try(func(b *store.Batch) error { return f.Remove(t.Context(), b, alice, "Work") }),
			f.try(func(b *store.Batch) error { return f.Create(t.Context(), b, alice, "Work", now) }))
	}
	if err := errors.Join(f.try(func(b *store.Batch) error { return f.Create(t.Context(), b, alice, "Work", now) }), file(), anew()); err != nil {
		t.Fatal(err)
	}
	if err := file(); !errors.Is(err, store.ErrConflict) {
		t.Errorf("filed by what was remembered: %v", err)
	}
	if _, err := f.Page(t.Context(), alice, "Work", 0, 1); err != nil {
		t.Fatal(err)
	}
	if err := file(); err != nil {
		t.Errorf("after a look: %v", err)
	}
}

// What an account had goes in batches, the bodies with it; until then there is no new one of that name, and nothing is filed.
func TestAbandonAndPurge(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx := t.Context()
	m := f.message("shared\r\n")
	for range purgeAtOnce + 10 {
		f.file(alice, Inbox, m)
	}
	f.file(bob, Inbox, m)
	f.Expunge(&store.Batch{}, alice, Inbox, nil)
	entries := f.list(alice, Inbox)
	if err := f.try(func(b *store.Batch) error { f.Expunge(b, alice, Inbox, entries[:3]); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := f.try(func(b *store.Batch) error { f.Abandon(b, alice); return nil }); err != nil {
		t.Fatal(err)
	}
	file := func() error {
		return f.try(func(b *store.Batch) error { return f.File(ctx, b, alice, Inbox, m) })
	}
	create := func() error {
		return f.try(func(b *store.Batch) error { return f.Create(ctx, b, alice, Inbox, time.Now()) })
	}
	if err := file(); !errors.Is(err, ErrNoMailbox) {
		t.Errorf("filed into an abandoned mailbox: %v", err)
	}
	if err := create(); !errors.Is(err, store.ErrConflict) {
		t.Errorf("created while the old mail is there: %v", err)
	}
	if n, err := f.Purge(ctx); n != purgeAtOnce+7 || err != nil {
		t.Errorf("%d messages purged, %v", n, err)
	}
	for _, prefix := range [][]byte{keys.AllMessages(alice), keys.AllGone(alice), keys.MailboxCounters(alice), keys.Purges(), keys.Mailboxes(alice)} {
		if n := f.count(prefix); n != 0 {
			t.Errorf("%d keys are left under %q", n, prefix)
		}
	}
	if n, err := f.Purge(ctx); n != 0 || err != nil {
		t.Errorf("again: %d, %v", n, err)
	}
	if err := errors.Join(create(), file()); err != nil {
		t.Errorf("a new account of that name: %v", err)
	}
	if err := f.try(func(b *store.Batch) error { f.bodies.Drop(b, m.Body, bodies.Holder(spool)); return nil }); err != nil {
		t.Fatal(err)
	}
	if n, err := f.bodies.Sweep(ctx, time.Hour); n != 0 || err != nil {
		t.Errorf("%d bodies swept that others hold, %v", n, err)
	}
}

func TestSetFlags(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := f.message("x\r\n")
	m.Flags = Flagged
	f.file(alice, Inbox, m)
	f.file(alice, Inbox, m)
	before := f.list(alice, Inbox)
	see := func(entries []Entry) error {
		return f.try(func(b *store.Batch) error {
			f.SetFlags(b, entries, func(old Flags) Flags { return old | Seen })
			return nil
		})
	}
	if err := see(before[:1]); err != nil {
		t.Fatal(err)
	}
	after := f.list(alice, Inbox)
	if after[0].Flags != Flagged|Seen || after[1].Flags != Flagged || after[0].Change != 3 || after[1].Change != 2 || after[0].Size != before[0].Size {
		t.Errorf("%+v", after)
	}
	if err := see(before[:1]); !errors.Is(err, store.ErrConflict) {
		t.Errorf("flags of what was changed meanwhile: %v", err)
	}
}

func TestQuota(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := f.message("0123456789\r\n")
	size := int64(len(m.Prefix)) + m.Body.Total()
	m.Quota = 2*size + 1
	file := func() error {
		return f.try(func(b *store.Batch) error { return f.File(t.Context(), b, alice, Inbox, m) })
	}
	if err := errors.Join(file(), file()); err != nil {
		t.Fatal(err)
	}
	if err := file(); !errors.Is(err, store.ErrLimit) {
		t.Errorf("beyond the quota: %v", err)
	}
	if used, err := f.Usage(t.Context(), alice); used != 2*size || err != nil {
		t.Errorf("%d octets used, want %d; %v", used, 2*size, err)
	}
}

func FuzzParsePurge(f *testing.F) {
	f.Add(keys.Purge(alice))
	f.Add(keys.Box{Account: "a\x00b", Number: 7}.Purge())
	f.Fuzz(func(t *testing.T, key []byte) {
		x, ok := keys.ParsePurge(key)
		if !ok {
			return
		}
		again := keys.Purge(x.Account)
		if x.Number != 0 {
			again = x.Purge()
		}
		if y, ok := keys.ParsePurge(again); !ok || y != x {
			t.Errorf("%q gives %+v, then %+v", key, x, y)
		}
	})
}
