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
	"waybill/internal/store/lease"
	"waybill/internal/store/pebble"
	"waybill/internal/trail"
)

// rig is a queue on a store in memory.
type rig struct {
	t       testing.TB
	store   *flaky
	spool   *spool.Spool
	queue   *Queue
	options Options
	local   *deliverer
	remote  *deliverer
	wishes  func(*spool.Item) // changes each message before it comes into custody; may be nil
	content string            // of each message, if that is not ""

	mu     sync.Mutex
	events []trail.Event
}

func newRig(t testing.TB, fs vfs.FS) *rig {
	engine, err := pebble.Open(pebble.Options{Dir: "store", FS: fs, MemTableSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return newRigOn(t, &flaky{Store: engine}, lease.Alone(1))
}

// newRigOn is a rig of a node that may share its store.
func newRigOn(t testing.TB, st *flaky, l *lease.Lease) *rig {
	r := &rig{t: t, store: st, spool: spool.New(st, bodies.New(st), l)}
	r.local = &deliverer{t: t, answer: delivered, file: true}
	r.remote = &deliverer{t: t, answer: delivered}
	r.options = Options{
		Store: st, Spool: r.spool, Lease: l, Trail: trail.New(st, trail.Options{Observe: r.observe}),
		Local: r.local, Remote: r.remote, IsLocal: func(domain string) bool { return domain == "a.test" },
		Hostname: "mail.a.test", IDs: mail.IDsOf(l.Number), Retry: []time.Duration{time.Minute, 5 * time.Minute, time.Hour},
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
		ID: r.options.IDs.New(now), ReversePath: address(r.t, reversePath),
		Accepted: now, Due: now, Expires: now.Add(24 * time.Hour),
	}
	for _, path := range recipients {
		item.Recipients = append(item.Recipients, spool.Recipient{ForwardPath: address(r.t, path), State: spool.Pending})
	}
	if r.wishes != nil {
		r.wishes(item)
	}
	content := "Subject: Test Email\r\n\r\nHere is my data.\r\n"
	if r.content != "" {
		content = r.content
	}
	draft := r.spool.NewDraft()
	defer draft.Discard()
	if _, err := io.WriteString(draft, content); err != nil {
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

// inMemory returns how many messages the queue has there.
func (r *rig) inMemory() int {
	r.queue.mu.Lock()
	defer r.queue.mu.Unlock()
	return len(r.queue.active)
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

// all returns every event published so far.
func (r *rig) all() []trail.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

// event returns the latest event of that kind.
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
