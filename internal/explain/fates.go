package explain

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"waybill/internal/message"
	"waybill/internal/trail"
)

// State is how far a message got for one recipient.
type State int

const (
	UnderWay State = iota
	HandedOver
	Delivered
	Delayed
	NotDelivered
	NotAccepted
)

// Fate is what became of the message for one recipient; if it is not good, with the cause and the remedy.
type Fate struct {
	Recipient string // "" where no recipient had a part in it
	State     State
	Where     string    // the mailbox, or the host that has it now
	NextAt    time.Time // Delayed
	Cause     string    // a sentence
	Words     string    // the status, in the words of whoever refused
	By        string    // who that was
	Rule      string    // the rule that decided, if one of ours did
	Advice    string    // what to do: a sentence
}

// fates follows each recipient through the events. Reports and what became of them do not count.
func (t *teller) fates() (fates, troubles []Fate) {
	index := map[string]int{}
	of := func(recipient string) *Fate {
		key := strings.ToLower(recipient)
		i, known := index[key]
		if !known {
			i = len(fates)
			index[key], fates = i, append(fates, Fate{Recipient: recipient})
		}
		return &fates[i]
	}
	accepted := slices.ContainsFunc(t.events, func(e trail.Event) bool { return e.Kind == trail.Accepted })
	for _, e := range t.events {
		switch {
		case t.reports[e.Message] && e.Message != "":
		case e.Recipient != "" && slices.Contains(ofRecipients, e.Kind) && !isLogin(e):
			of(e.Recipient).take(e)
		default:
			if f, bad := trouble(e, accepted); bad {
				troubles = append(troubles, f)
			}
		}
	}
	if f, bad := t.lostQuestion(); bad {
		troubles = append(troubles, f)
	}
	if slices.ContainsFunc(fates, func(f Fate) bool { return f.bad() }) {
		troubles = slices.DeleteFunc(troubles, func(f Fate) bool { return f.State == NotAccepted }) // told with the recipient
	}
	return fates, troubles
}

// ofRecipients are the kinds of events that tell how far a message got for one recipient.
var ofRecipients = []trail.Kind{
	trail.Decided, trail.Refused, trail.Routed, trail.Relayed, trail.Attempted, trail.Filed, trail.Deferred, trail.Failed,
}

// isLogin: the recipient of a refused login is a user name.
func isLogin(e trail.Event) bool {
	return e.Kind == trail.Refused && e.Status != nil && e.Status.Code/10 == 53
}

// take changes the fate by what e tells.
func (f *Fate) take(e trail.Event) {
	switch e.Kind {
	case trail.Filed:
		*f = Fate{Recipient: f.Recipient, State: Delivered, Where: fact(e, "mailbox")}
	case trail.Relayed:
		if f.State != Delivered {
			*f = Fate{Recipient: f.Recipient, State: HandedOver, Where: peerName(e)}
		}
	case trail.Refused:
		if f.State != Delivered && f.State != HandedOver {
			f.blame(e, NotAccepted)
		}
	case trail.Attempted:
		f.blame(e, f.State)
	case trail.Deferred:
		f.blame(e, Delayed)
		f.NextAt = e.NextAt
		f.Advice = "Nothing, for now: the server tries again by itself."
	case trail.Failed:
		f.blame(e, NotDelivered)
	}
}

// blame notes the cause. Whoever refused first in this attempt is closer to it than who tells of it later.
func (f *Fate) blame(e trail.Event, state State) {
	f.State = state
	if e.Decision != nil {
		f.Rule = joinTexts(": ", e.Decision.Rule, e.Decision.Reason)
	}
	if e.Status == nil || e.Status.Code == 0 {
		return
	}
	f.Cause, f.Advice = message.Meaning(*e.Status)
	f.Words = e.Status.String()
	switch {
	case e.Kind == trail.Attempted:
		f.By = peerName(e)
	case e.Kind == trail.Refused:
		f.By = e.Actor
	case f.By == "":
		f.By = e.Actor
	}
}

func (f Fate) bad() bool {
	return f.State == Delayed || f.State == NotDelivered || f.State == NotAccepted
}

// trouble finds what went wrong without a recipient.
func trouble(e trail.Event, accepted bool) (Fate, bool) {
	failed := e.Status != nil && e.Status.Code != 0 && !e.Status.Success()
	switch {
	case e.Kind == trail.Submitted && failed:
		f := Fate{By: peerName(e)}
		f.blame(e, NotAccepted)
		f.By = peerName(e)
		return f, true
	case e.Kind == trail.Refused && failed && !(isLogin(e) && accepted):
		f := Fate{}
		f.blame(e, NotAccepted)
		return f, true
	case (e.Kind == trail.Submitted || e.Kind == trail.Retrieved) && e.Text != "":
		return Fate{State: NotDelivered, Cause: sentence(e.Text) + ".",
			Advice: "Check the server's name and port, the user and the password in the mail client's settings."}, true
	}
	return Fate{}, false
}

// lostQuestion is a client that did not find its server.
func (t *teller) lostQuestion() (Fate, bool) {
	var last *trail.Event
	for i, e := range t.events {
		switch {
		case e.Role != clientRole:
		case e.Kind == trail.Lookup:
			last = &t.events[i]
		case e.Kind == trail.Submitted || e.Kind == trail.Retrieved:
			last = nil
		}
	}
	if last == nil || slices.ContainsFunc(last.DNS, func(d trail.DNS) bool { return len(d.Answers) > 0 && d.Code == "NOERROR" }) {
		return Fate{}, false
	}
	return Fate{State: NotDelivered, Cause: fmt.Sprintf("The client asked %q, and DNS gave no address.", last.Text),
		Advice: "Check the server's name in the mail client's settings, and that its DNS server answers."}, true
}

func joinTexts(sep string, texts ...string) string {
	return strings.Join(slices.DeleteFunc(texts, func(s string) bool { return s == "" }), sep)
}
