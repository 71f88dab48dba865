package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"waybill/internal/config"
	"waybill/internal/directory"
	"waybill/internal/mail"
	"waybill/internal/mailbox"
	"waybill/internal/spool"
	"waybill/internal/store"
	"waybill/internal/store/bodies"
	"waybill/internal/store/keys"
	"waybill/internal/store/pebble"
)

// fixture is a store with an account that has two messages, and two messages in the queue.
type fixture struct {
	*testing.T
	dir   string
	st    *pebble.Store
	body  bodies.Body
	box   keys.Box
	item  *spool.Item
	alice mail.Address
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{T: t, dir: t.TempDir(), alice: mail.Address{Local: "alice", Domain: "a.test"}}
	f.open()
	t.Cleanup(func() { f.st.Close() })
	held := bodies.New(f.st)
	boxes, sp := mailbox.New(f.st, held), spool.New(f.st, held)
	d := directory.New(f.st, []config.Domain{{Name: "a.test"}}, directory.Options{Hash: directory.Cost{Memory: 8, Passes: 1, Threads: 1}, Iterations: 4096})
	f.change(func(b *store.Batch) error {
		if err := boxes.Create(t.Context(), b, f.alice.Key(), mailbox.Inbox, time.Now()); err != nil {
			return err
		}
		return d.Add(t.Context(), b, f.alice, "secret")
	})
	now := time.Now()
	for i := range 2 {
		item := &spool.Item{ID: mail.NewIDs(uint16(i)).New(now), ReversePath: f.alice, Accepted: now, Due: now, Expires: now.Add(time.Hour),
			Recipients: []spool.Recipient{{ForwardPath: f.alice, State: spool.Pending}}}
		draft := sp.NewDraft()
		io.WriteString(draft, "Subject: x\r\n\r\n"+strings.Repeat("0123456789abcdef\r\n", 30_000)) // three chunks
		f.change(func(b *store.Batch) error { return sp.Enter(b, draft, []byte("Received: x\r\n"), item) })
		draft.Committed()
		draft.Discard()
		f.item, f.body = item, item.Body
		f.change(func(b *store.Batch) error {
			return boxes.File(t.Context(), b, f.alice.Key(), mailbox.Inbox, mailbox.Message{ID: item.ID, Body: item.Body, From: item.Holder(), Prefix: []byte("P: x\r\n"), Received: now})
		})
	}
	f.box = keys.Box{Account: f.alice.Key(), Number: 1}
	return f
}

func (f *fixture) open() {
	f.Helper()
	st, err := pebble.Open(pebble.Options{Dir: filepath.Join(f.dir, "store"), MemTableSize: 1 << 20})
	if err != nil {
		f.Fatal(err)
	}
	f.st = st
}

func (f *fixture) change(fill func(b *store.Batch) error) {
	f.Helper()
	var b store.Batch
	if err := fill(&b); err != nil {
		f.Fatal(err)
	}
	if _, err := f.st.Commit(context.Background(), &b); err != nil {
		f.Fatal(err)
	}
}

