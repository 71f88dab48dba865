package explain

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"waybill/internal/trail"
)

// Options say how a story is written.
type Options struct {
	Color bool // ANSI colours
	Width int  // columns at which text is wrapped; 0: 110
}

const (
	defaultWidth = 110
	minWidth     = 60
	timesFormat  = "%10s %9s  " // in front of each entry: when, and how long
	timeColumns  = 22
	indentWidth  = 2
	labelWidth   = 14
	noteColumn   = 44 // where the note on a claim begins, counted from its value
)

// Render writes the waybill that the events tell, for people. It returns an error of w only.
func Render(w io.Writer, events []trail.Event, o Options) error {
	return RenderStory(w, Tell(events), o)
}

// RenderStory writes a story for people.
func RenderStory(w io.Writer, s Story, o Options) error {
	if o.Width <= 0 {
		o.Width = defaultWidth
	}
	o.Width = max(o.Width, minWidth)
	p := &page{out: w, width: o.Width, color: o.Color}
	p.head(s)
	for _, step := range s.Steps {
		p.step(step, s.Began)
	}
	p.sights(s.Sights)
	p.blank()
	return p.err
}

// head tells the outcome: what went wrong first, with the cause and what to do.
func (p *page) head(s Story) {
	if len(s.Steps) == 0 {
		p.text(0, "Nothing is recorded.", Plain)
		return
	}
	p.text(0, heading(s), strong)
	for _, f := range s.Troubles {
		p.trouble(f)
	}
	for _, f := range s.Fates {
		if f.bad() {
			p.trouble(f)
		}
	}
	for _, f := range s.Fates {
		if !f.bad() {
			p.text(0, goodFate(f), tones[f.State])
		}
	}
	if len(s.Troubles)+len(s.Fates) == 0 {
		p.text(0, "Under way: nothing is recorded of where it went.", Plain)
	}
	p.blank()
	if s.From != "" {
		from := s.From
		if s.ID == "" {
			from += " (claimed)"
		}
		p.labelled(0, "From", from, Plain)
	}
	if s.Subject != "" {
		p.labelled(0, "Subject", s.Subject, Plain)
	}
	p.labelled(0, "Began", stamp(s.Began), Plain)
	p.labelled(0, "Took", span(s.Took), Plain)
	p.blank()
	p.hanging(fmt.Sprintf(timesFormat, "since start", "took"), Faint, "what happened", Faint)
}

// heading says whose waybill it is.
func heading(s Story) string {
	switch {
	case s.ID != "":
		return "Waybill of message " + string(s.ID)
	case s.From != "" || s.Subject != "" || len(s.Troubles)+len(s.Fates) > 0:
		return "Waybill of a message that no server took"
	}
	return "Waybill of a session without a message"
}

var tones = map[State]Tone{Delivered: Good, HandedOver: Good}

func goodFate(f Fate) string {
	switch f.State {
	case Delivered:
		return "Delivered: " + f.Recipient + ", in the mailbox " + f.Where
	case HandedOver:
		return "Handed over: " + f.Recipient + ", to " + f.Where
	}
	return "Under way: " + f.Recipient
}

// trouble writes a fate that is not good.
func (p *page) trouble(f Fate) {
	outcome := map[State]string{Delayed: "Not delivered yet", NotDelivered: "Not delivered", NotAccepted: "Refused"}[f.State]
	p.text(0, joinTexts(": ", outcome, orEmpty(f.Recipient, f.What)), Bad)
	p.labelled(1, "Because", f.Cause, Plain)
	if f.Words != "" {
		p.labelled(1, "Words", f.Words+" (said by "+f.By+")", Plain)
	}
	if f.Finding != "" {
		p.labelled(1, "Status", f.Finding+" ("+f.Finder+"'s own; no other server said it)", Plain)
	}
	if f.Rule != "" {
		p.labelled(1, "Rule", f.Rule, Plain)
	}
	if f.State == Delayed && !f.NextAt.IsZero() {
		p.labelled(1, "Next attempt", stamp(f.NextAt), Plain)
	}
	p.labelled(1, "What to do", f.Advice, Plain)
}

func (p *page) step(s Step, began time.Time) {
	p.blank()
	p.text(0, fmt.Sprintf("%d. %s", s.Number, s.Title), strong)
	p.text(0, "   "+joinTexts(" · ", joinTexts(", ", s.Actor, s.Role), clock(s.At), "took "+span(s.Took)), Faint)
	for _, e := range s.Entries {
		took := ""
		if e.Took > 0 {
			took = span(e.Took)
		}
		times := fmt.Sprintf(timesFormat, since(e.At.Sub(began)), took)
		title := e.Title
		if e.Actor != "" {
			title = e.Actor + ": " + title
		}
		p.hanging(times, Faint, title, e.Tone)
		for _, l := range e.Lines {
			p.evidence(l)
		}
	}
}

// since writes the time since the start; the clocks of two machines may put an event before it.
func since(d time.Duration) string {
	if d < 0 {
		return span(d)
	}
	return "+" + span(d)
}

// evidence writes a line below an entry.
func (p *page) evidence(l Line) {
	margin := strings.Repeat(" ", timeColumns+indentWidth*(l.Indent+1))
	switch {
	case l.Label == "":
		p.folded(margin, l.Text, l.Tone, l.Hang)
	case l.Tone == FromClient || l.Tone == FromServer:
		p.hanging(margin+l.Label+" ", l.Tone, l.Text, l.Tone)
	case l.Text == "":
		p.hanging(margin, Plain, l.Label, Faint)
	default:
		p.hanging(margin+pad(l.Label, labelWidth-1)+" ", Faint, l.Text, l.Tone)
	}
}

func (p *page) sights(sights []Sight) {
	if len(sights) == 0 {
		return
	}
	p.blank()
	p.text(0, "What was seen, and what was only claimed", strong)
	for _, s := range sights {
		p.blank()
		p.text(1, s.Server+" saw, or has proof of:", Plain)
		for _, c := range s.Seen {
			p.claim(c, Good)
		}
		p.text(1, s.Server+" was only told:", Plain)
		for _, c := range s.Claimed {
			p.claim(c, Plain)
		}
	}
}

// claim writes a value and, beside it if there is room, what is to be said about it.
func (p *page) claim(c Claim, tone Tone) {
	if c.Doubtful {
		tone = Bad
	}
	if c.Note == "" {
		p.labelled(2, c.Name, c.Value, tone)
		return
	}
	margin := strings.Repeat(" ", 2*indentWidth) + pad(c.Name, labelWidth)
	value := clean(c.Value)
	if n := utf8.RuneCountInString(value); n < noteColumn && len(margin)+noteColumn+len(c.Note)+2 <= p.width {
		p.hanging(margin, Faint, pad(value, noteColumn)+"· "+c.Note, tone)
		return
	}
	p.labelled(2, c.Name, c.Value, tone)
	p.labelled(2, "", "· "+c.Note, tone)
}
