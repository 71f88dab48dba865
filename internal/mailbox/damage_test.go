package mailbox

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"waybill/internal/mail"
	"waybill/internal/store"
	"waybill/internal/store/bodies"
	"waybill/internal/store/lease"
	"waybill/internal/store/pebble"
)

// TestFlippedBits: wherever a bit of a table is flipped, each message is listed as it was or told to be damaged; most are
// listed. It goes on where a scan ends.
func TestFlippedBits(t *testing.T) {
	t.Parallel()
	const messages = 2000
	dir := filepath.Join(t.TempDir(), "store")
	open := func() (fixture, error) {
		st, err := pebble.Open(pebble.Options{Dir: dir, MemTableSize: 64 << 20})
		if err != nil {
			return fixture{}, err
		}
		b := bodies.New(st)
		return fixture{t, st, b, New(st, b, lease.Alone(1))}, nil
	}
	f, err := open()
	if err != nil {
		t.Fatal(err)
	}
	fill(f, messages)
	if err := f.st.Close(); err != nil {
		t.Fatal(err)
	}
	if f, err = open(); err != nil { // which writes what the log has into a table
		t.Fatal(err)
	}
	whole := f.list(alice, Inbox)
	if err := f.st.Close(); err != nil || len(whole) != messages {
		t.Fatal(len(whole), err)
	}
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatal(tables, err)
	}
	served := 0
	for _, table := range tables {
		content, err := os.ReadFile(table)
		if err != nil {
			t.Fatal(err)
		}
		for at := len(content) / 10; at < len(content); at += len(content) / 5 {
			damaged := bytes.Clone(content)
			damaged[at] ^= 4
			if err := os.WriteFile(table, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			if f, err = open(); err == nil {
				served += checkServed(f, whole)
				f.st.Close()
			}
		}
		if err := os.WriteFile(table, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if served == 0 {
		t.Error("no listing ever had both damaged and sound messages")
	}
}

// checkServed returns 1 if a part of the mailbox cannot be read and the rest is listed.
func checkServed(f fixture, whole []Entry) int {
	l, err := f.List(f.Context(), alice, Inbox)
	if err != nil {
		return 0 // told
	}
	told := map[uint32]bool{}
	for _, uid := range l.Damaged {
		told[uid] = true
	}
	listed := map[uint32]Entry{}
	for _, e := range l.Entries {
		listed[e.UID] = e
	}
	for _, e := range whole {
		if got, ok := listed[e.UID]; ok && got.ID != e.ID || !ok && !told[e.UID] {
			f.Errorf("message %d: listed %t as %s, told %t", e.UID, ok, got.ID, told[e.UID])
		}
	}
	if len(l.Damaged) == 0 || len(l.Entries) < len(whole)/2 {
		return 0
	}
	before := max(l.Damaged[0], 3) - 3
	page, err := f.Page(f.Context(), alice, Inbox, before, 10)
	var want []Entry
	for _, e := range l.Entries {
		if e.UID > before && len(want) < 10 {
			want = append(want, e)
		}
	}
	if err != nil || !slices.EqualFunc(page.Entries, want, func(a, b Entry) bool { return a.UID == b.UID }) {
		f.Errorf("a page around the damage: %+v, %v, want %+v", page, err, want)
	}
	return 1
}

// fill files messages for alice, which have one body.
func fill(f fixture, messages int) {
	f.Helper()
	if err := f.create(Inbox, now); err != nil {
		f.Fatal(err)
	}
	m := f.message("content\r\n")
	ids := mail.NewIDs(1)
	for filed := 0; filed < messages; {
		b := store.Batch{Lazy: true}
		for range 100 {
			m.ID, m.Prefix = ids.New(now), fmt.Appendf(nil, "Return-Path: <a%d@example.test>\r\n", filed*7919)
			if err := f.File(f.Context(), &b, alice, Inbox, m); err != nil {
				f.Fatal(err)
			}
			filed++
		}
		f.commit(&b)
	}
	if err := f.st.Barrier(f.Context()); err != nil {
		f.Fatal(err)
	}
}
