package lab

import (
	"context"
	"slices"
	"sync"

	"waybill/internal/mail"
	"waybill/internal/trail"
)

// journal collects the events of all parts, in the order in which they are told, up to a bound.
type journal struct {
	observe func(trail.Event) // sees each one at once; may be nil

	mu      sync.Mutex
	events  []trail.Event
	changed chan struct{} // closed and replaced with each event
}

// maxJournal bounds what a lab that keeps running remembers.
const maxJournal = 20000

func newJournal(observe func(trail.Event)) *journal {
	return &journal{observe: observe, changed: make(chan struct{})}
}

// add takes an event from any part.
func (j *journal) add(e trail.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.events) >= maxJournal {
		j.events = slices.Delete(j.events, 0, maxJournal/4)
	}
	j.events = append(j.events, e)
	close(j.changed)
	j.changed = make(chan struct{})
	if j.observe != nil {
		j.observe(e)
	}
}

// all returns what there is now, and a channel that is closed when there is more.
func (j *journal) all() ([]trail.Event, <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.events), j.changed
}

// await returns once done is true of the events, or when ctx is done.
func (j *journal) await(ctx context.Context, done func([]trail.Event) bool) error {
	for {
		events, more := j.all()
		if done(events) {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-more:
		}
	}
}

// chain returns the ids of a message and of all that came of it: at the next hop, and reports about it.
func chain(events []trail.Event, id mail.ID) map[mail.ID]bool {
	ids := map[mail.ID]bool{id: true}
	for grown := true; grown; {
		grown = false
		for _, e := range events {
			if ids[e.Message] && e.Ref != "" && !ids[e.Ref] {
				ids[e.Ref], grown = true, true
			}
		}
	}
	return ids
}

// settled says whether nothing more will happen to a message by itself soon: everywhere in its chain custody
// has ended, or a recipient was deferred.
func settled(id mail.ID) func([]trail.Event) bool {
	return func(events []trail.Event) bool {
		open := chain(events, id)
		for _, e := range events {
			if e.Kind == trail.Done || e.Kind == trail.Deferred {
				delete(open, e.Message)
			}
		}
		return len(open) == 0
	}
}
