package trail

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"waybill/internal/store"
	"waybill/internal/store/keys"
)

// Query asks for the sessions of a peer, or for one session, in a span of time.
type Query struct {
	Network netip.Prefix `json:"network,omitzero"`  // of the peer; not valid: any
	Session string       `json:"session,omitempty"` // its name; "": any
	Since   time.Time    `json:"since"`
	Until   time.Time    `json:"until"`
	Limit   int          `json:"limit"` // events; the newest are returned
}

// Visits are the events that a Query finds.
type Visits struct {
	// Events are in the order of At: of sessions that came to no message, of POP3 sessions, and of messages as they came
	// in, with the decisions that let them in. Of a whole network they have no dialogues.
	Events []Event `json:"events"`
	// From is when the events begin to be complete: later than Since if there were too many, or too much to look through.
	From time.Time `json:"from"`
}

const (
	visitTime = 20 * time.Second // for looking through the trail
	// longSession: events are written under the time at which their session came to a message or ended. Of a session that
	// began earlier than that before its events, some may be missed.
	longSession = time.Hour
	maxVisits   = 10_000
)

// visitKinds are the kinds that tell of what a peer did.
var visitKinds = []Kind{Received, Refused, Ended, MaildropOpened, MaildropClosed, Omitted}

// Visits looks for the sessions of a peer. There is no index for it: it goes through the sessions and messages of that time,
// backwards.
func (t *Trail) Visits(ctx context.Context, q Query) (Visits, error) {
	if !q.Network.IsValid() && q.Session == "" {
		return Visits{}, errors.New("a query needs a network or a session")
	}
	q.Network = q.Network.Masked()
	if q.Limit <= 0 || q.Limit > maxVisits {
		q.Limit = maxVisits
	}
	ctx, cancel := context.WithTimeout(ctx, visitTime)
	defer cancel()
	snap, unwritten, err := t.now()
	if err != nil {
		return Visits{}, fmt.Errorf("look for sessions: %w", err)
	}
	defer snap.Close()
	found := &visitor{query: q, hint: hint(q), from: q.Since}
	found.take(unwritten)
	for _, r := range []store.Range{
		{Start: keys.SessionsFrom(q.Since), End: keys.SessionsFrom(q.Until.Add(longSession))},
		{Start: keys.TrailFrom(q.Since.Add(-longSession)), End: keys.TrailFrom(q.Until.Add(longSession))},
	} {
		r.Reverse = true
		if err := found.scan(ctx, snap, r); err != nil {
			return Visits{}, fmt.Errorf("look for sessions: %w", err)
		}
	}
	return found.result(), nil
}

// now returns the store as it is, and the events that are not in it yet.
func (t *Trail) now() (store.Snapshot, []Event, error) {
	t.writing.RLock()
	defer t.writing.RUnlock()
	snap, err := t.st.Snapshot()
	t.mu.Lock()
	defer t.mu.Unlock()
	return snap, slices.Concat(t.saving, t.recorded), err
}

// hint is text that stands in every value that has something to be found, so that the others need not be decoded; nil if
// there is none.
func hint(q Query) []byte {
	switch {
	case q.Session != "":
		return []byte(q.Session)
	case q.Network.IsSingleIP():
		return []byte(q.Network.Addr().String())
	}
	return nil
}

// visitor collects what a query asks for.
type visitor struct {
	query  Query
	hint   []byte
	events []Event
	from   time.Time
}

// scan goes through a range from its end, until there is enough or no time left.
func (v *visitor) scan(ctx context.Context, snap store.Snapshot, r store.Range) error {
	had := len(v.events)
	for e, err := range snap.Scan(r) {
		if err != nil {
			return err
		}
		id, at, ok := keys.ParseTold(e.Key)
		if !ok {
			continue // the count of what was left out
		}
		if ctx.Err() != nil || len(v.events)-had >= v.query.Limit {
			v.from = latest(v.from, at)
			return nil
		}
		if v.hint != nil && !bytes.Contains(e.Value, v.hint) {
			continue
		}
		events, err := decode(id, e.Value)
		if err != nil {
			continue // `waybill explain ID` tells of it
		}
		v.take(events)
	}
	return nil
}

// take keeps those of some events, of one step or recorded together, that are asked for.
func (v *visitor) take(events []Event) {
	for _, e := range events {
		if !slices.Contains(visitKinds, e.Kind) || !v.asked(e) || e.Message != "" && (e.Kind == MaildropOpened || e.Kind == MaildropClosed) {
			continue // POP3 sessions are told by themselves too
		}
		if e.Kind == Received {
			for _, d := range events {
				if d.Kind == Decided && d.Message == e.Message {
					v.events = append(v.events, d)
				}
			}
		}
		if v.query.Session == "" {
			e.Dialogue, e.DNS, e.Header = nil, nil, nil
		}
		v.events = append(v.events, e)
	}
}

// asked says whether an event is of the peer or session, and of the time.
func (v *visitor) asked(e Event) bool {
	q := v.query
	if e.At.After(q.Until) || e.At.Add(e.Took).Before(q.Since) || q.Session != "" && e.Session != q.Session {
		return false
	}
	if !q.Network.IsValid() {
		return true
	}
	if e.Peer == nil {
		return false
	}
	if ap, err := netip.ParseAddrPort(e.Peer.Addr); err == nil {
		return q.Network.Contains(ap.Addr().Unmap().WithZone(""))
	}
	if of, err := netip.ParsePrefix(e.Peer.Addr); err == nil { // what was not kept of a network
		return q.Network.Overlaps(of)
	}
	return false
}

// result returns the newest, in order.
func (v *visitor) result() Visits {
	slices.SortStableFunc(v.events, func(a, b Event) int { return a.At.Compare(b.At) })
	if over := len(v.events) - v.query.Limit; over > 0 {
		v.events = v.events[over:]
		v.from = latest(v.from, v.events[0].At)
	}
	return Visits{Events: v.events, From: v.from}
}

func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
