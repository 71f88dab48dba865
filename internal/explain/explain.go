// Package explain turns the events of a waybill into a story: numbered steps with times and evidence that a newcomer
// understands and an expert trusts, what went wrong with its cause and remedy first, and, line by line, what our
// servers saw beside what was merely claimed to them. It tells what the events hold and concludes nothing beyond; the
// events of one node alone are enough, and those of all parts give the whole way. (The form for programs is the
// events themselves, as JSON.)
package explain

import (
	"time"

	"waybill/internal/mail"
	"waybill/internal/trail"
)

// Story is a waybill as people are told it.
type Story struct {
	ID       mail.ID   // of the message at the first server that the events know; "" if none took it
	From     string    // reverse-path; of a message that no server took the one that was given
	Subject  string    // decoded
	Began    time.Time // when the first entry of a step happened
	Took     time.Duration
	Fates    []Fate  // what became of each recipient, in the order in which they were named
	Troubles []Fate  // what went wrong beside that: a login, a submission, a retrieval
	Steps    []Step  // in the order of the message's way
	Sights   []Sight // one for each server to which a message was brought
}

// Step is one stage of the way.
type Step struct {
	Number  int // from 1
	Title   string
	Actor   string // host name of the part that acts
	Role    string
	At      time.Time
	Took    time.Duration
	Entries []Entry
}

// Entry is one event with its evidence.
type Entry struct {
	At    time.Time
	Took  time.Duration
	Actor string // set if it is not the step's
	Title string
	Tone  Tone
	Lines []Line
}

// Line is one line of evidence.
type Line struct {
	Indent int    // steps to the right
	Label  string // "C:", "S:", or the name of a fact
	Text   string // untrusted: made printable when it is written
	Hang   int    // columns by which a wrapped text goes on further right, as a folded header field does
	Tone   Tone
}

// Tone says how a line is meant; it becomes a colour if colours are wanted.
type Tone int

const (
	Plain Tone = iota
	Good
	Bad
	Faint
	FromClient
	FromServer
)

// Tell makes a story of events, which may be in any order and of several messages that came of one letter.
func Tell(events []trail.Event) Story {
	t := newTeller(events)
	for _, s := range t.stages() {
		t.step(s)
	}
	t.leftResolutions()
	t.times()
	story := t.story
	story.Fates, story.Troubles = t.fates()
	story.Sights = t.sights()
	return story
}
