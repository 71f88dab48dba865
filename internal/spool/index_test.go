package spool

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"waybill/internal/mail"
	"waybill/internal/store"
	"waybill/internal/store/bodies"
	"waybill/internal/store/faultfs"
	"waybill/internal/store/keys"
	"waybill/internal/store/lease"
)

// TestDueAgainstModel enters, settles and ends items at random times; the index must always show what there is, in one slice and
// in several, of which one is somebody else's.
func TestDueAgainstModel(t *testing.T) {
	t.Parallel()
	for nodes := range uint16(4) {
		testDueAgainstModel(t, 1+nodes)
	}
}

func testDueAgainstModel(t *testing.T, nodes uint16) {
	st := open(t, vfs.NewMem())
	s := New(st, bodies.New(st), lease.Alone(0, []uint16{1, 2, 3}[:nodes-1]...))
	items := map[mail.ID]*Item{}
	clock := began
	for step := range uint16(600) {
		clock = clock.Add(time.Duration(rand.IntN(1000)) * time.Millisecond)
		switch rand.IntN(4) {
		case 0, 1:
			item := newItem(clock.Add(time.Duration(rand.IntN(3)-2)*time.Second), "a")
			item.ID = mail.NewIDs(step % (nodes + 1)).New(clock)
			enter(t, s, item, []byte("x"))
			if step%(nodes+1) < nodes {
				items[item.ID] = item
			}
		case 2:
			for id, item := range items {
				var b store.Batch
				outcome := later
				if rand.IntN(3) > 0 {
					outcome = done
					delete(items, id)
				}
				s.Settle(&b, item, []Outcome{{Recipient: 0, Status: outcome}}, clock.Add(time.Duration(rand.IntN(100))*time.Second))
				item.Version = commit(t, st, &b).Version
				break
			}
		case 3:
			checkDue(t, s, items, clock)
		}
	}
}

func checkDue(t *testing.T, s *Spool, items map[mail.ID]*Item, until time.Time) {
	t.Helper()
	var want []DueEntry
	var first time.Time
	for id, item := range items {
		if !item.Due.After(until) {
			want = append(want, DueEntry{id, item.Due})
		}
		first = earliest(first, item.Due)
	}
	slices.SortFunc(want, DueEntry.compare)
	var got []DueEntry
	var after DueEntry
	for {
		page, err := s.Due(t.Context(), until, after, 3)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, page...)
		if len(page) < 3 {
			break
		}
		after = page[2]
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("due until %v:\n%v, want\n%v", until, got, want)
	}
	next, ok, err := s.NextDue(t.Context())
	if err != nil || ok != (len(items) > 0) || !next.Equal(first) {
		t.Fatalf("next due %v, %v, %v; want %v", next, ok, err, first)
	}
}

