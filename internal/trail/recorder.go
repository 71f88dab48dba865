package trail

import (
	"context"
	"errors"
	"fmt"
	"time"

	"waybill/internal/mail"
	"waybill/internal/store"
	"waybill/internal/store/keys"
)

const (
	flushInterval = time.Second
	maxRecorded   = 8 << 20  // octets of events in memory, roughly; the oldest are dropped beyond it
	sessionValue  = 32 << 10 // octets of events in one value under session/, roughly
)

// Record keeps an event that has no commit of its own: the observer sees it at once, and the store gets it with the
// others of the same second. It never blocks on the store. A crash may lose it.
func (t *Trail) Record(e Event) {
	if t.o.Observe != nil {
		t.o.Observe(e)
	}
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	if e.Message == "" {
		t.keep(t.rates.turn(now)...)
		if !t.rates.allow(e.Peer) {
			return
		}
	}
	t.keep(e)
	if t.timer == nil && len(t.recorded) > 0 {
		t.timer = time.AfterFunc(flushInterval, t.flushLater)
	}
}

// keep adds events to those to be written. t.mu is held.
func (t *Trail) keep(events ...Event) {
	for i := range events {
		t.weight += weigh(&events[i])
	}
	t.recorded = append(t.recorded, events...)
	for t.weight > maxRecorded && len(t.recorded) > 0 {
		t.weight -= weigh(&t.recorded[0])
		t.recorded = t.recorded[1:]
		t.dropped++
	}
}

// weigh is about what an event takes in memory, in octets.
func weigh(e *Event) int {
	n := 500 + len(e.Text)
	for i := range e.Dialogue {
		n += 64 + len(e.Dialogue[i].Text)
	}
	for i := range e.DNS {
		n += 200
		for _, a := range e.DNS[i].Answers {
			n += 16 + len(a)
		}
	}
	for _, h := range e.Header {
		n += 16 + len(h)
	}
	for _, f := range e.Facts {
		n += 32 + len(f.Name) + len(f.Value)
	}
	return n
}

// flushLater is what the timer calls.
func (t *Trail) flushLater() {
	_ = t.flush(context.Background()) // it logs
	t.mu.Lock()
	defer t.mu.Unlock()
	t.timer = nil
	if !t.closed && len(t.recorded)+len(t.saving) > 0 {
		t.timer = time.AfterFunc(flushInterval, t.flushLater)
	}
}

// flush writes what was recorded. What cannot be written stays, and is tried again by the next flush as the same
// batch, so that nothing is written twice.
func (t *Trail) flush(ctx context.Context) error {
	t.writing.Lock()
	defer t.writing.Unlock()
	if t.unsaved != nil {
		if err := t.save(ctx, t.unsaved); err != nil {
			return err
		}
	}
	t.mu.Lock()
	t.saving, t.recorded, t.weight = t.recorded, nil, 0
	events, dropped := t.saving, t.dropped
	t.dropped = 0
	t.mu.Unlock()
	if dropped > 0 {
		t.o.Logger.Warn("events were dropped", "count", dropped)
	}
	if len(events) == 0 {
		return nil
	}
	now := time.Now()
	return t.save(ctx, t.batch(events, now))
}

// batch returns the batch that writes events.
func (t *Trail) batch(events []Event, now time.Time) *store.Batch {
	b := &store.Batch{Lazy: true, ID: store.NewBatchID(now)}
	byMessage := map[mail.ID][]Event{}
	var order []mail.ID
	for _, e := range events {
		if _, seen := byMessage[e.Message]; !seen {
			order = append(order, e.Message)
		}
		byMessage[e.Message] = append(byMessage[e.Message], e)
	}
	for _, id := range order {
		if id != "" {
			t.add(b, id, byMessage[id], now)
		}
	}
	t.addSessions(b, byMessage[""], now)
	return b
}

// addSessions adds the events that belong to no message, and counts their octets.
func (t *Trail) addSessions(b *store.Batch, events []Event, now time.Time) {
	var octets int64
	for len(events) > 0 {
		n, weight := 0, 0
		for n < len(events) && (n == 0 || weight < sessionValue) {
			weight += weigh(&events[n])
			n++
		}
		value := encode("", events[:n])
		if len(value) > 2*sessionValue {
			value = encodeShort("", events[:n])
		}
		octets += int64(len(value))
		b.Put(keys.Sessions(now, t.seq.Add(1)), value)
		events = events[n:]
	}
	if octets > 0 {
		b.Count(keys.SessionOctets(), octets, 0)
	}
}

// save commits a batch of recorded events; t.writing is held.
func (t *Trail) save(ctx context.Context, b *store.Batch) error {
	result, err := t.st.Commit(ctx, b)
	if err != nil && (errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrUnknown) || ctx.Err() != nil) {
		if t.unsaved == nil {
			t.o.Logger.Warn("events could not be written yet", "error", err)
		}
		t.unsaved = b
		return fmt.Errorf("write events: %w", err)
	}
	t.unsaved = nil
	t.mu.Lock()
	t.saving = nil
	t.mu.Unlock()
	if err != nil { // it would fail the next time too
		t.o.Logger.Error("events could not be written and are lost", "error", err)
		return fmt.Errorf("write events: %w", err)
	}
	for i, c := range b.Counters {
		if string(c.Key) == string(keys.SessionOctets()) && result.Counters[i] > t.o.SessionOctets {
			return t.trim(ctx, result.Counters[i])
		}
	}
	return nil
}

// trim deletes the oldest events of sessions, of which there are octets, until they are well below their bound.
func (t *Trail) trim(ctx context.Context, octets int64) error {
	old, err := t.look(ctx, store.Prefix(keys.SessionsAll()), octets-t.o.SessionOctets+t.o.SessionOctets/16)
	if err != nil {
		return fmt.Errorf("trim sessions: %w", err)
	}
	b := store.Batch{Lazy: true}
	old.drop(&b)
	if _, err := t.st.Commit(ctx, &b); err != nil && !errors.Is(err, store.ErrConflict) { // another node is at it
		return fmt.Errorf("trim sessions: %w", err)
	}
	return nil
}

// Close writes what was recorded. Later events are still observed, but not kept.
func (t *Trail) Close(ctx context.Context) error {
	t.mu.Lock()
	if t.timer != nil {
		t.timer.Stop()
	}
	t.keep(t.rates.counts()...)
	t.closed = true
	t.mu.Unlock()
	return t.flush(ctx)
}
