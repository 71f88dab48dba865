package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"waybill/internal/mail"
	"waybill/internal/message"
	"waybill/internal/mua"
	"waybill/internal/trail"
)

// Scenario is one letter's way: who sends it, from where, and what it claims.
type Scenario struct {
	Name   string
	Title  string
	From   mail.Address // reverse-path
	To     []mail.Address
	Letter []byte // with CR LF line ends

	As    string // "sender" (default) or "stranger": at which computer the client runs
	Hello string // what the client says in EHLO; default: its name
	Keep  bool   // leave retrieved mail on the server
	Stop  bool   // the node that took the letter in is stopped before it is read: there must be several
}

// Outcome is what became of a letter.
type Outcome struct {
	Events  []trail.Event // of the whole run, in the order in which they were told
	Refusal *mail.Status  // the reply, when the first server did not take the letter
	Arrived []Retrieved   // what the recipients' clients retrieved
	Bounce  [][]byte      // reports that came back to the sender's mailbox
	Intact  bool          // the letter arrived at every recipient, octet for octet, below the fields that servers add
	Problem string        // why it is not intact; "" when it is
	Shares  *Shares       // of the nodes, if the receiving side has any and one took the letter in
}

// Retrieved is a message that a recipient's client retrieved.
type Retrieved struct {
	By      mail.Address
	Content []byte
}

// settleTime bounds how long a letter's way is followed. The lab's parts answer in milliseconds; a destination that is
// down is deferred, which ends the wait.
const settleTime = 60 * time.Second

// Run sends the scenario's letter, follows it until nothing more happens to it, and retrieves what arrived.
func (l *Lab) Run(ctx context.Context, s Scenario) (Outcome, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, settleTime, errors.New("the letter is still under way after "+settleTime.String()))
	defer cancel()
	if s.Stop && len(l.alive()) < 2 {
		return Outcome{}, ErrOneServer
	}
	before, _ := l.journal.all()
	receipt, err := l.submit(ctx, s)
	switch {
	case err != nil:
		l.awaitSessionEnd(ctx, len(before))
		return l.outcome(len(before), "it could not be sent: "+err.Error()), nil
	case !receipt.Accepted():
		status := receipt.Status()
		l.awaitSessionEnd(ctx, len(before))
		out := l.outcome(len(before), "the server refused it: "+status.String())
		out.Refusal = &status
		return out, nil
	}
	if err := l.journal.await(ctx, settled(receipt.ID)); err != nil {
		return l.outcome(len(before), err.Error()), nil
	}
	return l.collect(ctx, s, len(before))
}

func (l *Lab) submit(ctx context.Context, s Scenario) (mua.Receipt, error) {
	at, names := senderClient, senderNames
	if s.As == "stranger" {
		at = stranger
	}
	client := l.client(at, names)
	if s.Hello != "" {
		client.Name = s.Hello
	}
	settings := l.users[0].settings(senderMail)
	settings.User = "" // from the own network nobody logs in; a stranger has nothing to log in with
	return client.Submit(ctx, settings, mua.Letter{ReversePath: s.From, ForwardPaths: s.To, Content: mua.InMemory(s.Letter)})
}

// awaitSessionEnd waits until the server has told of the session that came to nothing, if one was begun.
func (l *Lab) awaitSessionEnd(ctx context.Context, from int) {
	ctx, cancel := context.WithTimeout(ctx, sessionEndTime)
	defer cancel()
	l.journal.await(ctx, func(events []trail.Event) bool {
		return slices.ContainsFunc(events[min(from, len(events)):], func(e trail.Event) bool { return e.Kind == trail.Ended })
	})
}

// sessionEndTime bounds the wait for a session's end: the client may not even have come to the server.
const sessionEndTime = 7 * time.Second

