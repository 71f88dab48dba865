package explain

import (
	"fmt"
	"slices"
	"strings"

	"waybill/internal/dialogue"
	"waybill/internal/mail"
	"waybill/internal/trail"
)

// speaker says who gave the status of e: the other end, if its dialogue has these words; a server that refused a
// command, which said so; else the server that tells of it, which came to it by itself.
func (t *teller) speaker(e trail.Event) (by string, said bool) {
	switch {
	case e.Kind == trail.Refused:
		return e.Actor, true
	case e.Kind == trail.Submitted || e.Kind == trail.Attempted:
		if spoke(t.spoken(e), *e.Status) {
			return peerName(e), true
		}
		return e.Actor, false
	}
	if a := t.lastAttempt(e); a != nil && *a.Status == *e.Status {
		return t.speaker(*a)
	}
	return e.Actor, false
}

// lastAttempt is the attempt on which a Deferred or Failed event rests, if a host was reached for or said something.
func (t *teller) lastAttempt(e trail.Event) *trail.Event {
	var last *trail.Event
	for i, a := range t.events {
		if a.Kind != trail.Attempted || a.Status == nil || a.Message != e.Message || a.Actor != e.Actor || a.At.After(e.At) ||
			a.Attempt != e.Attempt || a.Recipient != "" && a.Recipient != e.Recipient {
			continue
		}
		if last == nil || e.Status == nil || *a.Status == *e.Status || *last.Status != *e.Status {
			last = &t.events[i]
		}
	}
	return last
}

// spoken is the dialogue of the session of e, which stands in one of its events.
func (t *teller) spoken(e trail.Event) []dialogue.Line {
	if len(e.Dialogue) > 0 || e.Session == "" {
		return e.Dialogue
	}
	for _, o := range t.events {
		if o.Session == e.Session && o.Actor == e.Actor && len(o.Dialogue) > 0 {
			return o.Dialogue
		}
	}
	return nil
}

// spoke says whether the server's side of a dialogue has the status: its code, and the first line of its text.
func spoke(lines []dialogue.Line, s mail.Status) bool {
	text, _, _ := strings.Cut(s.Text, "\n")
	text, _, _ = strings.Cut(text, " / ") // as statuses are kept on one line
	text = strings.TrimSuffix(text, "…")
	code := fmt.Sprintf("%03d", s.Code)
	return slices.ContainsFunc(lines, func(l dialogue.Line) bool {
		return l.Side == dialogue.Server && strings.HasPrefix(l.Text, code) && strings.Contains(l.Text, text)
	})
}

// spokenPath is the reverse-path that was given last in the session of e, or before e if that is a refusal.
func (t *teller) spokenPath(e trail.Event) string {
	const verb = "MAIL FROM:"
	path := ""
	for _, o := range t.events {
		if o.Session != e.Session || o.Actor != e.Actor {
			continue
		}
		for _, l := range o.Dialogue {
			if l.Side != dialogue.Client || len(l.Text) <= len(verb) || !strings.EqualFold(l.Text[:len(verb)], verb) {
				continue
			}
			if path == "" || e.Kind != trail.Refused || !l.At.After(e.At) {
				path, _, _ = strings.Cut(strings.TrimSpace(l.Text[len(verb):]), " ")
			}
		}
	}
	return path
}

// sessionTLS is what the connection of e was protected with: told by an event of the session, or noted in its dialogue.
func (t *teller) sessionTLS(e trail.Event) string {
	if e.TLS != nil {
		return tlsText(e.TLS)
	}
	for _, o := range t.events {
		if o.Session == "" || o.Session != e.Session || o.Actor != e.Actor {
			continue
		}
		if o.TLS != nil {
			return tlsText(o.TLS)
		}
		for _, l := range o.Dialogue {
			if l.Side == dialogue.Note && strings.HasPrefix(l.Text, "(TLS ") && !l.At.After(e.At) {
				return strings.Trim(l.Text, "()")
			}
		}
	}
	return ""
}
