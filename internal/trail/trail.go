package trail

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"waybill/internal/mail"
	"waybill/internal/store"
	"waybill/internal/store/keys"
)

// Options are how a Trail behaves. All have defaults.
type Options struct {
	// Observe sees each event when it is told: after its commit, or at once if it has none. It is called by whoever
	// tells, several at a time and without any lock; it must return quickly. nil: nobody does.
	Observe func(Event)
	// SessionOctets bounds what events of sessions that came to no message take in the store. The oldest go first.
	// 0: 64 MiB.
	SessionOctets int64
	// PerAddress is how many such events are kept of one peer address (of an IPv6 network of 64 bits) in a minute;
	// the rest is counted. 0: 120.
	PerAddress int
	// Logger gets the failures of Record; nil discards them.
	Logger *slog.Logger
}

const (
	defaultSessionOctets = 64 << 20
	defaultPerAddress    = 120
)

// Trail is the waybills of a store. It is safe for concurrent use.
type Trail struct {
	st    store.Store
	o     Options
	seq   atomic.Uint32 // tells apart the keys made in one microsecond; begins anywhere, as other nodes have theirs
	sizes sizes

	// writing is held by whoever writes what was recorded; readers hold it too, so that they see each event once.
	writing sync.RWMutex
	unsaved *store.Batch // of saving, when its commit failed; guarded by writing

	mu       sync.Mutex
	recorded []Event // not written yet
	saving   []Event // being written, or to be written again
	weight   int     // octets of recorded, roughly
	dropped  int     // events that there was no room for
	rates    rates
	timer    *time.Timer // runs while something is recorded
	closed   bool
}

// New returns the trail in st.
func New(st store.Store, o Options) *Trail {
	if o.SessionOctets == 0 {
		o.SessionOctets = defaultSessionOctets
	}
	if o.PerAddress == 0 {
		o.PerAddress = defaultPerAddress
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	t := &Trail{st: st, o: o, rates: rates{limit: o.PerAddress}}
	t.seq.Store(rand.Uint32())
	return t
}

// Append adds to the batch the events of one step of a message: one value, so they cost no sync of their own. What
// a message may take in all is bounded (see maxMessage); what exceeds it is counted.
func (t *Trail) Append(b *store.Batch, id mail.ID, events []Event) {
	if len(events) > 0 {
		t.add(b, id, events, time.Now())
	}
}

// Publish tells the observer of events that were committed.
func (t *Trail) Publish(events []Event) {
	if t.o.Observe == nil {
		return
	}
	for _, e := range events {
		t.o.Observe(e)
	}
}

// Events returns the waybill of a message in the order of At, those events included that Record keeps in memory. It
// is empty for a message that nobody knows. If a step cannot be read, the others are returned with the error.
func (t *Trail) Events(ctx context.Context, id mail.ID) ([]Event, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t.writing.RLock()
	defer t.writing.RUnlock()
	events, omitted, err := t.stored(id)
	t.mu.Lock()
	for _, list := range [][]Event{t.saving, t.recorded} {
		for _, e := range list {
			if e.Message == id && id != "" {
				events = append(events, e)
			}
		}
	}
	t.mu.Unlock()
	slices.SortStableFunc(events, func(a, b Event) int { return a.At.Compare(b.At) })
	if omitted > 0 {
		e := Event{Kind: Omitted, Message: id, Text: fmt.Sprintf("%d further events of this message are not kept", omitted)}
		if len(events) > 0 {
			e.At = events[len(events)-1].At
		}
		events = append(events, e)
	}
	if err != nil {
		return events, fmt.Errorf("read the waybill of %s: %w", id, err)
	}
	return events, nil
}

// stored returns the events in the store, and the number of those left out.
func (t *Trail) stored(id mail.ID) (events []Event, omitted int64, err error) {
	snap, err := t.st.Snapshot()
	if err != nil {
		return nil, 0, err
	}
	defer snap.Close()
	var broken []error
	for e, err := range snap.Scan(store.Prefix(keys.Trail(id))) {
		if err != nil {
			return events, omitted, err
		}
		if bytes.Equal(e.Key, keys.Omitted(id)) {
			omitted = store.ReadCounter(e.Value)
			continue
		}
		step, err := decode(id, e.Value)
		if err != nil {
			broken = append(broken, fmt.Errorf("key %q: %w", e.Key, err))
		}
		events = append(events, step...)
	}
	return events, omitted, errors.Join(broken...)
}

// Sessions returns the events of sessions that came to no message and were written in [from, to), at most limit (0:
// all), oldest first; those that Record still keeps in memory are missing.
func (t *Trail) Sessions(ctx context.Context, from, to time.Time, limit int) ([]Event, error) {
	snap, err := t.st.Snapshot()
	if err != nil {
		return nil, fmt.Errorf("read sessions: %w", err)
	}
	defer snap.Close()
	var events []Event
	for e, err := range snap.Scan(store.Range{Start: keys.SessionsFrom(from), End: keys.SessionsFrom(to)}) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return events, fmt.Errorf("read sessions: %w", err)
		}
		some, err := decode("", e.Value)
		if err != nil {
			return events, fmt.Errorf("read sessions: key %q: %w", e.Key, err)
		}
		events = append(events, some...)
		if limit > 0 && len(events) >= limit {
			return events[:limit], nil
		}
	}
	return events, nil
}

