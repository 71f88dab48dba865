package receiver

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"waybill/internal/directory"
	"waybill/internal/mail"
)

// TestMerge: one copy for two recipients is reported on as both asked, and two reports stay two.
func TestMerge(t *testing.T) {
	t.Parallel()
	const never, success, failure, delay = mail.NotifyNever, mail.NotifySuccess, mail.NotifyFailure, mail.NotifyDelay
	name := func(s string) mail.OriginalRecipient { return mail.OriginalRecipient{Type: "rfc822", Address: s} }
	x, y := name("x@a.test"), name("y@a.test")
	for _, test := range []struct {
		a, b mail.Report
		same bool
		want mail.Report
		ok   bool
	}{
		{ok: true}, // nobody said anything
		{a: mail.Report{Notify: never}, want: mail.Report{}, ok: true},
		{b: mail.Report{Notify: never, Original: y}, want: mail.Report{}, ok: true},
		{a: mail.Report{Notify: never, Original: x}, b: mail.Report{Notify: failure, Original: y}, want: mail.Report{Notify: failure, Original: y}, ok: true},
		{a: mail.Report{Original: x}, b: mail.Report{Original: y}, want: mail.Report{Original: x}, ok: true},
		{a: mail.Report{Notify: failure}, want: mail.Report{Notify: failure | delay}, ok: true},
		{a: mail.Report{Notify: failure, Original: x}, b: mail.Report{Notify: success, Original: y},
			want: mail.Report{Notify: failure | success, Original: y}, ok: true},
		{a: mail.Report{Notify: success, Original: x}, b: mail.Report{Notify: success | failure, Original: x}, same: true,
			want: mail.Report{Notify: success | failure, Original: x}, ok: true},
		{a: mail.Report{Notify: success, Original: x}, b: mail.Report{Notify: success, Original: y}},
		{a: mail.Report{Notify: success}, b: mail.Report{Notify: success}}, // two names of one person
		{a: mail.Report{Notify: success}, b: mail.Report{Notify: success}, same: true, want: mail.Report{Notify: success}, ok: true},
	} {
		if got, ok := merge(test.a, test.b, test.same); ok != test.ok || ok && got != test.want {
			t.Errorf("%+v and %+v: %+v, %v", test.a, test.b, got, ok)
		}
	}
}

// TestOneCopyForSeveralAliases: whoever is behind many of a message's addresses is its recipient once, however far apart they
// are and under whatever reverse-path the mail would leave.
func TestOneCopyForSeveralAliases(t *testing.T) {
	t.Parallel()
	s := &session{r: &Receiver{Options: Options{IDs: mail.NewIDs(1)}}}
	account := func(name string) directory.Target {
		a := mail.Address{Local: name, Domain: "a.test"}
		return directory.Target{Path: a, Account: directory.Account{Address: a}}
	}
	friend := directory.Target{Path: mail.Address{Local: "Friend", Domain: "Else.test"}, Forwarded: true}
	shouting := friend
	shouting.Path.Local = "FRIEND" // who may be somebody else
	alias := func(n int) mail.Address {
		return mail.Address{Local: fmt.Sprint(n), Domain: fmt.Sprintf("d%d.test", n)}
	}
	tagged := account("alice")
	tagged.Path.Local = "Alice+x"
	s.addTarget(alias(0), mail.Report{}, true, account("Alice"))
	s.addTarget(alias(0), mail.Report{}, true, friend)
	for i := range 300 {
		s.addTarget(alias(1), mail.Report{}, true, account(fmt.Sprint("other", i)))
	}
	lower := friend
	lower.Path.Domain = "else.test"
	s.addTarget(alias(2), mail.Report{}, true, tagged)
	s.addTarget(alias(3), mail.Report{}, true, lower)
	s.addTarget(alias(4), mail.Report{}, true, shouting)
	if n := len(s.tx.recipients); n != 303 || len(s.tx.accounts) != 301 || fmt.Sprint(s.tx.forwarded) != "[1 302]" {
		t.Errorf("%d recipients, %d accounts, forwarded %v", n, len(s.tx.accounts), s.tx.forwarded)
	}
	item := s.newItem(time.Now(), &header{})
	if item.Recipients[1].Original != alias(0) || item.Recipients[302].ForwardPath != shouting.Path {
		t.Errorf("%+v, %+v", item.Recipients[1], item.Recipients[302])
	}
}

