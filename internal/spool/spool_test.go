package spool

import (
	"bytes"
	"context"
	"errors"
	"io"
	"reflect"
	"strings"
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

var began = time.Date(2026, 11, 23, 12, 0, 1, 123456789, time.UTC)

func open(t testing.TB, fs vfs.FS) *pebble.Store {
	t.Helper()
	st, err := pebble.Open(pebble.Options{Dir: "store", FS: fs, MemTableSize: 1 << 20, ReopenPauses: []time.Duration{time.Millisecond}})
	if err != nil {
		t.Fatal("open the store:", err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

func commit(t testing.TB, st store.Store, b *store.Batch) store.Result {
	t.Helper()
	r, err := st.Commit(context.Background(), b)
	if err != nil {
		t.Fatal("commit:", err)
	}
	return r
}

func address(local string) mail.Address { return mail.Address{Local: local, Domain: "example.test"} }

func newItem(due time.Time, recipients ...string) *Item {
	item := &Item{
		ID: mail.NewIDs(1).New(began), ReversePath: address("sender"), BodyType: mail.Body8BitMIME,
		Accepted: began, Due: due, Expires: began.Add(120 * time.Hour),
	}
	for _, r := range recipients {
		item.Recipients = append(item.Recipients, Recipient{ForwardPath: address(r), State: Pending})
	}
	return item
}

// enter takes custody of an item with that content.
func enter(t testing.TB, s *Spool, item *Item, content []byte) {
	t.Helper()
	d := s.NewDraft()
	defer d.Discard()
	if _, err := d.Write(content); err != nil {
		t.Fatal(err)
	}
	var b store.Batch
	if err := s.Enter(&b, d, []byte("Received: here\r\n"), item); err != nil {
		t.Fatal(err)
	}
	item.Version = commit(t, s.st, &b).Version
	d.Committed()
}

var (
	done  = mail.NewStatus(250, "2.0.0", "taken")
	later = mail.NewStatus(451, "4.3.0", "not now")
	never = mail.NewStatus(550, "5.1.1", "nobody")
)

func TestEnterLoadSettle(t *testing.T) {
	t.Parallel()
	st := open(t, vfs.NewMem())
	s := New(st, bodies.New(st), lease.Alone(1))
	item := newItem(began, "a", "b", "c")
	item.Recipients[1].Original = address("alias")
	enter(t, s, item, []byte("content"))
	loaded, err := s.Load(t.Context(), item.ID)
	if err != nil {
		t.Fatal(err)
	}
	want := *item
	want.Sole = false // only who took it in knows that
	want.Accepted, want.Expires = want.Accepted.Truncate(time.Microsecond), want.Expires.Truncate(time.Microsecond)
	if !reflect.DeepEqual(loaded, &want) {
		t.Errorf("loaded\n%+v, want\n%+v", loaded, &want)
	}
	content, err := s.Open(t.Context(), loaded)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(content); err != nil || string(got) != "Received: here\r\ncontent" {
		t.Errorf("content %q, %v", got, err)
	}
	checkStates(t, st)

	next := began.Add(time.Minute)
	var b store.Batch
	loaded.Attempts = 1
	s.Settle(&b, loaded, []Outcome{{Recipient: 0, Status: done}, {Recipient: 1, Status: later}}, next)
	loaded.Version = commit(t, st, &b).Version
	checkStates(t, st)
	again, err := s.Load(t.Context(), item.ID)
	if err != nil || !reflect.DeepEqual(again, loaded) {
		t.Errorf("after one attempt\n%+v, want\n%+v, %v", again, loaded, err)
	}
	for i, want := range []State{Delivered, Pending, Pending} {
		if got := again.Recipients[i].State; got != want {
			t.Errorf("recipient %d is %s, want %s", i, got, want)
		}
	}
	if again.Recipients[1].Status != later || !again.Due.Equal(next.Truncate(time.Microsecond)) {
		t.Errorf("status %v, due %v", again.Recipients[1].Status, again.Due)
	}

	b = store.Batch{}
	s.Settle(&b, again, []Outcome{{Recipient: 1, Status: never}, {Recipient: 2, Status: done}}, time.Time{})
	commit(t, st, &b)
	if again.Recipients[1].State != Failed {
		t.Errorf("recipient 1 is %s", again.Recipients[1].State)
	}
	if _, err := s.Load(t.Context(), item.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("load after the end: %v, want ErrNotFound", err)
	}
	checkStates(t, st)
	if n, err := s.bodies.Sweep(t.Context(), time.Hour); n != 1 || err != nil {
		t.Errorf("%d bodies swept, %v; want 1", n, err)
	}
	for e := range all(t, st) {
		t.Errorf("key %q is left", e)
	}
}

// TestEndOfBody: what nobody else ever held ends with custody, if it is small; whatever a mailbox holds, or held, stays until it is swept.
func TestEndOfBody(t *testing.T) {
	t.Parallel()
	const mailbox = bodies.Holder("mail/somebody")
	for name, c := range map[string]struct {
		size                int
		early, late, loaded bool // a mailbox takes it with the first settlement, or the last; the process ended between them
		body, marked        bool // is left
	}{
		"small":                  {size: 7},
		"large":                  {size: 100_000, body: true, marked: true},
		"taken first":            {size: 7, early: true, body: true, marked: true},
		"taken last":             {size: 7, late: true, body: true},
		"perhaps taken":          {size: 7, loaded: true, body: true, marked: true},
		"taken before a restart": {size: 7, early: true, loaded: true, body: true, marked: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := open(t, vfs.NewMem())
			s := New(st, bodies.New(st), lease.Alone(1))
			item := newItem(began, "a", "b")
			enter(t, s, item, bytes.Repeat([]byte("x"), c.size))
			settle := func(recipient int, file bool) {
				var b store.Batch
				if file {
					b.Put(keys.Ref(item.Body.ID, string(mailbox)), nil)
				}
				item.Attempts++
				s.Settle(&b, item, []Outcome{{Recipient: recipient, Status: done}}, began.Add(time.Hour))
				item.Version = commit(t, st, &b).Version
			}
			settle(0, c.early)
			if c.loaded {
				var err error
				if item, err = s.Load(t.Context(), item.ID); err != nil {
					t.Fatal(err)
				}
			}
			settle(1, c.late)
			checkStates(t, st)
			left := all(t, st)
			_, body := left[string(keys.Chunk(item.Body.ID, 0))]
			_, marked := left[string(keys.Sweep(item.Body.ID, string(item.Holder())))]
			if body != c.body || marked != c.marked {
				t.Errorf("the body is there: %t, marked: %t", body, marked)
			}
		})
	}
}

// TestSettleTwice: of two who settle the same state one is refused, and so is one who comes too late.
func TestSettleTwice(t *testing.T) {
	t.Parallel()
	st := open(t, vfs.NewMem())
	s := New(st, bodies.New(st), lease.Alone(1, 2))
	item := newItem(began, "a", "b")
	enter(t, s, item, []byte("x"))
	first, _ := s.Load(t.Context(), item.ID)
	second, _ := s.Load(t.Context(), item.ID)
	var b store.Batch
	s.Settle(&b, first, []Outcome{{Recipient: 0, Status: done}}, began.Add(time.Hour))
	commit(t, st, &b)
	for _, outcomes := range [][]Outcome{{{Recipient: 0, Status: done}}, {{Recipient: 0, Status: done}, {Recipient: 1, Status: done}}} {
		b = store.Batch{}
		s.Settle(&b, second, outcomes, began.Add(time.Minute))
		if _, err := st.Commit(t.Context(), &b); !errors.Is(err, store.ErrConflict) {
			t.Errorf("settling an old state: %v, want ErrConflict", err)
		}
	}
	checkStates(t, st)
}

func TestEnterWithIDThatIsTaken(t *testing.T) {
	t.Parallel()
	st := open(t, vfs.NewMem())
	s := New(st, bodies.New(st), lease.Alone(1, 2))
	item := newItem(began, "a")
	enter(t, s, item, []byte("first"))
	other := newItem(began, "b")
	other.ID = item.ID
	d := s.NewDraft()
	defer d.Discard()
	if _, err := d.Write([]byte("second")); err != nil {
		t.Fatal(err)
	}
	var b store.Batch
	if err := s.Enter(&b, d, nil, other); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Commit(t.Context(), &b); !errors.Is(err, store.ErrConflict) {
		t.Fatalf("an ID was given twice: %v", err)
	}
	other.ID = mail.NewIDs(2).New(began)
	b = store.Batch{}
	if err := s.Enter(&b, d, nil, other); err != nil {
		t.Fatal(err)
	}
	commit(t, st, &b)
	checkStates(t, st)
}

func TestSettleAtTheSameTimeKeepsTheDueEntry(t *testing.T) {
	t.Parallel()
	st := open(t, vfs.NewMem())
	s := New(st, bodies.New(st), lease.Alone(1, 2))
	item := newItem(began, "a", "b")
	enter(t, s, item, []byte("x"))
	var b store.Batch
	s.Settle(&b, item, []Outcome{{Recipient: 0, Status: done}}, item.Due)
	commit(t, st, &b)
	checkStates(t, st)
}

// all returns all keys of a store with their values.
func all(t testing.TB, st store.Store) map[string][]byte {
	t.Helper()
	snap, err := st.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	found := map[string][]byte{}
	for e, err := range snap.Scan(store.Range{}) {
		if err != nil {
			t.Fatal(err)
		}
		found[string(e.Key)] = bytes.Clone(e.Value)
	}
	return found
}

// checkStates holds the store against the truth table: every message is in one of the states.
func checkStates(t testing.TB, st store.Store) {
	t.Helper()
	found := all(t, st)
	due := map[mail.ID]time.Time{}
	for key := range found {
		at, id, ok := keys.ParseDue([]byte(key))
		if !ok {
			continue
		}
		if _, twice := due[id]; twice {
			t.Errorf("%s has two due entries", id)
		}
		due[id] = at
		if _, ok := found[string(keys.Spool(id))]; !ok {
			t.Errorf("%s has a due entry and no record", id)
		}
	}
	held := map[bodies.ID]bool{}
	for key, value := range found {
		id, ok := strings.CutPrefix(key, "spool/")
		if !ok {
			continue
		}
		item, err := Decode(value)
		if err != nil {
			t.Errorf("record of %s: %v", id, err)
			continue
		}
		item.ID = mail.ID(id)
		held[item.Body.ID] = true
		if !item.pending() {
			t.Errorf("%s is in custody with no recipient pending", id)
		}
		if at, ok := due[item.ID]; !ok || !at.Equal(item.Due) {
			t.Errorf("%s is due at %v, its entry says %v (%v)", id, item.Due, at, ok)
		}
		if _, ok := found[string(keys.Ref(item.Body.ID, string(item.Holder())))]; !ok {
			t.Errorf("%s does not hold its body", id)
		}
		if !whole(found, item.Body) {
			t.Errorf("the body of %s is not whole", id)
		}
	}
	checkBodies(t, found, held)
}

// checkBodies: chunks belong to a body that somebody holds, or that is marked, or to a draft.
func checkBodies(t testing.TB, found map[string][]byte, inCustody map[bodies.ID]bool) {
	t.Helper()
	known := map[bodies.ID]bool{}
	for key := range found {
		var id bodies.ID
		if rest, ok := strings.CutPrefix(key, "ref/"); ok {
			copy(id[:], rest)
			if strings.HasPrefix(rest[16:], "spool/") && !inCustody[id] {
				t.Errorf("key %q holds a body for a message that is not in custody", key)
			}
			known[id] = true
		} else if _, draft, ok := keys.ParseDraft([]byte(key)); ok {
			known[draft] = true
		} else if swept, ok := keys.ParseSweep([]byte(key)); ok {
			known[swept] = true
		}
	}
	for key := range found {
		if rest, ok := strings.CutPrefix(key, "body/"); ok && !known[bodies.ID([]byte(rest[:16]))] {
			t.Errorf("chunk %q belongs to nobody and is never swept", key)
		}
	}
}

func whole(found map[string][]byte, body bodies.Body) bool {
	var size int64
	for n := uint32(0); ; n++ {
		chunk, ok := found[string(keys.Chunk(body.ID, n))]
		if !ok {
			return size == body.Total()
		}
		size += int64(len(chunk))
	}
}

func TestCorruptRecord(t *testing.T) {
	t.Parallel()
	st := open(t, vfs.NewMem())
	s := New(st, bodies.New(st), lease.Alone(1))
	var b store.Batch
	b.Put(keys.Spool("BAD"), []byte{format1, 1, 2, 3})
	b.Put(keys.Spool("BAD2"), []byte{format2, 1, 2, 3})
	b.Put(keys.Spool("NEW"), []byte{format2 + 1})
	commit(t, st, &b)
	for _, id := range []mail.ID{"BAD", "BAD2", "NEW"} {
		if _, err := s.Load(t.Context(), id); !errors.Is(err, record.ErrCorrupt) || !strings.Contains(err.Error(), string(id)) {
			t.Errorf("load %s: %v, want ErrCorrupt with the id", id, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	item := newItem(began, "a", "b")
	item.Recipients[0].Original, item.Recipients[1].Status = address("x"), later
	f.Add(item.encode())
	f.Add(newItem(time.Time{}).encode())
	f.Add(wishful().encode())
	f.Fuzz(func(t *testing.T, value []byte) {
		item, err := Decode(value)
		if err != nil {
			if !errors.Is(err, record.ErrCorrupt) {
				t.Errorf("%v is not ErrCorrupt", err)
			}
			return
		}
		again, err := Decode(item.encode())
		if err != nil || !reflect.DeepEqual(again, item) {
			t.Errorf("%+v, encoded and decoded:\n%+v, %v", item, again, err)
		}
	})
}

func BenchmarkRecord(b *testing.B) {
	item := newItem(began, "a")
	value := item.encode()
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			item.encode()
		}
		b.ReportMetric(float64(len(value)), "octets")
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Decode(value); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkAccept is the batch that takes custody of a message of 8 KiB, without waiting for the disk.
func BenchmarkAccept(b *testing.B) {
	st := open(b, vfs.NewMem())
	s := New(st, bodies.New(st), lease.Alone(1))
	content := bytes.Repeat([]byte("0123456789abcde\r\n"), 482)
	prefix := make([]byte, 200)
	b.ReportAllocs()
	for b.Loop() {
		d := s.NewDraft()
		if _, err := d.Write(content); err != nil {
			b.Fatal(err)
		}
		batch := store.Batch{Lazy: true}
		if err := s.Enter(&batch, d, prefix, newItem(began, "a")); err != nil {
			b.Fatal(err)
		}
		if _, err := st.Commit(b.Context(), &batch); err != nil && !errors.Is(err, store.ErrConflict) {
			b.Fatal(err)
		}
		d.Committed()
		d.Discard()
	}
}
