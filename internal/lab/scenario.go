package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"waybill/internal/mail"
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
}

// Outcome is what became of a letter.
type Outcome struct {
	Events  []trail.Event // of the whole run, in order of time
	Refusal *mail.Status  // the reply, when the first server did not take the letter
	Arrived [][]byte      // what the receiver's client retrieved
	Bounce  [][]byte      // what came back to the sender's mailbox
	Intact  bool          // the letter arrived, octet for octet, below the header fields that the servers added
	Problem string        // why it is not intact; "" when it is
}

// settleTime bounds how long a letter's way is followed. The lab's parts answer in milliseconds; a destination that is
// down is deferred, which ends the wait.
const settleTime = 60 * time.Second

// Run sends the scenario's letter, follows it until nothing more happens to it, and retrieves what arrived.
func (l *Lab) Run(ctx context.Context, s Scenario) (Outcome, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, settleTime, errors.New("the letter is still under way after "+settleTime.String()))
	defer cancel()
	before, _ := l.journal.all()
	receipt, err := l.submit(ctx, s)
	if err != nil {
		return l.outcome(len(before)), err
	}
	if !receipt.Accepted() {
		status := receipt.Status()
		l.awaitSessionEnd(ctx, len(before))
		out := l.outcome(len(before))
		out.Refusal = &status
		out.Problem = "the server refused it: " + status.String()
		return out, nil
	}
	if err := l.journal.await(ctx, settled(receipt.ID)); err != nil {
		out := l.outcome(len(before))
		out.Problem = err.Error()
		return out, nil
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
	settings := l.users[0].settings()
	settings.User = "" // from the own network nobody logs in; a stranger has nothing to log in with
	return client.Submit(ctx, settings, mua.Letter{ReversePath: s.From, ForwardPaths: s.To, Content: s.Letter})
}

// awaitSessionEnd waits until the server has told of the session that it refused.
func (l *Lab) awaitSessionEnd(ctx context.Context, from int) {
	l.journal.await(ctx, func(events []trail.Event) bool {
		for _, e := range events[min(from, len(events)):] {
			if e.Kind == trail.Ended {
				return true
			}
		}
		return false
	})
}

// collect retrieves the mail of both users, as their clients do.
func (l *Lab) collect(ctx context.Context, s Scenario, from int) (Outcome, error) {
	var arrived, bounced memorySink
	var errs []error
	for i, sink := range []*memorySink{&bounced, &arrived} {
		u := l.users[i]
		if !l.hasMail(from, u) {
			continue
		}
		_, err := l.client(u.client, u.names).Retrieve(ctx, u.settings(), sink, !s.Keep)
		errs = append(errs, err)
	}
	l.awaitMaildrops(ctx, from)
	out := l.outcome(from)
	out.Arrived, out.Bounce = arrived.messages, bounced.messages
	out.Problem = intact(s.Letter, out.Arrived)
	out.Intact = out.Problem == ""
	return out, errors.Join(errs...)
}

// hasMail says whether something was filed for u.
func (l *Lab) hasMail(from int, u User) bool {
	events, _ := l.journal.all()
	for _, e := range events[min(from, len(events)):] {
		if e.Kind == trail.Filed && e.Actor == u.server.name {
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

func (l *Lab) outcome(from int) Outcome {
	events, _ := l.journal.all()
	return Outcome{Events: events[min(from, len(events)):], Problem: "no message came to the receiver's mailbox"}
}

// intact compares what was sent with what arrived; "" means that one message arrived and is the letter, octet for
// octet, below the header fields that servers add.
func intact(sent []byte, arrived [][]byte) string {
	if len(arrived) == 0 {
		return "no message came to the receiver's mailbox"
	}
	if len(arrived) > 1 {
		return fmt.Sprintf("%d messages arrived instead of one", len(arrived))
	}
	if !bytes.HasSuffix(arrived[0], sent) {
		return "what arrived is not what was sent"
	}
	return ""
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