// Expire deletes the waybills of all messages taken into custody before the day (UTC) of before, and the events of
// sessions written before it: with one range each, whatever their number. before must be further back than any
// message stays in the queue.
func (t *Trail) Expire(ctx context.Context, before time.Time) error {
	t.writing.Lock()
	defer t.writing.Unlock()
	sessions := store.Range{Start: keys.SessionsAll(), End: keys.SessionsFrom(before.UTC().Truncate(24 * time.Hour))}
	for {
		old, err := t.look(ctx, sessions, math.MaxInt64)
		if err != nil {
			return fmt.Errorf("expire the trail: %w", err)
		}
		from, to := keys.TrailDays(before)
		b := store.Batch{Lazy: true, DeleteRanges: []store.Range{{Start: from, End: to}}}
		old.drop(&b)
		switch _, err := t.st.Commit(ctx, &b); {
		case errors.Is(err, store.ErrConflict): // another node is at it
		case err != nil:
			return fmt.Errorf("expire the trail: %w", err)
		default:
			return nil
		}
	}
}

// oldest is the oldest events of sessions, up to some point.
type oldest struct {
	keys   store.Range // what they are written under
	octets int64       // of their values
	first  store.Check // the first of them is there
}

// look returns the oldest events of sessions in r, which begins with the first of all, that have octets together or more.
func (t *Trail) look(ctx context.Context, r store.Range, octets int64) (o oldest, err error) {
	snap, err := t.st.Snapshot()
	if err != nil {
		return o, err
	}
	defer snap.Close()
	o.keys.Start = r.Start
	for e, err := range snap.Scan(r) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return o, err
		}
		if o.first.Key == nil {
			o.first = store.Check{Key: bytes.Clone(e.Key), Version: e.Version}
		}
		o.octets += int64(len(e.Value))
		o.keys.End = append(append(o.keys.End[:0], e.Key...), 0)
		if o.octets >= octets {
			break
		}
	}
	return o, nil
}

// drop adds to the batch the end of these events. Whoever else drops some begins with the same one: so of two nodes one meets
// a conflict, and no octet is subtracted twice.
func (o *oldest) drop(b *store.Batch) {
	if o.first.Key == nil {
		return
	}
	b.Checks = append(b.Checks, o.first)
	b.DeleteRanges = append(b.DeleteRanges, o.keys)
	b.Count(keys.SessionOctets(), -o.octets, 0)
}
