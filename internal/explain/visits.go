package explain

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"waybill/internal/mail"
	"waybill/internal/trail"
)

// Visit is what became of one thing that a peer wanted: a message, a command that was refused, a session.
type Visit struct {
	At        time.Time    `json:"at"`
	Peer      string       `json:"peer"`           // address:port, or the network of what was not kept
	Name      string       `json:"name,omitempty"` // confirmed
	Account   string       `json:"account,omitempty"`
	Role      string       `json:"role,omitempty"` // of our side
	Session   string       `json:"session,omitempty"`
	Message   mail.ID      `json:"message,omitempty"`
	From      string       `json:"from,omitempty"`
	Recipient string       `json:"recipient,omitempty"`
	Outcome   string       `json:"outcome"` // accepted, refused, login, no login, no message, not kept
	Status    *mail.Status `json:"status,omitempty"`
	Rule      string       `json:"rule,omitempty"`
	Reason    string       `json:"reason,omitempty"`
}

// Visits turns what a trail.Query of a network found into a list, in the same order.
func Visits(events []trail.Event) []Visit {
	told := map[string]bool{} // sessions of which something else is told
	for _, e := range events {
		switch e.Kind {
		case trail.Received, trail.Refused, trail.MaildropOpened:
			told[e.Session] = e.Session != ""
		}
	}
	var visits []Visit
	for _, e := range events {
		outcome, shown := outcomeOf(e, told[e.Session])
		if !shown || e.Peer == nil {
			continue
		}
		v := Visit{
			At: e.At, Peer: e.Peer.Addr, Name: e.Peer.Name, Account: e.Peer.Account, Role: e.Role, Session: e.Session,
			Message: e.Message, From: fact(e, "reverse-path"), Recipient: e.Recipient, Outcome: outcome, Status: e.Status,
		}
		switch {
		case e.Decision != nil:
			v.Rule, v.Reason = e.Decision.Rule, e.Decision.Reason
		case e.Kind == trail.Received:
			v.Rule, v.Recipient = letIn(events, e)
		case outcome != "login":
			v.Reason = e.Text
		}
		visits = append(visits, v)
	}
	return visits
}

// outcomeOf says in a word what became of it; shown is false for what another event tells.
func outcomeOf(e trail.Event, told bool) (outcome string, shown bool) {
	switch e.Kind {
	case trail.Received:
		return "accepted", true
	case trail.Refused:
		return "refused", true
	case trail.MaildropOpened:
		return "login", true
	case trail.MaildropClosed:
		return "no login", !told
	case trail.Ended:
		return "no message", !told && e.Message == ""
	case trail.Omitted:
		return "not kept", true
	}
	return "", false
}

// letIn joins the rules by which a message's recipients were taken, and the recipients.
func letIn(events []trail.Event, received trail.Event) (rule, recipients string) {
	var rules, paths []string
	for _, e := range events {
		if e.Kind != trail.Decided || e.Message != received.Message || e.Decision == nil || e.Recipient == "" {
			continue
		}
		if !slices.Contains(rules, e.Decision.Rule) {
			rules = append(rules, e.Decision.Rule)
		}
		if !slices.Contains(paths, e.Recipient) {
			paths = append(paths, e.Recipient)
		}
	}
	return strings.Join(rules, "; "), strings.Join(paths, ", ")
}

// RenderVisits writes a list of visits for people, two or three lines each.
func RenderVisits(w io.Writer, visits []Visit, o Options) error {
	if o.Width <= 0 {
		o.Width = defaultWidth
	}
	p := &page{out: w, width: max(o.Width, minWidth), color: o.Color}
	for _, v := range visits {
		tone := Plain
		switch v.Outcome {
		case "accepted", "login":
			tone = Good
		case "refused", "no login":
			tone = Bad
		}
		p.text(0, joinTexts("  ", stamp(v.At), v.Outcome, v.peer(), ids(v)), tone)
		if v.From != "" || v.Recipient != "" {
			p.text(2, joinTexts(" → ", v.From, v.Recipient), Plain)
		}
		if v.Status != nil && !v.Status.Success() {
			p.text(2, v.Status.String(), Plain)
		}
		if why := joinTexts(": ", v.Rule, v.Reason); why != "" {
			p.text(2, why, Faint)
		}
	}
	return p.err
}

func (v Visit) peer() string {
	who := v.Peer
	if v.Name != "" {
		who = fmt.Sprintf("%s [%s]", v.Name, v.Peer)
	}
	return joinTexts(" as ", who, v.Account)
}

// ids names what `waybill explain` takes to tell more.
func ids(v Visit) string {
	session := v.Session
	if session != "" {
		session = "session " + session
	}
	message := string(v.Message)
	if message != "" {
		message = "message " + message
	}
	return joinTexts("  ", message, session)
}
