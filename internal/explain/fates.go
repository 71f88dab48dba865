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
	What      string    // what it is about, if no recipient had a part in it: "the message of <me@a.test>"
	Words     string    // the status that another server, or ours to its client, said last; "" if none did
	By        string    // who said it
	Finding   string    // the status that a server came to by itself
	Finder    string    // which one
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
			t.take(of(e.Recipient), e)
		default:
			if f, bad := t.trouble(e, accepted); bad {
				troubles = addTrouble(troubles, f)
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

// isLogin: the recipient of a refused login is a user name. POP3 refuses nothing else.
func isLogin(e trail.Event) bool {
	return e.Kind == trail.Refused && (e.Role == "POP3 server" || e.Status != nil && e.Status.Code/10 == 53)
}

// take changes the fate by what e tells.
func (t *teller) take(f *Fate, e trail.Event) {
	switch e.Kind {
	case trail.Filed:
		*f = Fate{Recipient: f.Recipient, State: Delivered, Where: fact(e, "mailbox")}
	case trail.Relayed:
		if f.State != Delivered {
			*f = Fate{Recipient: f.Recipient, State: HandedOver, Where: peerName(e)}
		}
	case trail.Refused:
		if f.State != Delivered && f.State != HandedOver {
			t.blame(f, e, NotAccepted)
		}
	case trail.Attempted:
		t.blame(f, e, f.State)
	case trail.Deferred:
		t.blame(f, e, Delayed)
		f.NextAt = e.NextAt
		f.Advice = "Nothing, for now: the server tries again by itself."
	case trail.Failed:
		t.blame(f, e, NotDelivered)
	}
}

// blame notes the cause, and whose words they are.
func (t *teller) blame(f *Fate, e trail.Event, state State) {
	f.State = state
	if e.Decision != nil {
		f.Rule = joinTexts(": ", e.Decision.Rule, e.Decision.Reason)
	}
	if e.Status == nil || e.Status.Code == 0 {
		return
	}
	f.Cause, f.Advice = message.Meaning(*e.Status)
	if by, said := t.speaker(e); said {
		if f.Words != e.Status.String() || e.Kind == trail.Refused { // else whoever said it is known better already
			f.Words, f.By = e.Status.String(), by
		}
		f.Finding, f.Finder = "", ""
		return
	}
	f.Finding, f.Finder = e.Status.String(), e.Actor
	if f.Words != "" && strings.Contains(f.Finding, f.Words) { // given up: the words are said already
		f.Finding = strings.TrimSuffix(f.Finding, "; the last attempt ended with: "+f.Words)
		return
	}
	f.Words, f.By = "", ""
}

func (f Fate) bad() bool {
	return f.State == Delayed || f.State == NotDelivered || f.State == NotAccepted
}

// trouble finds what went wrong without a recipient.
func (t *teller) trouble(e trail.Event, accepted bool) (Fate, bool) {
	failed := e.Status != nil && e.Status.Code != 0 && !e.Status.Success()
	f := Fate{State: NotDelivered}
	switch {
	case e.Kind == trail.Submitted && failed || e.Kind == trail.Refused && failed && !(isLogin(e) && accepted):
		t.blame(&f, e, NotAccepted)
		if path := t.spokenPath(e); path != "" {
			f.What = "the message of " + path
		} else if e.Recipient != "" {
			f.What = "the login of " + e.Recipient
		}
		return f, true
	case (e.Kind == trail.Submitted || e.Kind == trail.Retrieved) && e.Text != "":
		f.Cause = sentence(e.Text) + "."
		f.Advice = "Check the server's name and port, the user and the password in the mail client's settings."
		return f, true
	}
	return Fate{}, false
}

// addTrouble adds f, unless the other end told of the same refusal; the server's record has the rule.
func addTrouble(troubles []Fate, f Fate) []Fate {
	for i, other := range troubles {
		if other.Words != "" && other.Words == f.Words && other.What == f.What && (other.Rule == "" || other.Rule == f.Rule) {
			troubles[i] = f
			return troubles
		}
	}
	return append(troubles, f)
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