func TestSoundStore(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	told := 0
	r, err := Run(t.Context(), f.st, func(Report) { told++ })
	if err != nil || len(r.Findings) != 0 || r.Messages != 2 || r.Queued != 2 || r.Bodies != 2 || r.Octets < 1_000_000 {
		t.Errorf("%+v, %v", r, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, f.st, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Each kind of damage is found, and what is said names the message or account that it hits.
func TestDamage(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		damage func(f *fixture, b *store.Batch)
		want   string // severity: what: part of the detail
	}{
		"chunk lost":       {func(f *fixture, b *store.Batch) { b.Delete(keys.Chunk(f.body.ID, 2)) }, "damage: message 2 of alice@a.test, mailbox 1: its content has 2 parts of 3"},
		"first chunk lost": {func(f *fixture, b *store.Batch) { b.Delete(keys.Chunk(f.body.ID, 0)) }, "damage: message 2 of alice@a.test, mailbox 1: its content is lost"},
		"chunk cut":        {func(f *fixture, b *store.Batch) { b.Put(keys.Chunk(f.body.ID, 1), []byte("x")) }, "damage: message 2 of alice@a.test, mailbox 1: part 1 of its content has 1 octets"},
		"reference lost":   {func(f *fixture, b *store.Batch) { b.Delete(keys.Ref(f.body.ID, f.box.Holder(2))) }, "damage: message 2 of alice@a.test, mailbox 1: it does not hold its content"},
		"record broken":    {func(f *fixture, b *store.Batch) { b.Put(f.box.Message(2), []byte("\x01broken")) }, "damage: message 2 of alice@a.test, mailbox 1: its record cannot be read"},
		"message lost":     {func(f *fixture, b *store.Batch) { b.Delete(f.box.Message(1)) }, "damage: mailbox 1 of alice@a.test: it has 1 messages and is said to have 2"},
		"queue record":     {func(f *fixture, b *store.Batch) { b.Put(keys.Spool(f.item.ID), []byte{9}) }, "damage: message ID in the queue: its record cannot be read"},
		"due lost":         {func(f *fixture, b *store.Batch) { b.Delete(keys.Due(f.item.Due, f.item.ID)) }, "damage: message ID in the queue: it has no place in the schedule"},
		"due for nobody":   {func(f *fixture, b *store.Batch) { b.Put(keys.Due(f.item.Due, "0W6TGW001EEYT2"), nil) }, "untidy: the place "},
		"account":          {func(f *fixture, b *store.Batch) { b.Put(keys.Account(f.alice), []byte{7, 7}) }, "damage: the account of key "},
		"no password":      {func(f *fixture, b *store.Batch) { b.Delete(keys.Password(f.alice)) }, "damage: account alice@a.test: it has no password"},
		"password":         {func(f *fixture, b *store.Batch) { b.Put(keys.Password(f.alice), []byte("x")) }, "damage: the password of key "},
		"no inbox":         {func(f *fixture, b *store.Batch) { b.Delete(keys.Mailbox(f.alice.Key(), "INBOX")) }, "damage: account alice@a.test: it has no INBOX"},
		"newest validity":  {func(f *fixture, b *store.Batch) { b.Put(keys.UIDValidity(f.alice.Key()), []byte{1}) }, "damage: the mailboxes of key "},
		"octets":           {func(f *fixture, b *store.Batch) { b.Count(keys.Octets(f.alice.Key()), 5, 0) }, "damage: account alice@a.test: its mail has "},
		"body of nobody":   {func(_ *fixture, b *store.Batch) { b.Put(keys.Chunk([16]byte{9}, 0), []byte("x")) }, "untidy: content 09000000000000000000000000000000: nobody holds it"},
		"holder gone":      {func(f *fixture, b *store.Batch) { b.Put(keys.Ref(f.body.ID, f.box.Holder(77)), nil) }, "untidy: content "},
		"alias":            {func(f *fixture, b *store.Batch) { b.Put(keys.Alias(f.alice), nil) }, "damage: the alias of key "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.change(func(b *store.Batch) error { test.damage(f, b); return nil })
			r, err := Run(t.Context(), f.st, nil)
			if err != nil {
				t.Fatal(err)
			}
			want := strings.ReplaceAll(test.want, "ID", string(f.item.ID))
			var all []string
			for _, x := range r.Findings {
				text := fmt.Sprintf("%s: %s: %s", x.Severity, x.What, x.Detail)
				if strings.HasPrefix(text, want) {
					return
				}
				all = append(all, text)
			}
			t.Errorf("findings:\n%s\nwant %s", strings.Join(all, "\n"), want)
		})
	}
}

// A flipped bit in a file of the store is found by its checksum, and the store is read as far as it can be.
func TestFlippedBit(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for i := range 2000 { // until all that counts has left the log for a table
		f.change(func(b *store.Batch) error {
			b.Put([]byte(fmt.Sprintf("secrets/%d", i)), make([]byte, 4000))
			return nil
		})
	}
	if err := f.st.Close(); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(f.dir, "store", "*.blob"))
	if len(files) == 0 {
		t.Skip("no blob file was written")
	}
	content, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2] ^= 4
	if err := os.WriteFile(files[0], content, 0o600); err != nil {
		t.Fatal(err)
	}
	f.open()
	r, err := Run(t.Context(), f.st, nil)
	if err != nil || r.Damage == 0 || r.Messages != 2 {
		t.Errorf("%+v, %v", r, err)
	}
}