// collect retrieves the mail of both users, as their clients do.
func (l *Lab) collect(ctx context.Context, s Scenario, from int) (Outcome, error) {
	var arrived []Retrieved
	var bounce [][]byte
	var errs []error
	shares := l.shares(from)
	if s.Stop && shares != nil {
		errs = append(errs, l.stopAcceptor(ctx, shares))
	}
	for _, u := range l.users {
		if !l.hasMail(from, u) {
			continue
		}
		var sink memorySink
		_, err := l.client(u.client, u.names).Retrieve(ctx, u.settings(l.readFrom(u, shares)), mua.Retrieval{Sink: &sink, Remove: !s.Keep, Memory: nothing{}})
		errs = append(errs, err)
		for _, content := range sink.messages {
			if bytes.HasPrefix(content, []byte("Return-Path: <>\r\n")) {
				bounce = append(bounce, content)
			} else {
				arrived = append(arrived, Retrieved{u.Address, content})
			}
		}
	}
	l.awaitMaildrops(ctx, from)
	out := l.outcome(from, problem(s, arrived))
	out.Arrived, out.Bounce, out.Shares = arrived, bounce, shares
	if shares != nil {
		errs = append(errs, l.showElsewhere(ctx, &out))
	}
	out.Intact = out.Problem == ""
	return out, errors.Join(errs...)
}

// hasMail says whether something was filed for u.
func (l *Lab) hasMail(from int, u User) bool {
	events, _ := l.journal.all()
	for _, e := range events[min(from, len(events)):] {
		if e.Kind == trail.Filed && u.isServedBy(e.Actor) {
			return true
		}
	}
	return false
}

// awaitMaildrops waits until each POP3 session that was opened has been told to its end.
func (l *Lab) awaitMaildrops(ctx context.Context, from int) {
	l.journal.await(ctx, func(events []trail.Event) bool {
		open := map[string]bool{}
		for _, e := range events[min(from, len(events)):] {
			switch e.Kind {
			case trail.MaildropOpened:
				open[e.Session] = true
			case trail.MaildropClosed:
				delete(open, e.Session)
			}
		}
		return len(open) == 0
	})
}

func (l *Lab) outcome(from int, problem string) Outcome {
	events, _ := l.journal.all()
	return Outcome{Events: events[min(from, len(events)):], Problem: problem}
}

// problem compares what was sent with what arrived; "" means that each recipient got the letter once, octet for octet,
// below the header fields that servers add.
func problem(s Scenario, arrived []Retrieved) string {
	for _, to := range s.To {
		var copies [][]byte
		for _, r := range arrived {
			if r.By == to {
				copies = append(copies, r.Content)
			}
		}
		switch {
		case len(copies) == 0:
			return "no message came to a mailbox of " + to.String()
		case len(copies) > 1:
			return fmt.Sprintf("%d messages came to %s instead of one", len(copies), to)
		case !unchanged(s.Letter, copies[0]):
			return "what came to " + to.String() + " is not what was sent"
		}
	}
	return ""
}

// added are the header fields that servers put on top of a message.
var added = map[string]bool{"Return-Path": true, "Delivered-To": true, "Received": true}

// unchanged says whether got is the letter with nothing but such fields before it.
func unchanged(letter, got []byte) bool {
	top, ok := bytes.CutSuffix(got, letter)
	if !ok {
		return false
	}
	size := 0
	for _, f := range message.Fields(top) {
		if !added[f.Name] {
			return false
		}
		size += len(f.Raw)
	}
	return size == len(top)
}

// memorySink keeps retrieved messages in memory: the lab's letters are small.
type memorySink struct{ messages [][]byte }

func (m *memorySink) Begin(string, int64) (mua.Keeper, error) { return &memoryKeeper{sink: m}, nil }

type memoryKeeper struct {
	bytes.Buffer
	sink *memorySink
}

func (k *memoryKeeper) Keep() error {
	k.sink.messages = append(k.sink.messages, k.Bytes())
	return nil
}

func (k *memoryKeeper) Discard() error { return nil }

// nothing is the memory of a client that gets its mail for the first time.
type nothing struct{}

func (nothing) Times(string) int           { return 0 }
func (nothing) Add(string) error           { return nil }
func (nothing) Sync() error                { return nil }
func (nothing) Only(map[string]bool) error { return nil }
