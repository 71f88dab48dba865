package lab

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"waybill/internal/mail"
	"waybill/internal/message"
	"waybill/internal/mua"
	"waybill/internal/trail"
)

// start brings a lab up for a test.
func start(t *testing.T) *Lab {
	t.Helper()
	return startWith(t, Options{Dir: t.TempDir()})
}

func startWith(t *testing.T, o Options) *Lab {
	t.Helper()
	o.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	l, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error("close:", err)
		}
	})
	return l
}

// scenario returns the lab's scenario of that name.
func scenario(t *testing.T, l *Lab, name string) Scenario {
	t.Helper()
	all := l.Scenarios()
	i := slices.IndexFunc(all, func(s Scenario) bool { return s.Name == name })
	if i < 0 {
		t.Fatalf("no scenario %s", name)
	}
	return all[i]
}

// run runs the scenario of that name.
func run(t *testing.T, l *Lab, name string) Outcome {
	t.Helper()
	out, err := l.Run(t.Context(), scenario(t, l, name))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// find returns the first event of that kind that the actor told.
func find(t *testing.T, events []trail.Event, kind trail.Kind, actor string) trail.Event {
	t.Helper()
	for _, e := range events {
		if e.Kind == kind && e.Actor == actor {
			return e
		}
	}
	t.Fatalf("no event %s by %s", kind, actor)
	return trail.Event{}
}

func TestReferenceScenario(t *testing.T) {
	l := start(t)
	out := run(t, l, "letter")
	if !out.Intact {
		t.Fatalf("the letter did not arrive intact: %s", out.Problem)
	}

	// The steps of the scenario, in their order.
	steps := []struct {
		kind  trail.Kind
		actor string
	}{
		{trail.Composed, "sender.sendingemail.com"},
		{trail.Lookup, "sender.sendingemail.com"},
		{trail.ReverseLookup, "mail.sendingemail.com"},
		{trail.Decided, "mail.sendingemail.com"},
		{trail.Accepted, "mail.sendingemail.com"},
		{trail.MXChosen, "mail.sendingemail.com"},
		{trail.ReverseLookup, "mail.receivingemail.com"},
		{trail.Decided, "mail.receivingemail.com"},
		{trail.Accepted, "mail.receivingemail.com"},
		{trail.Filed, "mail.receivingemail.com"},
		{trail.Lookup, "receiver.receivingemail.com"},
		{trail.Fetched, "mail.receivingemail.com"},
		{trail.Deleted, "mail.receivingemail.com"},
	}
	last := time.Time{}
	for _, s := range steps {
		e := find(t, out.Events, s.kind, s.actor)
		if e.At.Before(last) {
			t.Errorf("%s by %s comes before the step that leads to it", s.kind, s.actor)
		}
		last = e.At
	}

	client := find(t, out.Events, trail.ReverseLookup, "mail.sendingemail.com")
	if client.Peer.Name != "sender.sendingemail.com" {
		t.Errorf("reverse name of the client is %q", client.Peer.Name)
	}
	if d := find(t, out.Events, trail.Decided, "mail.sendingemail.com").Decision; d.Rule != "[relay] trusted: 127.0.0.24/32" {
		t.Errorf("relaying was decided by rule %q", d.Rule)
	}

	// Each server's id stands in its Received field, the newest on top.
	received := receivedFields(out.Arrived[0].Content)
	if len(received) != 2 {
		t.Fatalf("%d Received fields, want 2: %q", len(received), received)
	}
	for i, server := range []string{"mail.receivingemail.com", "mail.sendingemail.com"} {
		id := find(t, out.Events, trail.Accepted, server).Message
		if !strings.Contains(received[i], "by "+server) || !strings.Contains(received[i], string(id)) {
			t.Errorf("Received field %q is not that of %s with id %s", received[i], server, id)
		}
	}
	if want := "(mail.sendingemail.com [127.0.0.113])"; !strings.Contains(received[0], want) {
		t.Errorf("Received field %q lacks the reverse name and address %q", received[0], want)
	}

	// Retrieved and deleted: a second look finds nothing.
	var again memorySink
	you := l.users[1]
	if haul, err := l.client(you.client, you.names).Retrieve(t.Context(), you.settings(receiverMail), mua.Retrieval{Sink: &again, Remove: true}); haul != (mua.Haul{}) || err != nil {
		t.Errorf("the second retrieval: %+v, %v", haul, err)
	}
}

func receivedFields(content []byte) []string {
	header, _, _ := bytes.Cut(content, []byte("\r\n\r\n"))
	var values []string
	for _, f := range message.Fields(append(bytes.Clone(header), "\r\n"...)) {
		if f.Name == "Received" {
			values = append(values, f.Value)
		}
	}
	return values
}

// TestUndeliverable: the sender gets a report that names the reason.
func TestUndeliverable(t *testing.T) {
	l := start(t)
	for name, want := range map[string]struct{ status, words string }{
		"unknown-user":    {"5.1.1", "User unknown"},
		"no-mail-service": {"5.1.10", ""},
		"no-such-domain":  {"5.1.2", ""},
	} {
		out := run(t, l, name)
		if out.Intact || len(out.Bounce) != 1 {
			t.Fatalf("%s: intact %v, %d reports (%s)", name, out.Intact, len(out.Bounce), out.Problem)
		}
		report := string(out.Bounce[0])
		if !strings.HasPrefix(report, "Return-Path: <>\r\n") || !strings.Contains(report, "Status: "+want.status) || !strings.Contains(report, want.words) {
			t.Errorf("%s: the report does not say %s %q with a null reverse-path:\n%s", name, want.status, want.words, report)
		}
		if failed := find(t, out.Events, trail.Failed, "mail.sendingemail.com"); failed.Status.Enhanced.String() != want.status {
			t.Errorf("%s: the waybill says %s, want %s", name, failed.Status, want.status)
		}
	}
}

// TestStranger: relaying is closed, and the waybill names the rule.
func TestStranger(t *testing.T) {
	out := run(t, start(t), "stranger")
	if out.Refusal == nil || out.Refusal.Code != 550 || out.Refusal.Enhanced.String() != "5.7.1" {
		t.Fatalf("the refusal is %v", out.Refusal)
	}
	refused := find(t, out.Events, trail.Refused, "mail.sendingemail.com")
	if refused.Decision.Rule != "closed by default" || !strings.Contains(refused.Peer.Addr, stranger.addr) {
		t.Errorf("the waybill tells %+v of %+v", refused.Decision, refused.Peer)
	}
	if refused.Peer.Hello != "friend.sendingemail.com" {
		t.Errorf("the claimed name is %q", refused.Peer.Hello)
	}
}

// TestForged: from the own network anything is delivered; what was seen and what was claimed stay apart.
func TestForged(t *testing.T) {
	out := run(t, start(t), "forged")
	if !out.Intact {
		t.Fatal(out.Problem)
	}
	received := find(t, out.Events, trail.Received, "mail.sendingemail.com")
	if received.Peer.Hello != "mail.whitehouse.example" || received.Peer.Name != "sender.sendingemail.com" || !strings.HasPrefix(received.Peer.Addr, senderClient.addr+":") {
		t.Errorf("seen and claimed: %+v", received.Peer)
	}
	if !slices.ContainsFunc(received.Header, func(h string) bool {
		return strings.HasPrefix(h, "Received: ") && strings.Contains(h, "0FORGED0000001")
	}) {
		t.Errorf("the Received field that was in the message already is not told: %q", received.Header)
	}
	if fields := receivedFields(out.Arrived[0].Content); len(fields) != 3 || !strings.Contains(fields[1], "mail.whitehouse.example (sender.sendingemail.com [127.0.0.24])") {
		t.Errorf("Received fields: %q", fields)
	}
}

// TestOnlyOneAddress: a machine that has only 127.0.0.1.
func TestOnlyOneAddress(t *testing.T) {
	n, err := openTable(sockets(receivers(0)))
	if err != nil {
		t.Fatal(err)
	}
	l := &Lab{network: n, journal: newJournal(nil), logger: slog.New(slog.DiscardHandler)}
	l.users = people(receivers(0))
	if err := l.start(t.Context(), Options{Dir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	out := run(t, l, "letter")
	if !out.Intact {
		t.Fatal(out.Problem)
	}
	if peer := find(t, out.Events, trail.ReverseLookup, "mail.receivingemail.com").Peer; peer.Name != "mail.sendingemail.com" {
		t.Errorf("through the table the receiving server sees %+v", peer)
	}
	if !strings.Contains(l.Note(), "127.0.0.113:25     = 127.0.0.1:") {
		t.Errorf("the table is not shown: %q", l.Note())
	}
}

// TestRawSession types the session of the scenario as a person does, at the terminal.
func TestRawSession(t *testing.T) {
	l := start(t)
	conn, err := net.Dial("tcp", l.Settings()[0].SMTP)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	replies := bufio.NewReader(conn)
	expect := func(want string) string {
		t.Helper()
		line, err := replies.ReadString('\n')
		if err != nil || !strings.HasPrefix(line, want) {
			t.Fatalf("got %q (%v), want %q", line, err, want)
		}
		return line
	}
	say := func(text string) {
		for _, c := range []byte(text + "\r\n") { // a keystroke at a time
			conn.Write([]byte{c})
		}
	}
	expect("220 mail.sendingemail.com ESMTP")
	say("helo sender.sendingemail.com")
	expect("250 mail.sendingemail.com Hello sender.sendingemail.com [127.0.0.1], pleased to meet you")
	say("MAIL FROM: me@sendingemail.com")
	expect("250 2.1.0 me@sendingemail.com... Sender ok")
	say("rcpt to: you@receivingemail.com")
	expect("250 2.1.5 you@receivingemail.com... Recipient ok")
	say("DATA")
	expect(`354 Enter mail, end with "." on a line by itself`)
	say("Subject: Test Email")
	say("")
	say("Here is my data that I would like to send to you@receivingemail.com.")
	say(".")
	id := strings.Fields(expect("250 2.0.0 "))[2]

	// Delivery starts at the 250, not at QUIT.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err = l.journal.await(ctx, func(events []trail.Event) bool {
		return slices.ContainsFunc(events, func(e trail.Event) bool { return e.Kind == trail.Filed })
	})
	if err != nil {
		t.Fatal("not delivered before QUIT:", err)
	}
	say("QUIT")
	expect("221 2.0.0 mail.sendingemail.com closing connection")

	var sink memorySink
	you := l.users[1]
	if _, err := l.client(you.client, you.names).Retrieve(ctx, you.settings(receiverMail), mua.Retrieval{Sink: &sink, Remove: true}); err != nil || len(sink.messages) != 1 {
		t.Fatalf("%d messages, %v", len(sink.messages), err)
	}
	if fields := receivedFields(sink.messages[0]); len(fields) != 2 || !strings.Contains(fields[1], id) {
		t.Errorf("the id %s is not in the Received field: %q", id, fields)
	}
}

// TestFollow: a lab that stays tells each further message by itself.
func TestFollow(t *testing.T) {
	l := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	stories := make(chan Story, 10)
	go l.Follow(ctx, func(s Story) { stories <- s })
	run(t, l, "letter")
	run(t, l, "stranger")
	for _, want := range []trail.Kind{trail.Filed, trail.Refused} {
		for found := false; !found; {
			select {
			case s := <-stories:
				found = slices.ContainsFunc(s.Events, func(e trail.Event) bool { return e.Kind == want })
			case <-ctx.Done():
				t.Fatalf("no story with %s was told", want)
			}
		}
	}
}

func TestSettingsNameEverySocket(t *testing.T) {
	l := start(t)
	for _, p := range l.Servers() {
		conn, err := net.Dial("tcp", p.Address)
		if err != nil {
			t.Errorf("%s %s: %v", p.Role, p.Name, err)
			continue
		}
		if p.Role == "pop3" {
			greeting, _ := bufio.NewReader(conn).ReadString('\n')
			if !strings.HasPrefix(greeting, "+OK") {
				t.Errorf("%s greets with %q", p.Name, greeting)
			}
		}
		conn.Close()
	}
	if s := fmt.Sprint(l.Settings()); !strings.Contains(s, "me@sendingemail.com") || !strings.Contains(s, l.users[1].Password) {
		t.Errorf("settings: %s", s)
	}
}

// TestRecipientsAreJudgedEach: one recipient who gets the letter does not make up for one who does not.
func TestRecipientsAreJudgedEach(t *testing.T) {
	l := start(t)
	s := scenario(t, l, "letter")
	for _, test := range []struct {
		to     []string
		intact bool
		bounce int
	}{
		{[]string{"you@receivingemail.com", "nobody@receivingemail.com"}, false, 1},
		{[]string{"me@sendingemail.com"}, true, 0},
		{[]string{"me@sendingemail.com", "you@receivingemail.com"}, true, 0},
	} {
		s.To = nil
		for _, to := range test.to {
			addr, err := mail.ParseAddress(to)
			if err != nil {
				t.Fatal(err)
			}
			s.To = append(s.To, addr)
		}
		out, err := l.Run(t.Context(), s)
		if err != nil || out.Intact != test.intact || len(out.Bounce) != test.bounce {
			t.Errorf("%v: intact %v (%s), %d reports, %v", test.to, out.Intact, out.Problem, len(out.Bounce), err)
		}
	}
}

func TestUnchanged(t *testing.T) {
	letter := []byte("Subject: x\r\n\r\ntext\r\n")
	for top, want := range map[string]bool{
		"":                       true,
		"Received: a\r\n\tb\r\n": true,
		"Return-Path: <>\r\nDelivered-To: a@b.test\r\nReceived: x\r\n": true,
		"X-Spam: yes\r\n": false,
		"garbage":         false,
	} {
		if got := unchanged(letter, append([]byte(top), letter...)); got != want {
			t.Errorf("with %q on top: %v", top, got)
		}
	}
	if unchanged(letter, []byte("Received: x\r\n\r\nother\r\n")) {
		t.Error("another letter passes")
	}
}
