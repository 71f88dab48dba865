package lab

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"waybill/internal/dialogue"
	"waybill/internal/mail"
	"waybill/internal/trail"
)

// Story is the part of the journal that tells one thing: a message's way, a session that came to nothing, or the
// reading of mail.
type Story struct {
	Message mail.ID // empty for sessions without a message
	Events  []trail.Event
}

// Follow calls tell with each further story as soon as it is complete, until ctx is done.
func (l *Lab) Follow(ctx context.Context, tell func(Story)) {
	f := follower{toldMessages: map[mail.ID]bool{}, toldSessions: map[string]bool{}, since: time.Now(), ours: l.isMailServer}
	for {
		events, more := l.journal.all()
		for _, s := range f.stories(events) {
			tell(s)
		}
		select {
		case <-ctx.Done():
			return
		case <-more:
		}
	}
}

// follower remembers what was told.
type follower struct {
	since        time.Time
	ours         func(netip.Addr) bool // whether a mail server of the lab has that address
	toldMessages map[mail.ID]bool
	toldSessions map[string]bool
}

// stories returns those that became complete.
func (f *follower) stories(events []trail.Event) []Story {
	var stories []Story
	for _, e := range events {
		if e.At.Before(f.since) {
			continue
		}
		switch e.Kind {
		case trail.Accepted:
			if f.toldMessages[e.Message] || f.relayedHere(events, e) || !settled(e.Message)(events) {
				continue
			}
			ids := chain(events, e.Message)
			for id := range ids {
				f.toldMessages[id] = true
			}
			stories = append(stories, Story{Message: e.Message, Events: withResolutions(events, of(events, ids))})
		case trail.Ended, trail.MaildropClosed:
			if e.Message != "" || f.toldSessions[e.Session] {
				continue
			}
			f.toldSessions[e.Session] = true
			if session := ofSession(events, e); worthTelling(session) {
				stories = append(stories, Story{Events: session})
			}
		}
	}
	return stories
}

// relayedHere says whether a message came from another mail server of the lab: then it belongs to the story that began there.
func (f *follower) relayedHere(events []trail.Event, accepted trail.Event) bool {
	return slices.ContainsFunc(events, func(e trail.Event) bool {
		if e.Kind != trail.Received || e.Message != accepted.Message || e.Peer == nil {
			return false
		}
		addr, err := netip.ParseAddrPort(e.Peer.Addr)
		return err == nil && f.ours(addr.Addr())
	})
}

// of returns the events of these messages.
func of(events []trail.Event, ids map[mail.ID]bool) []trail.Event {
	var found []trail.Event
	for _, e := range events {
		if ids[e.Message] {
			found = append(found, e)
		}
	}
	return found
}

// ofSession returns the events of the session that e ended.
func ofSession(events []trail.Event, e trail.Event) []trail.Event {
	var found []trail.Event
	for _, other := range events {
		copied := other.Message != "" && (other.Kind == trail.MaildropOpened || other.Kind == trail.MaildropClosed)
		if other.Session == e.Session && other.Actor == e.Actor && !copied {
			found = append(found, other)
		}
	}
	return found
}

// worthTelling leaves out sessions in which nothing was said or decided, like those of a port scanner.
func worthTelling(session []trail.Event) bool {
	return slices.ContainsFunc(session, func(e trail.Event) bool {
		return e.Kind == trail.Refused || e.Kind == trail.Fetched || e.Kind == trail.Deleted ||
			e.Kind == trail.Ended && slices.ContainsFunc(e.Dialogue, refusal)
	})
}

// refusal says whether a line is a reply of 4xx or 5xx.
func refusal(l dialogue.Line) bool {
	return l.Side == dialogue.Server && l.Text != "" && (l.Text[0] == '4' || l.Text[0] == '5')
}

// withResolutions adds how the resolvers found the answers that these events rest on.
func withResolutions(all, story []trail.Event) []trail.Event {
	type question struct{ name, kind string }
	asked := map[question]bool{}
	for _, e := range story {
		for _, d := range e.DNS {
			asked[question{d.Name, d.Type}] = true
		}
	}
	first, last := story[0].At, story[len(story)-1].At
	for _, e := range all {
		if e.Kind == trail.Resolution && !e.At.Before(first.Add(-time.Second)) && !e.At.After(last) &&
			len(e.DNS) > 0 && asked[question{e.DNS[0].Name, e.DNS[0].Type}] {
			story = append(story, e)
		}
	}
	slices.SortStableFunc(story, func(a, b trail.Event) int { return a.At.Compare(b.At) })
	return story
}
