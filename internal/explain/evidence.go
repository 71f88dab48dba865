package explain

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"waybill/internal/dialogue"
	"waybill/internal/mail"
	"waybill/internal/trail"
)

func (e *Entry) add(indent int, label, text string) {
	e.Lines = append(e.Lines, Line{Indent: indent, Label: label, Text: text})
}

func (e *Entry) status(s mail.Status) {
	tone := Bad
	if s.Success() {
		tone = Plain
	}
	e.Lines = append(e.Lines, Line{Label: "status", Text: s.String(), Tone: tone})
}

// decision adds the rule that decided.
func (t *teller) decision(entry *Entry, e trail.Event) {
	if e.Decision == nil {
		return
	}
	if e.Recipient != "" && !strings.Contains(e.Decision.Question, e.Recipient) {
		entry.add(0, "recipient", e.Recipient)
	}
	entry.add(0, "rule", e.Decision.Rule)
	if e.Decision.Reason != "" {
		entry.add(0, "reason", e.Decision.Reason)
	}
}

// header adds header fields: those that a server added as they stand in the message, others on a line each.
func (e *Entry) header(ev trail.Event) {
	label := map[trail.Kind]string{
		trail.Accepted: "added to the header", trail.Filed: "added to the header", trail.Received: "already in the message",
	}[ev.Kind]
	if len(ev.Header) == 0 {
		return
	}
	indent := 0
	if label != "" {
		e.add(0, label, "")
		indent = 1
	}
	for _, field := range ev.Header {
		for line := range strings.SplitSeq(strings.TrimRight(field, "\r\n"), "\r\n") {
			if folded := strings.TrimLeft(line, " \t"); folded != line {
				e.Lines = append(e.Lines, Line{Indent: indent + foldWidth/indentWidth, Text: folded})
				continue
			}
			e.Lines = append(e.Lines, Line{Indent: indent, Text: line, Hang: foldWidth})
		}
	}
}

// foldWidth is by how many columns the further lines of a folded header field stand right of its name.
const foldWidth = 4

// question adds a DNS question with its answer, and below it how the resolver found that.
func (t *teller) question(entry *Entry, e trail.Event, d trail.DNS) {
	entry.add(0, "", asked(d)+": "+answered(d))
	for _, answer := range d.Answers {
		entry.add(1, "", answer)
	}
	if d.Cached {
		return
	}
	for i, r := range t.resolutions {
		if t.used[i] || !answers(r, d, e) {
			continue
		}
		t.used[i] = true
		entry.resolution(r, 1)
		return
	}
}

func asked(d trail.DNS) string { return d.Type + " " + d.Name }

// answered says what came of a question, from where, and how long it holds.
func answered(d trail.DNS) string {
	text := d.Code
	switch {
	case d.Cached:
		text += " from its own cache"
	case d.Server != "":
		text += " from " + d.Server
	}
	if d.Code == "NOERROR" || d.TTL > 0 {
		text += fmt.Sprintf(", TTL %d s", d.TTL)
	}
	if d.Took > 0 && !d.Cached {
		text += ", " + span(d.Took)
	}
	return text
}

// resolution adds the referrals that a resolver followed.
func (e *Entry) resolution(r trail.Event, indent int) {
	how := "followed the referrals"
	if !slices.ContainsFunc(r.DNS, func(d trail.DNS) bool { return !d.Cached }) {
		how = "knew the answer from its cache"
	}
	e.add(indent, "", fmt.Sprintf("%s %s (%s):", r.Actor, how, span(r.Took)))
	for i, d := range r.DNS {
		text := answered(d)
		if i > 0 && asked(d) != asked(r.DNS[i-1]) { // it had to find out something else in between
			text = asked(d) + ": " + text
		}
		e.add(indent+1, "", text)
		for _, answer := range d.Answers {
			e.add(indent+2, "", answer)
		}
	}
}

// slack is how far apart the times may lie at which two parts recorded one thing.
const slack = 200 * time.Millisecond

// answers says whether the resolution r found the answer d on which e rests.
func answers(r trail.Event, d trail.DNS, e trail.Event) bool {
	if !strings.EqualFold(strings.ReplaceAll(r.Text, ". ", " "), strings.TrimSuffix(d.Name, ".")+" "+d.Type) {
		return false
	}
	return !r.At.Before(e.At.Add(-slack)) && !r.At.After(e.At.Add(e.Took+slack))
}

// leftResolutions puts those that belong to no question below the step during which they happened.
func (t *teller) leftResolutions() {
	for i, r := range t.resolutions {
		if t.used[i] || len(t.story.Steps) == 0 {
			continue
		}
		step := &t.story.Steps[0]
		for j := range t.story.Steps {
			if !t.story.Steps[j].At.After(r.At) {
				step = &t.story.Steps[j]
			}
		}
		entry := Entry{At: r.At, Took: r.Took, Actor: r.Actor, Title: "A resolver finds " + r.Text}
		entry.resolution(r, 0)
		step.Entries = append(step.Entries, entry)
	}
}

func tlsText(t *trail.TLS) string {
	text := t.Version + ", " + t.Cipher
	if t.Subject != "" {
		text += ", certificate of " + t.Subject
	}
	if t.Verified {
		return text + ", verified"
	}
	return text
}

// shownDialogue is a dialogue that stands in a step already.
type shownDialogue struct {
	event trail.Event
	step  int
}

// dialogue adds what was said, unless the other side's record of the same words stands above.
func (t *teller) dialogue(entry *Entry, e trail.Event, step int) {
	if len(e.Dialogue) == 0 {
		return
	}
	for _, s := range t.shown {
		if otherSide(e, s.event) {
			entry.add(0, "", fmt.Sprintf("(what was said stands in step %d; this side recorded the same)", s.step))
			return
		}
	}
	t.shown = append(t.shown, shownDialogue{e, step})
	for _, l := range e.Dialogue {
		switch l.Side {
		case dialogue.Client:
			entry.Lines = append(entry.Lines, Line{Label: "C:", Text: l.Text, Tone: FromClient})
		case dialogue.Server:
			entry.Lines = append(entry.Lines, Line{Label: "S:", Text: l.Text, Tone: FromServer})
		default:
			entry.Lines = append(entry.Lines, Line{Text: "   " + l.Text, Tone: Faint})
		}
	}
}

// otherSide says whether part is the record, or a piece of it, that the other end kept of the session of whole.
func otherSide(part, whole trail.Event) bool {
	if part.Actor == whole.Actor || part.At.After(whole.At.Add(whole.Took+slack)) || whole.At.After(part.At.Add(part.Took+slack)) {
		return false
	}
	return saidIn(part.Dialogue, whole.Dialogue, dialogue.Client) && saidIn(part.Dialogue, whole.Dialogue, dialogue.Server)
}

// saidIn says whether every word of that side in part is in whole, in order. (Where commands are pipelined, the two
// ends disagree only about who spoke first.)
func saidIn(part, whole []dialogue.Line, side dialogue.Side) bool {
	for _, l := range part {
		if l.Side != side {
			continue
		}
		i := slices.IndexFunc(whole, func(w dialogue.Line) bool { return w.Side == side && w.Text == l.Text })
		if i < 0 {
			return false
		}
		whole = whole[i+1:]
	}
	return true
}

// host drops the port of address:port.
func host(addr string) string {
	if ap, err := netip.ParseAddrPort(addr); err == nil {
		return ap.Addr().String()
	}
	return addr
}