// TestReportNamesWhoAsked: where two addresses of one person share a copy, the report names the one that asked for it, and
// never one that asked for none (RFC 3461 §4.1).
func TestReportNamesWhoAsked(t *testing.T) {
	t.Parallel()
	const never, success, failure = mail.NotifyNever, mail.NotifySuccess, mail.NotifyFailure
	alice := mail.Address{Local: "alice", Domain: "a.test"}
	tagged, alias := mail.Address{Local: "alice+x", Domain: "a.test"}, mail.Address{Local: "sales", Domain: "a.test"}
	for _, test := range []struct {
		first, second mail.Notify
		namesSecond   bool // the report is under the second address
	}{
		{never, success, true},
		{never, failure, true},
		{never, 0, true},
		{failure, success, true},
		{0, success | failure, true},
		{success, never, false},
		{success, failure, false},
		{0, failure, false},
		{never, never, false},
	} {
		for _, byAlias := range []bool{false, true} {
			s := &session{r: &Receiver{}}
			second := directory.Target{Path: tagged, Account: directory.Account{Address: alice}}
			s.addTarget(alice, mail.Report{Notify: test.first}, false, directory.Target{Path: alice, Account: second.Account})
			s.addTarget(alias, mail.Report{Notify: test.second}, byAlias, second)
			want, original := alice, mail.Address{}
			if test.namesSecond {
				if want = tagged; byAlias {
					original = alias
				}
			}
			if len(s.tx.recipients) != 1 || s.tx.recipients[0].ForwardPath != want || s.tx.recipients[0].Original != original {
				t.Errorf("%d and %d, alias %v: %+v", test.first, test.second, byAlias, s.tx.recipients)
			}
		}
	}
}

// TestReportsOfAnAlias: one with several targets is reported as expanded, if success is asked for, and its targets are told of
// the rest; one with a single target passes on what was asked (RFC 3461 §5.2.7).
func TestReportsOfAnAlias(t *testing.T) {
	for _, test := range []struct{ rcpt, want string }{
		{"list@example.test> NOTIFY=SUCCESS ORCPT=rfc822;x@y.test", "list@example.test 2 x@y.test true; alice@example.test 1 x@y.test; you@example.net 1 x@y.test"},
		{"List@example.test> NOTIFY=SUCCESS,FAILURE", "List@example.test 2  true; alice@example.test 4; you@example.net 4"},
		{"list@example.test> NOTIFY=FAILURE,DELAY ORCPT=rfc822;x@y.test", "alice@example.test 12 x@y.test; you@example.net 12 x@y.test"},
		{"list@example.test> NOTIFY=NEVER", "alice@example.test 1; you@example.net 1"},
		{"list@example.test>", "alice@example.test 0; you@example.net 0"},
		{"any@example.test> NOTIFY=SUCCESS ORCPT=rfc822;x@y.test", "alice@example.test 2 x@y.test"},
		{"alice@example.test> NOTIFY=SUCCESS", "alice@example.test 2"},
	} {
		b := newBench(t, "L: MTA aliases\nS: 220 *\nC: EHLO x.test\n"+strings.Repeat("S: 250-*\n", 9)+"S: 250 HELP\nC: MAIL FROM:<me@a.test>\nS: 250 *\nC: RCPT TO:<"+test.rcpt+
			"\nS: 250 *\nC: DATA\nS: 354 *\nC: Subject: x\nC: \nC: .\nS: 250 *\nC: QUIT\nS: 221 *\nV: local | * | *\n")
		b.play()
		var got []string
		for _, r := range b.items[0].Recipients {
			text := fmt.Sprintf("%s %d %s", r.ForwardPath, r.Report.Notify, r.Report.Original.Address)
			if r.Expanded {
				text += " true"
			}
			got = append(got, strings.TrimSpace(text))
		}
		if joined := strings.Join(got, "; "); joined != test.want {
			t.Errorf("%s: %s, want %s", test.rcpt, joined, test.want)
		}
	}
}
