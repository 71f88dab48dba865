package explain

import "waybill/internal/trail"

// step adds a stage to the story as its next step.
func (t *teller) step(s stage) {
	first := s.events[0]
	step := Step{
		Number: len(t.story.Steps) + 1, Title: title(s), Actor: first.Actor, Role: first.Role, At: s.start(),
	}
	end := step.At
	for _, e := range s.events {
		if last := e.At.Add(e.Took); last.After(end) {
			end = last
		}
		step.Entries = append(step.Entries, t.entry(e, step))
	}
	step.Took = end.Sub(step.At)
	t.story.Steps = append(t.story.Steps, step)
}

// entry tells one event.
func (t *teller) entry(e trail.Event, step Step) Entry {
	entry := Entry{At: e.At, Took: e.Took, Tone: tone(e)}
	if e.Kind == trail.Ended || e.Kind == trail.MaildropClosed {
		entry.At, entry.Took = sortTime(e), 0
	}
	if e.Actor != step.Actor {
		entry.Actor = e.Actor
	}
	entry.Title = what(e)
	if e.Text != "" && entry.Title != sentence(e.Text) {
		entry.add(0, "", withTimes(sentence(e.Text)))
	}
	t.decision(&entry, e)
	for _, d := range e.DNS {
		t.question(&entry, e, d)
	}
	if e.TLS != nil {
		entry.add(0, "TLS", tlsText(e.TLS))
	}
	for _, f := range e.Facts {
		if f.Name != "host" {
			entry.add(0, f.Name, f.Value)
		}
	}
	if e.Ref != "" && e.Kind == trail.Relayed {
		entry.add(0, "its id there", string(e.Ref))
	}
	entry.header(e)
	if e.Status != nil && (!e.Status.Success() || len(e.Dialogue) == 0 && e.Kind != trail.Filed) {
		entry.status(*e.Status)
	}
	if !e.NextAt.IsZero() {
		entry.add(0, "next attempt", stamp(e.NextAt))
	}
	t.dialogue(&entry, e, step.Number)
	return entry
}

func tone(e trail.Event) Tone {
	switch {
	case e.Kind == trail.Failed || e.Kind == trail.Refused || e.Status != nil && !e.Status.Success():
		return Bad
	case e.Decision != nil && e.Decision.Outcome == "refused":
		return Bad
	case e.Kind == trail.Accepted || e.Kind == trail.Relayed || e.Kind == trail.Filed || e.Kind == trail.Fetched:
		return Good
	}
	return Plain
}
