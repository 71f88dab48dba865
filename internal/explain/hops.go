package explain

import (
	"cmp"
	"slices"

	"waybill/internal/trail"
)

// hop is what happened to one message at one server, or in one session that came to nothing.
type hop struct {
	key             string
	report          bool
	receive, handle []trail.Event
}

// handled are the kinds of events that come after a message was taken.
var handled = []trail.Kind{
	trail.Routed, trail.MXChosen, trail.Relayed, trail.Attempted, trail.Filed, trail.Deferred, trail.Failed,
	trail.Bounced, trail.Suppressed, trail.Managed, trail.Done, trail.Lookup,
}

// elsewhere are the kinds that belong to no hop.
var elsewhere = []trail.Kind{
	trail.Composed, trail.Submitted, trail.Retrieved,
	trail.MaildropOpened, trail.Fetched, trail.Deleted, trail.MaildropClosed,
}

// hopStages are what mail servers told, a stage a hop; the first one has two.
func (t *teller) hopStages() []stage {
	var hops []*hop
	byKey := map[string]*hop{}
	for _, e := range t.events {
		if slices.Contains(elsewhere, e.Kind) || e.Role == clientRole {
			continue
		}
		key := string(e.Message)
		if key == "" {
			key = "session " + e.Actor + " " + e.Session
		}
		h := byKey[key]
		if h == nil {
			h = &hop{key: key, report: t.reports[e.Message]}
			byKey[key], hops = h, append(hops, h)
		}
		if slices.Contains(handled, e.Kind) || e.Kind == trail.Decided && e.Role == deliveryRole {
			h.handle = append(h.handle, e)
		} else {
			h.receive = append(h.receive, e)
		}
	}
	return stagesOf(hops)
}

// stagesOf splits the first hop that is no report's.
func stagesOf(hops []*hop) []stage {
	var stages []stage
	first := true
	for _, h := range hops {
		switch {
		case h.report:
			stages = append(stages, stage{reporting, inOrder(append(h.receive, h.handle...))})
		case first:
			first = false
			stages = append(stages, h.split()...)
		default:
			stages = append(stages, stage{passing, inOrder(append(h.receive, h.handle...))})
		}
	}
	return stages
}

// order is that of a server's work on a message, where the times of its events overlap.
var order = map[trail.Kind]int{
	trail.Connected: 1, trail.ReverseLookup: 2, trail.Received: 3, trail.Decided: 4, trail.Refused: 5,
	trail.Accepted: 6, trail.Durable: 7,
}

// inOrder puts what the events of receiving are in the order of the work, before the rest.
func inOrder(events []trail.Event) []trail.Event {
	rank := func(e trail.Event) int {
		if n := order[e.Kind]; n > 0 && e.Role != deliveryRole {
			return n
		}
		return len(order) + 1
	}
	slices.SortStableFunc(events, func(a, b trail.Event) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), sortTime(a).Compare(sortTime(b)))
	})
	return events
}

// split separates who brings the message from what the server makes of it.
func (h *hop) split() []stage {
	var bring, rest []trail.Event
	for _, e := range h.receive {
		if slices.Contains([]trail.Kind{trail.Connected, trail.ReverseLookup, trail.Received}, e.Kind) {
			bring = append(bring, e)
		} else {
			rest = append(rest, e)
		}
	}
	if i := slices.IndexFunc(rest, func(e trail.Event) bool { return e.Kind == trail.Ended }); i >= 0 && len(bring) > 0 {
		bring, rest = append(bring, rest[i]), slices.Delete(rest, i, i+1)
	}
	var stages []stage
	if len(bring) > 0 {
		stages = append(stages, stage{receiving, inOrder(bring)})
	}
	if rest = append(rest, h.handle...); len(rest) > 0 {
		stages = append(stages, stage{handling, inOrder(rest)})
	}
	return stages
}
