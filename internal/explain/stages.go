package explain

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"waybill/internal/mail"
	"waybill/internal/trail"
)

// stageKind says which part of the way a stage is.
type stageKind int

const (
	composing stageKind = iota
	sending
	receiving // a first server: who brings the message
	handling  // the same server: may it, and where to
	passing   // a further server: both at once
	reporting // a delivery status notification on its way back
	reading
)

// stage is a group of events that become one step.
type stage struct {
	kind   stageKind
	events []trail.Event
}

func (s stage) start() time.Time {
	first := s.events[0].At
	for _, e := range s.events {
		if at := sortTime(e); at.Before(first) {
			first = at
		}
	}
	return first
}

// teller collects what the parts of a story are made of.
type teller struct {
	events      []trail.Event
	resolutions []trail.Event
	used        map[int]bool     // resolutions that stand below their question
	reports     map[mail.ID]bool // messages that are reports about others, and what came of them
	shown       []shownDialogue
	story       Story
}

const (
	clientRole   = "mail client"
	deliveryRole = "MDA"
)

func newTeller(events []trail.Event) *teller {
	t := &teller{used: map[int]bool{}}
	sorted := slices.Clone(events)
	slices.SortStableFunc(sorted, func(a, b trail.Event) int { return sortTime(a).Compare(sortTime(b)) })
	for _, e := range sorted {
		if e.Kind == trail.Resolution {
			t.resolutions = append(t.resolutions, e)
		} else {
			t.events = append(t.events, e)
		}
	}
	t.reports = reportsIn(t.events)
	t.summarise()
	return t
}

// sortTime is when an event is told: what sums up a session comes at its end.
func sortTime(e trail.Event) time.Time {
	if e.Kind == trail.Ended || e.Kind == trail.MaildropClosed {
		return e.At.Add(e.Took)
	}
	return e.At
}

// reportsIn finds the messages that came into being because another one of the story failed.
func reportsIn(events []trail.Event) map[mail.ID]bool {
	reports := map[mail.ID]bool{}
	for _, e := range events {
		if e.Kind == trail.Bounced && e.Ref != "" {
			reports[e.Ref] = true
		}
	}
	for grown := true; grown; {
		grown = false
		for _, e := range events {
			if e.Kind == trail.Relayed && reports[e.Message] && e.Ref != "" && !reports[e.Ref] {
				reports[e.Ref], grown = true, true
			}
		}
	}
	return reports
}

// summarise fills in what the head of the story says.
func (t *teller) summarise() {
	for _, e := range t.events {
		if e.Message != "" && t.story.ID == "" && !t.reports[e.Message] {
			t.story.ID = e.Message
		}
		if from := fact(e, "reverse-path"); from != "" && t.story.From == "" && !t.reports[e.Message] {
			t.story.From = from
		}
		if subject := field(e.Header, "Subject"); subject != "" && t.story.Subject == "" && !t.reports[e.Message] {
			t.story.Subject = decoded(subject)
		}
	}
	for _, e := range t.events {
		if t.story.From == "" && !t.reports[e.Message] {
			t.story.From = t.spokenPath(e)
		}
	}
}

// times finds out from the entries when the story began and how long it took.
func (t *teller) times() {
	var first, last time.Time
	for _, s := range t.story.Steps {
		for _, e := range s.Entries {
			if first.IsZero() || e.At.Before(first) && !e.At.IsZero() {
				first = e.At
			}
			if end := e.At.Add(e.Took); end.After(last) {
				last = end
			}
		}
	}
	t.story.Began, t.story.Took = first, max(0, last.Sub(first))
}

// stages groups the events and puts the groups in order.
func (t *teller) stages() []stage {
	stages := append(t.clientStages(), t.hopStages()...)
	stages = t.maildropStages(stages)
	slices.SortStableFunc(stages, func(a, b stage) int {
		return cmp.Or(a.start().Compare(b.start()), cmp.Compare(a.kind, b.kind))
	})
	return stages
}

// clientStages are what mail clients told. A question to DNS belongs to what the client did next.
func (t *teller) clientStages() []stage {
	var stages []stage
	questions := map[string][]trail.Event{}
	composed := map[string]bool{}
	take := func(kind stageKind, e trail.Event) {
		stages = append(stages, stage{kind, append(questions[e.Actor], e)})
		delete(questions, e.Actor)
	}
	for _, e := range t.events {
		switch {
		case e.Kind == trail.Composed:
			composed[e.Actor] = true
			stages = append(stages, stage{composing, []trail.Event{e}})
		case e.Kind == trail.Lookup && e.Role == clientRole:
			questions[e.Actor] = append(questions[e.Actor], e)
		case e.Kind == trail.Submitted:
			take(sending, e)
		case e.Kind == trail.Retrieved:
			take(reading, e)
		}
	}
	for actor, left := range questions { // the answers led to nothing
		kind := reading
		if composed[actor] {
			kind = sending
		}
		stages = append(stages, stage{kind, left})
	}
	return stages
}

// maildropStages adds what POP3 servers told: to the client's retrieval during which it happened, or as stages.
func (t *teller) maildropStages(stages []stage) []stage {
	var sessions []string
	bySession := map[string][]trail.Event{}
	for _, e := range t.events {
		if !slices.Contains([]trail.Kind{trail.MaildropOpened, trail.Fetched, trail.Deleted, trail.MaildropClosed}, e.Kind) {
			continue
		}
		key := e.Actor + " " + e.Session
		if bySession[key] == nil {
			sessions = append(sessions, key)
		}
		// Login and end stand in the waybill of each message that the session touched.
		if slices.ContainsFunc(bySession[key], func(o trail.Event) bool {
			return o.Kind == e.Kind && (e.Kind == trail.MaildropOpened || e.Kind == trail.MaildropClosed)
		}) {
			continue
		}
		bySession[key] = append(bySession[key], e)
	}
	for _, key := range sessions {
		events := bySession[key]
		at := slices.IndexFunc(stages, func(s stage) bool { return s.kind == reading && during(s, events[0]) })
		if at < 0 {
			stages = append(stages, stage{reading, events})
			continue
		}
		stages[at].events = append(stages[at].events, events...)
	}
	return stages
}

// during says whether e happened while the client of the stage retrieved.
func during(s stage, e trail.Event) bool {
	return slices.ContainsFunc(s.events, func(r trail.Event) bool {
		return r.Kind == trail.Retrieved && !e.At.Before(r.At) && !e.At.After(r.At.Add(r.Took))
	})
}

// fact returns the value of a named fact of e.
func fact(e trail.Event, name string) string {
	for _, f := range e.Facts {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// field returns the value of the first of these header fields that has the name.
func field(header []string, name string) string {
	for _, h := range header {
		if n, value, ok := strings.Cut(h, ":"); ok && strings.EqualFold(strings.TrimSpace(n), name) {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