// TestLowWaterMark: what ended long ago is not scanned again; what is committed late is found all the same.
func TestLowWaterMark(t *testing.T) {
	t.Parallel()
	st := open(t, vfs.NewMem())
	s := New(st, bodies.New(st), lease.Alone(1, 2, 3, 4))
	next := func() time.Time {
		due, _, err := s.NextDue(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return due
	}
	turn := func() { // two spans pass
		s.index.start(time.Now())
		s.index.turned = time.Time{}
		s.index.start(time.Now())
		s.index.turned = time.Time{}
	}
	due := began.Truncate(time.Microsecond)
	old, young := newItem(due, "a"), newItem(due.Add(time.Hour), "a")
	young.ID = mail.NewIDs(2).New(began)
	enter(t, s, old, []byte("x"))
	enter(t, s, young, []byte("x"))
	var b store.Batch
	s.Settle(&b, old, []Outcome{{Recipient: 0, Status: done}}, due)
	commit(t, st, &b)
	turn()
	if !next().Equal(young.Due) {
		t.Fatal("the first entry is another")
	}
	if from, _ := s.index.start(time.Now()); !from.Equal(young.Due) {
		t.Errorf("the next scan begins at %v, not at the first entry", from)
	}

	// A batch is built, then a scan comes, then the batch is committed.
	late := newItem(due.Add(time.Minute), "a")
	late.ID = mail.NewIDs(3).New(began)
	d := s.NewDraft()
	defer d.Discard()
	b = store.Batch{}
	if err := s.Enter(&b, d, nil, late); err != nil {
		t.Fatal(err)
	}
	next()
	commit(t, st, &b)
	if !next().Equal(late.Due) {
		t.Error("an item that was entered while a scan ran is not found")
	}

	// The same, but the commit takes longer than the announcement is remembered: it is found when the mark is forgotten.
	slow := newItem(due.Add(time.Second), "a")
	slow.ID = mail.NewIDs(4).New(began)
	b = store.Batch{}
	if err := s.Enter(&b, d, nil, slow); err != nil {
		t.Fatal(err)
	}
	turn()
	next()
	turn()
	next()
	commit(t, st, &b)
	s.index.forgot = time.Now().Add(-forgetAfter - time.Second)
	if !next().Equal(slow.Due) {
		t.Error("an item whose commit was slow is not found")
	}
}

// TestMarkIsForgottenAfterFailure: a store that comes back may have entries again that had been deleted.
func TestMarkIsForgottenAfterFailure(t *testing.T) {
	t.Parallel()
	disk := faultfs.NewDisk()
	st := open(t, disk)
	s := New(st, bodies.New(st), lease.Alone(1, 2, 3, 4))
	old, young := newItem(began, "a"), newItem(began.Add(time.Hour), "a")
	young.ID = mail.NewIDs(2).New(began)
	enter(t, s, old, []byte("x"))
	enter(t, s, young, []byte("x"))
	b := store.Batch{Lazy: true}
	s.Settle(&b, old, []Outcome{{Recipient: 0, Status: done}}, began)
	commit(t, st, &b)
	for range 3 {
		s.index.start(time.Now())
		s.index.turned = time.Time{}
		if _, _, err := s.NextDue(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if s.index.low.Before(young.Due.Add(-time.Second)) {
		t.Fatal("the mark did not move and the test tests nothing")
	}
	back, cancel := st.Watch(store.Reopened())
	defer cancel()
	disk.Before(func(o faultfs.Op) error {
		if o.Log() {
			return faultfs.ErrInjected
		}
		return nil
	})
	if _, err := st.Commit(t.Context(), &store.Batch{Puts: []store.Put{{Key: []byte("fails")}}}); err == nil {
		t.Fatal("a commit on a failing disk succeeded")
	}
	disk.Before(nil)
	<-back
	s.Forget()
	entries, err := s.Due(t.Context(), began.Add(2*time.Hour), DueEntry{}, 0)
	if err != nil || len(entries) != 2 {
		t.Errorf("after the failure: %v, %v; want both items", entries, err)
	}
}

// TestForgetDuringAScan: a scan that began before the store was reopened does not raise the mark over what came back.
func TestForgetDuringAScan(t *testing.T) {
	t.Parallel()
	var x index
	_, epoch := x.start(time.Now())
	x.forget()
	x.raise(began.Add(time.Hour), epoch)
	if from, _ := x.start(time.Now()); !from.IsZero() {
		t.Errorf("the next scan begins at %v, not at the start", from)
	}
}

// TestStrangeDueKey: a key that names no message does not hold up what stands behind it, and a page behind it is full.
func TestStrangeDueKey(t *testing.T) {
	t.Parallel()
	st := open(t, vfs.NewMem())
	s := New(st, bodies.New(st), lease.Alone(1, 2, 3, 4))
	var b store.Batch
	b.Put(append(keys.DueAll(), 0), nil)
	b.Put(append(keys.DueSlice(1), 0), nil)
	commit(t, st, &b)
	item := newItem(began, "a")
	enter(t, s, item, []byte("x"))
	for _, limit := range []int{0, 1} {
		if entries, err := s.Due(t.Context(), began.Add(time.Hour), DueEntry{}, limit); err != nil || len(entries) != 1 || entries[0].ID != item.ID {
			t.Errorf("limit %d: %v, %v", limit, entries, err)
		}
	}
}

// TestAnnouncementsAreForgotten: the mark follows when nothing was announced for a while.
func TestAnnouncementsAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var x index
		x.start(time.Now())
		x.announce(began)
		scan := func(first time.Time) {
			_, epoch := x.start(time.Now())
			x.raise(first, epoch)
		}
		scan(began.Add(time.Hour))
		if !x.low.Equal(began) {
			t.Errorf("mark at %v right after the announcement", x.low)
		}
		for range 3 {
			time.Sleep(announceSpan + time.Second)
			scan(began.Add(time.Hour))
		}
		if !x.low.Equal(began.Add(time.Hour)) {
			t.Errorf("mark at %v long after the announcement", x.low)
		}
		x.announce(began)
		if !x.low.Equal(began) {
			t.Errorf("mark at %v after an earlier announcement", x.low)
		}
	})
}

// TestMarkRisesWhenNothingIsDue: the tombstones of all that was delivered are passed once, not with each scan, also when
// nothing stands behind them.
func TestMarkRisesWhenNothingIsDue(t *testing.T) {
	t.Parallel()
	st := open(t, vfs.NewMem())
	s := New(st, bodies.New(st), lease.Alone(1))
	horizon := began.Add(time.Hour)
	if entries, err := s.Due(t.Context(), horizon, DueEntry{}, 0); err != nil || len(entries) != 0 {
		t.Fatal(entries, err)
	}
	if from, _ := s.index.start(time.Now()); !from.Equal(horizon) {
		t.Errorf("the next scan begins at %v", from)
	}
	early := newItem(began, "a") // announced below the mark, it lowers it
	enter(t, s, early, []byte("x"))
	if entries, err := s.Due(t.Context(), horizon, DueEntry{}, 0); err != nil || len(entries) != 1 {
		t.Error("an entry before the mark is not found:", entries, err)
	}
}
