package mailbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"waybill/internal/mail"
	"waybill/internal/store"
	"waybill/internal/store/bodies"
	"waybill/internal/store/keys"
	"waybill/internal/store/lease"
	"waybill/internal/store/pebble"
	"waybill/internal/store/record"
)

var now = time.Date(2026, 11, 23, 12, 0, 1, 123456000, time.UTC)

const (
	alice = "alice@example.test"
	bob   = "bob@example.test"
	spool = bodies.Holder("spool/x")
)

type fixture struct {
	testing.TB
	st     store.Store
	bodies *bodies.Bodies
	*Mailboxes
}

func newFixture(t testing.TB) fixture {
	t.Helper()
	st, err := pebble.Open(pebble.Options{Dir: "store", FS: vfs.NewMem(), MemTableSize: 1 << 20})
	if err != nil {
		t.Fatal("open the store:", err)
	}
	t.Cleanup(func() { st.Close() })
	b := bodies.New(st)
	f := fixture{t, st, b, New(st, b, lease.Alone(1))}
	for _, account := range []string{alice, bob} {
		var batch store.Batch
		if err := f.Create(t.Context(), &batch, account, Inbox, now); err != nil {
			t.Fatal(err)
		}
		f.commit(&batch)
	}
	return f
}

func (f fixture) commit(b *store.Batch) store.Result {
	f.Helper()
	r, err := f.st.Commit(context.Background(), b)
	if err != nil {
		f.Fatal("commit:", err)
	}
	return r
}

// message returns a message that the spool holds.
func (f fixture) message(content string) Message {
	f.Helper()
	d := f.bodies.NewDraft()
	defer d.Discard()
	if _, err := io.WriteString(d, content); err != nil {
		f.Fatal(err)
	}
	var b store.Batch
	body, err := d.Finish(&b, []byte("Received: here\r\n"), spool)
	if err != nil {
		f.Fatal(err)
	}
	f.commit(&b)
	return Message{ID: mail.NewIDs(1).New(now), Body: body, From: spool, Prefix: []byte("Return-Path: <>\r\n"), Received: now}
}

func (f fixture) file(account, name string, m Message) {
	f.Helper()
	var b store.Batch
	if err := f.File(context.Background(), &b, account, name, m); err != nil {
		f.Fatal(err)
	}
	f.commit(&b)
}

func (f fixture) list(account, name string) []Entry {
	f.Helper()
	l, err := f.List(context.Background(), account, name)
	if err != nil {
		f.Fatal(err)
	}
	return l.Entries
}

func (f fixture) counter(key []byte) int64 {
	f.Helper()
	snap, err := f.st.Snapshot()
	if err != nil {
		f.Fatal(err)
	}
	defer snap.Close()
	value, _, err := snap.Get(key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		f.Fatal(err)
	}
	return store.ReadCounter(value)
}

func (f fixture) count(prefix []byte) (n int) {
	f.Helper()
	snap, err := f.st.Snapshot()
	if err != nil {
		f.Fatal(err)
	}
	defer snap.Close()
	for range snap.Scan(store.Prefix(prefix)) {
		n++
	}
	return n
}

