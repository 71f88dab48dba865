package mailbox

import (
	"bytes"
	"errors"
	"iter"
	"sync"
	"testing"
	"time"

	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/lease"
)

// TestPurgeStaysOutOfANewAccount: a purge that knows of a mark from before deletes nothing of an account that got the name
// since, nor anything of its mailboxes.
func TestPurgeStaysOutOfANewAccount(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := f.message("shared\r\n")
	create := func(name string) error {
		return f.try(func(b *store.Batch) error { return f.Create(t.Context(), b, alice, name, time.Now()) })
	}
	if err := create("Work"); err != nil {
		t.Fatal(err)
	}
	f.file(alice, Inbox, m)
	if err := f.try(func(b *store.Batch) error { return f.Remove(t.Context(), b, alice, "Work") }); err != nil {
		t.Fatal(err)
	}
	if err := f.try(func(b *store.Batch) error { f.Abandon(b, alice); return nil }); err != nil {
		t.Fatal(err)
	}
	stale, err := f.abandoned()
	if err != nil || len(stale) != 2 {
		t.Fatal(stale, err)
	}
	if n, err := f.Purge(t.Context()); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if err := errors.Join(create(Inbox), create("Work")); err != nil {
		t.Fatal(err)
	}
	f.file(alice, Inbox, m)
	f.file(alice, "Work", m)
	before := f.counter(keys.Octets(alice))
	for _, x := range stale {
		if n, err := f.purge(t.Context(), x); n != 0 || err != nil {
			t.Errorf("%+v: %d messages purged, %v", x, n, err)
		}
	}
	if got := f.boxes(alice); len(got) != 2 || len(f.list(alice, Inbox)) != 1 || len(f.list(alice, "Work")) != 1 {
		t.Errorf("the new account has %v", got)
	}
	if after := f.counter(keys.Octets(alice)); after != before || after == 0 || f.counter(keys.MailboxNumbers(alice)) != 2 {
		t.Errorf("%d octets, were %d; %d mailboxes", after, before, f.counter(keys.MailboxNumbers(alice)))
	}
}

// TestPurgesAtOnce: whoever purges a mailbox at the same time, its octets are subtracted once.
func TestPurgesAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := f.message("shared\r\n")
	if err := f.try(func(b *store.Batch) error { f.Create(t.Context(), b, alice, "Work", now); return nil }); err != nil {
		t.Fatal(err)
	}
	f.file(alice, Inbox, m)
	left := f.counter(keys.Octets(alice))
	const n = 3*purgeAtOnce + 10
	var b store.Batch
	for range n {
		if err := f.File(t.Context(), &b, alice, "Work", m); err != nil {
			t.Fatal(err)
		}
		if len(b.Counters) >= 400 {
			f.commit(&b)
			b = store.Batch{}
		}
	}
	f.commit(&b)
	if err := f.try(func(b *store.Batch) error { return f.Remove(t.Context(), b, alice, "Work") }); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	purged := 0
	for _, by := range []*Mailboxes{f.Mailboxes, f.Mailboxes, New(f.st, f.bodies, lease.Alone(1)), New(f.st, f.bodies, lease.Alone(1))} {
		all.Go(func() {
			got, err := by.Purge(t.Context())
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			purged += got
		})
	}
	all.Wait()
	if got := f.counter(keys.Octets(alice)); got != left || purged != n {
		t.Errorf("%d octets, want %d; %d messages purged, want %d", got, left, purged, n)
	}
}

// damagedRange is a store part of which cannot be scanned.
type damagedRange struct {
	store.Store
	prefix []byte
	err    error
}

type damagedSnapshot struct {
	store.Snapshot
	of damagedRange
}

func (d damagedRange) Snapshot() (store.Snapshot, error) {
	snap, err := d.Store.Snapshot()
	return damagedSnapshot{snap, d}, err
}

func (d damagedSnapshot) Scan(r store.Range) iter.Seq2[store.Entry, error] {
	if bytes.HasPrefix(r.Start, d.of.prefix) {
		return func(yield func(store.Entry, error) bool) { yield(store.Entry{}, d.of.err) }
	}
	return d.Snapshot.Scan(r)
}

// TestPurgeGoesOnAfterDamage: a removed mailbox that cannot be read is told, and the others are deleted; a store that is gone
// ends the purge.
func TestPurgeGoesOnAfterDamage(t *testing.T) {
	t.Parallel()
	torn := errors.New("a torn block")
	for _, broken := range []error{torn, store.ErrUnavailable} {
		f := newFixture(t)
		m := f.message("shared\r\n")
		for _, name := range []string{"A", "B"} {
			if err := f.create(name, now); err != nil {
				t.Fatal(err)
			}
			f.file(alice, name, m)
			if err := f.try(func(b *store.Batch) error { return f.Remove(t.Context(), b, alice, name) }); err != nil {
				t.Fatal(err)
			}
		}
		marked, err := f.abandoned()
		if err != nil || len(marked) != 2 {
			t.Fatal(marked, err)
		}
		want := 0
		if broken == torn {
			want = 1
		}
		damaged := New(damagedRange{f.st, marked[0].Messages(), broken}, f.bodies, lease.Alone(1))
		if n, err := damaged.Purge(t.Context()); n != want || !errors.Is(err, broken) {
			t.Errorf("%v: %d messages purged, %v", broken, n, err)
		}
		if n, err := f.Purge(t.Context()); n != 2-want || err != nil {
			t.Errorf("%v: %d messages purged afterwards, %v", broken, n, err)
		}
	}
}
