package spool

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"waybill/internal/mail"
	"waybill/internal/mailbox"
	"waybill/internal/store"
	"waybill/internal/store/bodies"
	"waybill/internal/store/faultfs"
	"waybill/internal/store/lease"
)

const owner = "owner@example.test"

// deliverer takes custody of messages and files them, as the receiver and the queue do it: the first batch waits for
// the disk, the second does not.
type deliverer struct {
	st    store.Store
	spool *Spool
	boxes *mailbox.Mailboxes

	mu       sync.Mutex
	answered map[mail.ID]bool // custody was acknowledged
}

func newDeliverer(t testing.TB, st store.Store) *deliverer {
	b := bodies.New(st)
	return &deliverer{st: st, spool: New(st, b, lease.Alone(1)), boxes: mailbox.New(st, b, lease.Alone(1)), answered: map[mail.ID]bool{}}
}

// deliver brings one message into the mailbox, over an attempt that only half succeeds.
func (d *deliverer) deliver(n, size int) error {
	ctx := context.Background()
	item := newItem(began.Add(time.Duration(n)*time.Millisecond), "owner", "elsewhere")
	item.ID = mail.NewIDs(1).New(began.Add(time.Duration(n) * time.Second))
	draft := d.spool.NewDraft()
	defer draft.Discard()
	if _, err := io.Copy(draft, strings.NewReader(strings.Repeat("x", size))); err != nil {
		return err
	}
	var b store.Batch
	if err := d.spool.Enter(&b, draft, []byte("Received: "+string(item.ID)+"\r\n"), item); err != nil {
		return err
	}
	result, err := d.st.Commit(ctx, &b)
	if err != nil {
		return err
	}
	draft.Committed()
	item.Version = result.Version
	d.mu.Lock()
	d.answered[item.ID] = true
	d.mu.Unlock()

	b = store.Batch{}
	item.Attempts = 1
	d.spool.Settle(&b, item, []Outcome{{Recipient: 1, Status: never}}, item.Due.Add(time.Hour))
	if result, err = d.st.Commit(ctx, &b); err != nil {
		return err
	}
	item.Version = result.Version

	b = store.Batch{Lazy: true}
	message := mailbox.Message{ID: item.ID, Body: item.Body, From: item.Holder(), Prefix: []byte("P: x\r\n"), Received: began}
	if err := d.boxes.File(ctx, &b, owner, mailbox.Inbox, message); err != nil {
		return err
	}
	d.spool.Settle(&b, item, []Outcome{{Recipient: 0, Status: done}}, item.Due)
	_, err = d.st.Commit(ctx, &b)
	return err
}

// TestCrash stops the machine after every step that reaches the disk: every message that was answered for is in
// custody or in the mailbox, whole, and never in both; and all keys are in a state of the table.
func TestCrash(t *testing.T) {
	t.Parallel()
	for _, size := range []int{500, 400_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) { testCrash(t, size) })
	}
}

func testCrash(t *testing.T, size int) {
	t.Parallel()
	disk := faultfs.NewDisk()
	d := newDeliverer(t, open(t, disk))
	var b store.Batch
	if err := d.boxes.Create(t.Context(), &b, owner, mailbox.Inbox, began); err != nil {
		t.Fatal(err)
	}
	commit(t, d.st, &b)
	type crash struct {
		disk     *faultfs.Disk
		answered int
	}
	var mu sync.Mutex
	var crashes []crash
	var order []mail.ID // those that were answered for, in order of the crashes
	steps, every := 0, 1
	if size > 100_000 { // a crash copies the disk
		every = 6
	}
	disk.After(func(o faultfs.Op) {
		mu.Lock()
		defer mu.Unlock()
		if steps++; o.Kind != faultfs.Sync && steps%every > 0 {
			return
		}
		d.mu.Lock()
		for id := range d.answered {
			order = append(order, id)
			delete(d.answered, id)
		}
		d.mu.Unlock()
		n := uint64(len(crashes))
		crashes = append(crashes, crash{disk.Crash(int(n*37%101), n), len(order)})
	})
	var deliveries sync.WaitGroup
	for worker := range 3 {
		deliveries.Go(func() {
			for n := range 3 {
				if err := d.deliver(worker*100+n, size); err != nil {
					t.Error("deliver:", err)
				}
			}
		})
	}
	deliveries.Wait()
	disk.After(nil)
	mu.Lock()
	defer mu.Unlock()
	if len(crashes) < 6 { // two batches wait for the disk for each of three messages, one after the other
		t.Fatalf("only %d crashes", len(crashes))
	}
	for i := 0; i < len(crashes); i += 1 + len(crashes)/20 {
		checkCrash(t, fmt.Sprintf("crash %d", i), crashes[i].disk, order[:crashes[i].answered])
	}
}

func checkCrash(t *testing.T, name string, disk *faultfs.Disk, answered []mail.ID) {
	t.Helper()
	st := open(t, disk)
	defer st.Close()
	d := newDeliverer(t, st)
	checkStates(t, st)
	if _, err := d.spool.bodies.Sweep(t.Context(), time.Hour); err != nil {
		t.Fatal(name, err)
	}
	checkStates(t, st)
	listing, err := d.boxes.List(t.Context(), owner, mailbox.Inbox)
	if err != nil {
		t.Fatal(name, err)
	}
	filed := map[mail.ID]int{}
	for _, e := range listing.Entries {
		filed[e.ID]++
		r, err := d.boxes.Open(t.Context(), e)
		if err != nil {
			t.Fatal(name, err)
		}
		if content, err := io.ReadAll(r); err != nil || int64(len(content)) != e.Size {
			t.Errorf("%s: message %d has %d octets, not %d: %v", name, e.UID, len(content), e.Size, err)
		}
	}
	waiting := map[mail.ID]bool{}
	entries, err := d.spool.Due(t.Context(), began.Add(1000*time.Hour), DueEntry{}, 0)
	if err != nil {
		t.Fatal(name, err)
	}
	for _, e := range entries {
		waiting[e.ID] = true
	}
	for _, id := range answered {
		if !waiting[id] && filed[id] == 0 {
			t.Errorf("%s: %s was answered for and is lost", name, id)
		}
	}
	for id, n := range filed {
		if n != 1 || waiting[id] {
			t.Errorf("%s: %s is filed %d times, in custody %v", name, id, n, waiting[id])
		}
	}
}
