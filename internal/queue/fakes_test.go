package queue

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"waybill/internal/mail"
	"waybill/internal/spool"
	"waybill/internal/store"
	"waybill/internal/trail"
)

// deliverer is a Deliverer whose answers a test gives. It counts, and notices a recipient attempted twice at once.
type deliverer struct {
	t      testing.TB
	answer func(a spool.Attempt, i int) mail.Status
	// file makes it a local one: what it delivers is written into the batch, once.
	file bool
	hold func(ctx context.Context, a spool.Attempt) // called before anything is answered; may be nil
	host string                                     // whose words the answers are
	dsn  bool                                       // that host takes over what the sender asked to be told

	mu       sync.Mutex
	attempts map[string]int // by recipient
	under    map[string]bool
	running  map[string]int // by next hop
	most     map[string]int
}

func (d *deliverer) Deliver(ctx context.Context, a spool.Attempt, b *store.Batch) ([]spool.Outcome, []trail.Event) {
	d.enter(a)
	defer d.leave(a)
	if d.hold != nil {
		d.hold(ctx, a)
	}
	var outcomes []spool.Outcome
	for _, i := range a.Recipients {
		status := d.answer(a, i)
		if d.file && status.Success() {
			b.Create(filedKey(a.Item.ID, a.Item.Recipients[i].ForwardPath), []byte("filed"))
		}
		outcomes = append(outcomes, spool.Outcome{Recipient: i, Status: status, RemoteMTA: d.host, Passed: d.dsn && status.Success()})
	}
	return outcomes, []trail.Event{{Kind: trail.Attempted, At: time.Now(), Message: a.Item.ID, Attempt: a.Number}}
}

func filedKey(id mail.ID, path mail.Address) []byte {
	return []byte("filed/" + string(id) + "/" + path.String())
}

func (d *deliverer) enter(a spool.Attempt) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.attempts == nil {
		d.attempts, d.under = map[string]int{}, map[string]bool{}
		d.running, d.most = map[string]int{}, map[string]int{}
	}
	if len(a.Recipients) > maxRecipients {
		d.t.Errorf("an attempt at %d recipients", len(a.Recipients))
	}
	for _, i := range a.Recipients {
		key := string(a.Item.ID) + "/" + a.Item.Recipients[i].ForwardPath.String()
		if d.under[key] {
			d.t.Errorf("%s is attempted twice at once", key)
		}
		if a.Item.Recipients[i].State != spool.Pending {
			d.t.Errorf("%s is attempted although it is %s", key, a.Item.Recipients[i].State)
		}
		d.under[key] = true
		d.attempts[a.Item.Recipients[i].ForwardPath.String()]++
	}
	d.running[a.NextHop]++
	d.most[a.NextHop] = max(d.most[a.NextHop], d.running[a.NextHop])
}

func (d *deliverer) leave(a spool.Attempt) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, i := range a.Recipients {
		delete(d.under, string(a.Item.ID)+"/"+a.Item.Recipients[i].ForwardPath.String())
	}
	d.running[a.NextHop]--
}

// tried returns how often a recipient was attempted, over all messages.
func (d *deliverer) tried(path string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.attempts[path]
}

// atOnce returns how many attempts at a next hop ran at the same time, at most.
func (d *deliverer) atOnce(nextHop string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.most[nextHop]
}

// always answers everything with one status.
func always(code int, enhanced, text string) func(spool.Attempt, int) mail.Status {
	status := mail.NewStatus(code, enhanced, text)
	return func(spool.Attempt, int) mail.Status { return status }
}

var delivered = always(250, "2.0.0", "ok")

// byLocalPart answers by the local-part of the recipient: "ok", "later" and "never", else as ok.
func byLocalPart(a spool.Attempt, i int) mail.Status {
	switch path := a.Item.Recipients[i].ForwardPath; {
	case strings.HasPrefix(path.Local, "later"):
		return mail.NewStatus(450, "4.2.1", "later")
	case strings.HasPrefix(path.Local, "never"):
		return mail.NewStatus(550, "5.1.1", "never")
	}
	return mail.NewStatus(250, "2.0.0", "ok")
}

// flaky is a store that a test makes fail.
type flaky struct {
	store.Store
	mu     sync.Mutex
	before func(*store.Batch) error // its error is the commit's; nothing was applied
	after  func(*store.Batch) error // its error is the commit's, although the batch was applied
	sick   error
	look   func()                 // called for each snapshot
	open   func(key string) error // called for each key that is read: an error means that it cannot be
}

func (f *flaky) Commit(ctx context.Context, b *store.Batch) (store.Result, error) {
	f.mu.Lock()
	before, after := f.before, f.after
	f.mu.Unlock()
	if before != nil {
		if err := before(b); err != nil {
			return store.Result{}, err
		}
	}
	result, err := f.Store.Commit(ctx, b)
	if err == nil && after != nil {
		err = after(b)
	}
	return result, err
}

func (f *flaky) Snapshot() (store.Snapshot, error) {
	f.mu.Lock()
	look, open := f.look, f.open
	f.mu.Unlock()
	if look != nil {
		look()
	}
	snap, err := f.Store.Snapshot()
	if err == nil && open != nil {
		snap = &watched{snap, open}
	}
	return snap, err
}

// watched is a snapshot that tells which keys are read.
type watched struct {
	store.Snapshot
	open func(key string) error
}

func (w *watched) Get(key []byte) ([]byte, store.Version, error) {
	if err := w.open(string(key)); err != nil {
		return nil, 0, err
	}
	return w.Snapshot.Get(key)
}

func (f *flaky) Healthy() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sick
}
