package queue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"waybill/internal/mail"
	"waybill/internal/spool"
	"waybill/internal/store"
	"waybill/internal/store/bodies"
	"waybill/internal/store/pebble"
	"waybill/internal/trail"
)

// deliverer is a Deliverer whose answers a test gives. It counts, and notices a recipient attempted twice at once.
type deliverer struct {
	t      testing.TB
	answer func(a spool.Attempt, i int) mail.Status
	// file makes it a local one: what it delivers is written into the batch, once.
	file bool
	hold func(ctx context.Context, a spool.Attempt) // called before anything is answered; may be nil

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
		outcomes = append(outcomes, spool.Outcome{Recipient: i, Status: status})
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

func (f *flaky) Healthy() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sick
}

// rig is a queue on a store in memory.
type rig struct {
	t       testing.TB
	store   *flaky
	spool   *spool.Spool
	queue   *Queue
	options Options
	local   *deliverer
	remote  *deliverer

	mu     sync.Mutex
	events []trail.Event
}

func newRig(t testing.TB, fs vfs.FS) *rig {
	engine, err := pebble.Open(pebble.Options{Dir: "store", FS: fs, MemTableSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	st := &flaky{Store: engine}
	r := &rig{t: t, store: st, spool: spool.New(st, bodies.New(st))}
	r.local = &deliverer{t: t, answer: delivered, file: true}
	r.remote = &deliverer{t: t, answer: delivered}
	r.options = Options{
		Store: st, Spool: r.spool, Trail: trail.New(st, trail.Options{Observe: r.observe}),
		Local: r.local, Remote: r.remote, IsLocal: func(domain string) bool { return domain == "a.test" },
		Hostname: "mail.a.test", Node: 1, Retry: []time.Duration{time.Minute, 5 * time.Minute, time.Hour},
		Expire: 24 * time.Hour, RemoteWorkers: 30, PerHop: 5,
	}
	return r
}

func (r *rig) observe(ev trail.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, ev)
}

func (r *rig) start() {
	r.t.Helper()
	r.queue = New(r.options)
	if err := r.queue.Start(context.Background()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) stop() {
	r.t.Helper()
	if err := r.queue.Shutdown(context.Background()); err != nil {
		r.t.Error(err)
	}
}

func (r *rig) close() {
	r.t.Helper()
	r.stop()
	if err := r.options.Trail.Close(context.Background()); err != nil {
		r.t.Error(err)
	}
	if err := r.store.Close(); err != nil {
		r.t.Error(err)
	}
}

func address(t testing.TB, text string) mail.Address {
	a, _, err := mail.ParsePath("<" + text + ">")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// accept takes custody as the receiver does, without telling the queue.
func (r *rig) accept(reversePath string, recipients ...string) *spool.Item {
	r.t.Helper()
	item, err := r.tryAccept(reversePath, recipients...)
	if err != nil {
		r.t.Fatal(err)
	}
	return item
}

func (r *rig) tryAccept(reversePath string, recipients ...string) (*spool.Item, error) {
	now := time.Now()
	item := &spool.Item{
		ID: mail.NewID(now, 1), ReversePath: address(r.t, reversePath),
		Accepted: now, Due: now, Expires: now.Add(24 * time.Hour),
	}
	for _, path := range recipients {
		item.Recipients = append(item.Recipients, spool.Recipient{ForwardPath: address(r.t, path), State: spool.Pending})
	}
	draft := r.spool.NewDraft()
	defer draft.Discard()
	if _, err := io.WriteString(draft, "Subject: Test Email\r\n\r\nHere is my data.\r\n"); err != nil {
		return nil, err
	}
	var b store.Batch
	if err := r.spool.Enter(&b, draft, []byte("Received: by mail.a.test\r\n"), item); err != nil {
		return nil, err
	}
	result, err := r.store.Store.Commit(context.Background(), &b)
	if err != nil {
		return nil, err
	}
	draft.Committed()
	item.Version = result.Version
	return item, nil
}

// send takes custody and tells the queue.
func (r *rig) send(reversePath string, recipients ...string) mail.ID {
	r.t.Helper()
	item := r.accept(reversePath, recipients...)
	id := item.ID
	r.queue.Enqueue(item)
	return id
}

// load returns the message as the spool has it, or nil if custody has ended.
func (r *rig) load(id mail.ID) *spool.Item {
	r.t.Helper()
	item, err := r.spool.Load(context.Background(), id)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return item
}

// filed returns the local recipients that have the message.
func (r *rig) filed(id mail.ID) []string {
	r.t.Helper()
	snap, err := r.store.Snapshot()
	if err != nil {
		r.t.Fatal(err)
	}
	defer snap.Close()
	prefix := "filed/" + string(id) + "/"
	var paths []string
	for entry, err := range snap.Scan(store.Prefix([]byte(prefix))) {
		if err != nil {
			r.t.Fatal(err)
		}
		paths = append(paths, strings.TrimPrefix(string(entry.Key), prefix))
	}
	return paths
}

// kinds returns the published events of a message as "kind recipient".
func (r *rig) kinds(id mail.ID) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var kinds []string
	for _, ev := range r.events {
		if ev.Message == id && ev.Kind != trail.Attempted {
			kinds = append(kinds, strings.TrimSpace(fmt.Sprintf("%s %s", ev.Kind, ev.Recipient)))
		}
	}
	return kinds
}

func (r *rig) event(id mail.ID, kind trail.Kind) (trail.Event, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, ev := range slices.Backward(r.events) {
		if ev.Message == id && ev.Kind == kind {
			return ev, true
		}
	}
	return trail.Event{}, false
}

// bubble runs a test in virtual time with a queue on a store in memory.
func bubble(t *testing.T, prepare func(*rig), test func(*testing.T, *rig)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, vfs.NewMem())
		if prepare != nil {
			prepare(r)
		}
		r.start()
		defer r.close()
		test(t, r)
	})
}

func (r *rig) expect(what string, got, want []string) {
	r.t.Helper()
	if !slices.Equal(got, want) {
		r.t.Errorf("%s:\n  %s\nwant:\n  %s", what, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}
