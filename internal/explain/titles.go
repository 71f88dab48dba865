package explain

import (
	"fmt"
	"slices"
	"strings"

	"waybill/internal/trail"
)

// title says what a stage is about, in the words of the scenario.
func title(s stage) string {
	actor := s.events[0].Actor
	switch s.kind {
	case composing:
		return "The letter is written"
	case sending:
		return "The client finds its mail server and sends the letter"
	case receiving:
		if !has(s, trail.Received) {
			return actor + " looks up who wants to bring a message"
		}
		return actor + " receives the message and looks up who brings it"
	case handling:
		return actor + handlingTitle(s)
	case passing:
		if has(s, trail.Accepted) || !has(s, trail.Refused) {
			return actor + " receives the message" + ending(s)
		}
		return actor + " refuses the message"
	case reporting:
		return actor + " tells the sender " + told(s)
	}
	if s.events[0].Role == clientRole {
		return actor + " retrieves the mail by POP3"
	}
	return "The mailbox on " + actor + " is read by POP3"
}

// told is what a report is about.
func told(s stage) string {
	for _, e := range s.events {
		if about := fact(e, "tells"); about != "" {
			return about
		}
	}
	return "what was not delivered"
}

func handlingTitle(s stage) string {
	switch {
	case has(s, trail.Accepted):
		return " checks the message, adds a header field" + ending(s)
	case has(s, trail.Refused):
		return " refuses the message"
	}
	return " handles the message" + ending(s)
}

// ending says what the server did with the message in the end.
func ending(s stage) string {
	switch {
	case has(s, trail.Filed) && has(s, trail.Relayed):
		return ", files it and relays it"
	case has(s, trail.Filed):
		return " and files it for the user"
	case has(s, trail.Relayed):
		return " and relays it"
	case has(s, trail.Failed):
		return " and cannot deliver it"
	case has(s, trail.Deferred):
		return " and keeps it for another attempt"
	}
	return ""
}

func has(s stage, kind trail.Kind) bool {
	return slices.ContainsFunc(s.events, func(e trail.Event) bool { return e.Kind == kind })
}

// what says in a few words what happened.
func what(e trail.Event) string {
	to := ""
	if e.Recipient != "" {
		to = " for " + e.Recipient
	}
	switch e.Kind {
	case trail.Composed:
		return "A letter with these header fields"
	case trail.Submitted:
		return "SMTP with " + peerName(e)
	case trail.Retrieved:
		return "POP3 with " + peerName(e)
	case trail.Lookup:
		return orElse(e.Text, "A question to DNS")
	case trail.Connected:
		return "A connection from " + peerName(e)
	case trail.ReverseLookup:
		return reverseTitle(e)
	case trail.Decided, trail.Refused:
		return decisionTitle(e, to)
	case trail.Received:
		return "SMTP with " + peerName(e)
	case trail.Accepted:
		return fmt.Sprintf("It takes custody: message %s", e.Message)
	case trail.Durable:
		return fmt.Sprintf("The message is on stable storage at %s; only now the 250 is sent", clock(e.At.Add(e.Took)))
	case trail.Ended:
		return "The SMTP session is over"
	case trail.MXChosen:
		return orElse(e.Text, "Which hosts take mail for the domain?")
	case trail.Relayed:
		return "It relays the message" + to + " to " + peerName(e)
	case trail.Attempted:
		return fmt.Sprintf("Attempt %d%s at %s: not taken", max(e.Attempt, 1), to, peerName(e))
	}
	return laterTitle(e, to)
}

// laterTitle is what for the end of a way.
func laterTitle(e trail.Event, to string) string {
	switch e.Kind {
	case trail.Routed:
		return decisionTitle(e, "")
	case trail.Filed:
		return "It files the message" + to
	case trail.Deferred:
		return "It will be tried again" + to
	case trail.Failed:
		return "It gives up" + to
	case trail.Bounced:
		return fmt.Sprintf("It writes a report (DSN), message %s%s", e.Ref, to)
	case trail.Suppressed:
		if e.Recipient != "" {
			return "It writes no report about " + e.Recipient
		}
		return "It writes no report"
	case trail.Managed:
		return "The operator steps in"
	case trail.Done:
		return "No recipient is left: its custody ends"
	case trail.MaildropOpened:
		return "A login to the mailbox"
	case trail.Fetched:
		return fmt.Sprintf("Message %s is retrieved", e.Message)
	case trail.Deleted:
		return fmt.Sprintf("Message %s is deleted from the server", e.Message)
	case trail.MaildropClosed:
		return "The POP3 session is over"
	}
	return orElse(e.Text, string(e.Kind))
}

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return sentence(text)
}

// sentence begins with a capital letter, unless it begins with a name.
func sentence(text string) string {
	word, _, _ := strings.Cut(text, " ")
	if word == "" || strings.ContainsAny(word, ".@<[:") {
		return text
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// peerName is the other end: the host that was meant, or the name seen, with the address.
func peerName(e trail.Event) string {
	if e.Peer == nil {
		return orElse(fact(e, "host"), "the other side")
	}
	name := orEmpty(fact(e, "host"), e.Peer.Name)
	if name == "" || name == "["+host(e.Peer.Addr)+"]" { // an address literal
		return e.Peer.Addr
	}
	return name + " [" + e.Peer.Addr + "]"
}

func orEmpty(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

func reverseTitle(e trail.Event) string {
	if e.Peer == nil {
		return "Reverse lookup"
	}
	if e.Peer.Name == "" {
		return "Reverse lookup of " + host(e.Peer.Addr) + ": unknown (" + unnamed(e) + ")"
	}
	return "Reverse lookup of " + host(e.Peer.Addr) + ": " + e.Peer.Name + ", which leads back to the address"
}

// unnamed says why a reverse lookup found no name.
func unnamed(e trail.Event) string {
	for _, d := range e.DNS {
		if d.Code != "NOERROR" && d.Code != "NXDOMAIN" && d.Code != "NODATA" {
			return "DNS gave no usable answer"
		}
	}
	return "no name leads back to the address"
}

func decisionTitle(e trail.Event, to string) string {
	if e.Decision == nil {
		return "A decision" + to
	}
	return sentence(e.Decision.Question) + " → " + e.Decision.Outcome
}