func TestFileListOpen(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := f.message("Subject: one\r\n\r\nhello\r\n")
	f.file(alice, "inbox", m)
	f.file(alice, Inbox, f.message("two"))
	l, err := f.List(t.Context(), alice, "InBox")
	if err != nil || l.UIDValidity != uint32(now.Unix()) || len(l.Entries) != 2 {
		t.Fatalf("listing %+v, %v", l, err)
	}
	e := l.Entries[0]
	want := Entry{UID: 1, ID: m.ID, Body: m.Body, Prefix: m.Prefix, Received: now, Size: int64(len(m.Prefix)) + m.Body.Total(), Change: 1}
	want.box, want.version = e.box, e.version
	if !reflect.DeepEqual(e, want) {
		t.Errorf("entry\n%+v, want\n%+v", e, want)
	}
	if e := l.Entries[1]; e.UID != 2 || e.Change != 2 {
		t.Errorf("second entry: UID %d, change %d", e.UID, e.Change)
	}
	const content = "Return-Path: <>\r\nReceived: here\r\nSubject: one\r\n\r\nhello\r\n"
	for name, read := range map[string]func(*Reader) (string, error){
		"Read":    func(r *Reader) (string, error) { b, err := io.ReadAll(struct{ io.Reader }{r}); return string(b), err },
		"WriteTo": func(r *Reader) (string, error) { var b bytes.Buffer; _, err := r.WriteTo(&b); return b.String(), err },
		"both": func(r *Reader) (string, error) {
			p := make([]byte, 5)
			if _, err := io.ReadFull(r, p); err != nil {
				return "", err
			}
			b := bytes.NewBuffer(p)
			_, err := r.WriteTo(b)
			return b.String(), err
		},
	} {
		r, err := f.Open(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		got, err := read(r)
		if err != nil || got != content || int64(len(got)) != e.Size {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	if n := f.counter(keys.Octets(alice)); n != l.Entries[0].Size+l.Entries[1].Size {
		t.Errorf("%d octets are counted", n)
	}
}

func TestNoMailbox(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if _, err := f.List(t.Context(), "nobody@example.test", Inbox); !errors.Is(err, ErrNoMailbox) {
		t.Errorf("list: %v", err)
	}
	if err := f.File(t.Context(), &store.Batch{}, alice, "Junk", f.message("x")); !errors.Is(err, ErrNoMailbox) {
		t.Errorf("file: %v", err)
	}
}

// TestFileWithTheBody: a message whose body the same batch makes; and a mailbox that was remembered and has gone.
func TestFileWithTheBody(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	file := func() *store.Batch {
		d := f.bodies.NewDraft()
		t.Cleanup(d.Discard)
		if _, err := io.WriteString(d, "content"); err != nil {
			t.Fatal(err)
		}
		var b store.Batch
		body, err := d.Finish(&b, []byte("Received: here\r\n"), "")
		if err != nil {
			t.Fatal(err)
		}
		m := Message{ID: mail.NewIDs(1).New(now), Body: body, Prefix: []byte("Return-Path: <>\r\n"), Received: now}
		if err := f.File(t.Context(), &b, alice, Inbox, m); err != nil {
			t.Fatal(err)
		}
		d.Committed()
		return &b
	}
	for range 2 { // the mailbox is looked up, then remembered
		f.commit(file())
	}
	listing, err := f.List(t.Context(), alice, Inbox)
	if err != nil || len(listing.Entries) != 2 {
		t.Fatalf("%d messages, %v", len(listing.Entries), err)
	}
	if n, err := f.bodies.Sweep(t.Context(), 0); n != 0 || err != nil {
		t.Errorf("%d bodies swept, %v", n, err)
	}
	for _, e := range listing.Entries {
		r, err := f.Open(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || string(got) != "Return-Path: <>\r\nReceived: here\r\ncontent" {
			t.Errorf("%q, %v", got, err)
		}
		r.Close()
	}
	f.commit(&store.Batch{Deletes: [][]byte{keys.Mailbox(alice, Inbox)}})
	if _, err := f.st.Commit(t.Context(), file()); !errors.Is(err, store.ErrConflict) {
		t.Errorf("filed into a mailbox that has gone: %v", err)
	}
	var again store.Batch
	if err := f.Create(t.Context(), &again, alice, Inbox, now); err != nil {
		t.Fatal(err)
	}
	f.commit(&again)
	if _, err := f.st.Commit(t.Context(), file()); !errors.Is(err, store.ErrConflict) {
		t.Errorf("filed into a mailbox where another of the name had been: %v", err)
	}
	f.file(alice, Inbox, f.message("looked up"))
	f.commit(file())
}

// TestFileChecksWhatItReliesOn: the mailbox, and that the message is held by whom it is taken from.
func TestFileChecksWhatItReliesOn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := f.message("x")
	var late store.Batch
	if err := f.File(t.Context(), &late, alice, Inbox, m); err != nil {
		t.Fatal(err)
	}
	var release store.Batch
	f.bodies.Release(&release, m.Body, spool)
	f.commit(&release)
	if _, err := f.st.Commit(t.Context(), &late); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a body that was let go is filed: %v", err)
	}
	if err := f.File(t.Context(), &store.Batch{}, alice, Inbox, m); !errors.Is(err, bodies.ErrReleased) {
		t.Errorf("a body that nobody holds is filed: %v", err)
	}
	late = store.Batch{}
	if err := f.File(t.Context(), &late, alice, Inbox, f.message("y")); err != nil {
		t.Fatal(err)
	}
	f.commit(&store.Batch{Deletes: [][]byte{keys.Mailbox(alice, Inbox)}})
	if _, err := f.st.Commit(t.Context(), &late); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a message is filed into a deleted mailbox: %v", err)
	}
}

func TestMailboxesAreApart(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var b store.Batch
	if err := f.Create(t.Context(), &b, alice, "Work/été", now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	f.commit(&b)
	if err := f.Create(t.Context(), &b, alice, "Work/été", now); err != nil {
		t.Fatal(err)
	}
	if _, err := f.st.Commit(t.Context(), &b); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a mailbox is created twice: %v", err)
	}
	f.file(alice, "Work/été", f.message("w"))
	f.file(alice, Inbox, f.message("i"))
	f.file(bob, Inbox, f.message("b"))
	for _, x := range [][2]string{{alice, Inbox}, {alice, "Work/été"}, {bob, Inbox}} {
		if got := f.list(x[0], x[1]); len(got) != 1 || got[0].UID != 1 {
			t.Errorf("%s %s: %+v", x[0], x[1], got)
		}
	}
}

// TestConcurrentFiling: deliveries into one mailbox never conflict, and each gets its own UID.
func TestConcurrentFiling(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const workers, each = 8, 20
	messages := make([]Message, workers)
	for i := range messages {
		messages[i] = f.message(fmt.Sprint(i))
	}
	var running sync.WaitGroup
	for _, m := range messages {
		running.Go(func() {
			for range each {
				b := store.Batch{Lazy: true}
				if err := f.File(t.Context(), &b, alice, Inbox, m); err != nil {
					t.Error(err)
				}
				if _, err := f.st.Commit(t.Context(), &b); err != nil {
					t.Error(err)
				}
			}
		})
	}
	running.Wait()
	entries := f.list(alice, Inbox)
	if len(entries) != workers*each {
		t.Errorf("%d entries, want %d", len(entries), workers*each)
	}
	for i, e := range entries {
		if e.UID != uint32(i+1) {
			t.Fatalf("entry %d has UID %d", i, e.UID)
		}
	}
	if n := f.counter(entries[0].box.Count()); n != workers*each {
		t.Errorf("%d messages are counted", n)
	}
}

// TestFileSeveralInOneBatch: also into one mailbox.
func TestFileSeveralInOneBatch(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var b store.Batch
	for i := range 5 {
		account := []string{alice, alice, bob, alice, bob}[i]
		if err := f.File(t.Context(), &b, account, Inbox, f.message(fmt.Sprint("message ", i))); err != nil {
			t.Fatal(err)
		}
	}
	f.commit(&b)
	for account, want := range map[string][]uint32{alice: {1, 2, 3}, bob: {1, 2}} {
		var uids []uint32
		for _, e := range f.list(account, Inbox) {
			uids = append(uids, e.UID)
			if f.count(keys.Ref(e.Body.ID, e.box.Holder(e.UID))) != 1 {
				t.Errorf("message %d of %s does not hold its body", e.UID, account)
			}
		}
		if !slices.Equal(uids, want) {
			t.Errorf("UIDs of %s: %v, want %v", account, uids, want)
		}
	}
}

func TestExpunge(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := f.message("in two mailboxes")
	f.file(alice, Inbox, m)
	f.file(alice, Inbox, m)
	f.file(alice, Inbox, f.message("stays"))
	f.file(bob, Inbox, m)
	var b store.Batch
	f.bodies.Release(&b, m.Body, spool)
	f.commit(&b)
	before := f.list(alice, Inbox)
	b = store.Batch{}
	f.Expunge(&b, alice, Inbox, before[:2])
	f.commit(&b)
	after := f.list(alice, Inbox)
	if len(after) != 1 || after[0].UID != 3 {
		t.Fatalf("after: %+v", after)
	}
	box := after[0].box
	for uid := uint32(1); uid <= 2; uid++ {
		if gone, _ := box.Gone(4, uid); f.count(gone) != 1 {
			t.Errorf("no tombstone of UID %d at change 4", uid)
		}
	}
	if n, o := f.counter(box.Count()), f.counter(keys.Octets(alice)); n != 1 || o != after[0].Size {
		t.Errorf("%d messages and %d octets are counted", n, o)
	}
	if n, err := f.bodies.Sweep(t.Context(), time.Hour); n != 0 || err != nil {
		t.Errorf("%d bodies swept, %v; bob still has it", n, err)
	}
	if _, err := f.Open(t.Context(), f.list(bob, Inbox)[0]); err != nil {
		t.Error(err)
	}

	// Who looked before comes too late.
	b = store.Batch{}
	f.Expunge(&b, alice, Inbox, before)
	if _, err := f.st.Commit(t.Context(), &b); !errors.Is(err, store.ErrConflict) {
		t.Errorf("messages are expunged twice: %v", err)
	}
	// A UID is never used again.
	b = store.Batch{}
	f.Expunge(&b, alice, Inbox, after)
	f.commit(&b)
	f.file(alice, Inbox, f.message("new"))
	if got := f.list(alice, Inbox); got[0].UID != 4 {
		t.Errorf("UID %d, want 4", got[0].UID)
	}
	f.Expunge(&b, alice, Inbox, nil) // nothing
	b = store.Batch{}
	f.Expunge(&b, bob, Inbox, f.list(bob, Inbox))
	f.commit(&b)
	if n, err := f.bodies.Sweep(t.Context(), time.Hour); n != 1 || err != nil {
		t.Errorf("%d bodies swept, %v; want the one that the spool does not hold", n, err)
	}
	if n := f.count([]byte("sweep/")); n != 0 {
		t.Errorf("%d marks are left", n)
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := f.message("x")
	changed, cancel := f.Watch(alice)
	defer cancel()
	f.file(bob, Inbox, m)
	select {
	case <-changed:
		t.Error("told of another's mailbox")
	default:
	}
	f.file(alice, Inbox, m)
	select {
	case <-changed:
	default:
		t.Error("not told")
	}
}

// A message whose record is damaged is told, and keeps nobody from the others.
func TestCorruptEntryIsTold(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.file(alice, Inbox, f.message("x"))
	f.file(alice, Inbox, f.message("y"))
	f.commit(&store.Batch{Puts: []store.Put{{Key: f.list(alice, Inbox)[0].box.Message(1), Value: []byte{entryFormat, 1}}}})
	l, err := f.List(t.Context(), alice, Inbox)
	if err != nil || len(l.Entries) != 1 || l.Entries[0].UID != 2 || !slices.Equal(l.Damaged, []uint32{1}) {
		t.Errorf("%+v, %v", l, err)
	}
}

func FuzzDecode(f *testing.F) {
	e := Entry{Change: 7, ID: "06J2Z9", Body: bodies.Body{Size: 5}, Prefix: []byte("P"), Received: now, Flags: Seen}
	f.Add(e.encode())
	value, _ := box{uidValidity: 5}.encode()
	f.Add(value)
	f.Fuzz(func(t *testing.T, value []byte) {
		if x, err := decodeBox(value); err == nil {
			if again, _ := x.encode(); !bytes.Equal(again, value) {
				t.Errorf("mailbox %x encodes as %x", value, again)
			}
		}
		e, err := DecodeEntry(value)
		if err != nil {
			if !errors.Is(err, record.ErrCorrupt) {
				t.Errorf("%v is not ErrCorrupt", err)
			}
			return
		}
		if again, err := DecodeEntry(e.encode()); err != nil || !reflect.DeepEqual(again, e) {
			t.Errorf("%+v gives %+v, %v", e, again, err)
		}
	})
}

// BenchmarkFile is one filing without waiting for the disk.
func BenchmarkFile(b *testing.B) {
	f := newFixture(b)
	m := f.message("content")
	b.ReportAllocs()
	for b.Loop() {
		batch := store.Batch{Lazy: true}
		if err := f.File(b.Context(), &batch, alice, Inbox, m); err != nil {
			b.Fatal(err)
		}
		f.commit(&batch)
	}
}

func BenchmarkList(b *testing.B) {
	f := newFixture(b)
	m := f.message("content")
	for range 1000 {
		f.file(alice, Inbox, m)
	}
	b.ReportAllocs()
	for b.Loop() {
		f.list(alice, Inbox)
	}
}

// TestLast: the end of a message is that of all its octets, and reading goes on as if it had not been asked for.
func TestLast(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for i, content := range []string{"", "x", "\r\n", "a line\r\n", strings.Repeat("0123456789abcde\n", 6_000)} {
		for _, prefix := range []string{"", "P", "Prefix: x\r\n"} {
			m := f.message(content)
			m.Prefix = []byte(prefix)
			f.file(alice, Inbox, m)
			l := f.list(alice, Inbox)
			e := l[len(l)-1]
			whole := prefix + "Received: here\r\n" + content
			for _, n := range []int{0, 1, 2, 18, 30, 100} {
				r, err := f.Open(t.Context(), e)
				if err != nil {
					t.Fatal(err)
				}
				start := make([]byte, min(i, len(whole)))
				if _, err := io.ReadFull(r, start); err != nil {
					t.Fatal(err)
				}
				last, err := r.Last(n)
				rest, restErr := io.ReadAll(r)
				if err != nil || restErr != nil || string(start)+string(rest) != whole {
					t.Fatalf("%v, %v: %d octets, then %d, of %d", err, restErr, len(start), len(rest), len(whole))
				}
				if want := whole[max(0, len(whole)-n):]; string(last) != want {
					t.Errorf("the last %d octets of %.20q… are %q, want %q", n, whole, last, want)
				}
			}
		}
	}
}
