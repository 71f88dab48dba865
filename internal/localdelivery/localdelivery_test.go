package localdelivery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"waybill/internal/config"
	"waybill/internal/directory"
	"waybill/internal/mail"
	"waybill/internal/mailbox"
	"waybill/internal/message"
	"waybill/internal/spool"
	"waybill/internal/store"
	"waybill/internal/store/bodies"
	"waybill/internal/store/lease"
	"waybill/internal/store/pebble/pebbletest"
	"waybill/internal/trail"
)

// rig is an agent on a store in memory with the accounts you@b.test and other@b.test.
type rig struct {
	t         *testing.T
	store     store.Store
	spool     *spool.Spool
	mailboxes *mailbox.Mailboxes
	directory *directory.Directory
	agent     *Agent
}

func newRig(t *testing.T) *rig {
	t.Parallel()
	st := pebbletest.Open(t)
	b := bodies.New(st)
	r := &rig{t: t, store: st, spool: spool.New(st, b, lease.Alone(1)), mailboxes: mailbox.New(st, b, lease.Alone(1))}
	r.directory = directory.New(st, []config.Domain{{Name: "b.test"}},
		directory.Options{Hash: directory.Cost{Memory: 8, Passes: 1, Threads: 1}})
	for _, local := range []string{"you", "other"} {
		var b store.Batch
		addr := mail.Address{Local: local, Domain: "b.test"}
		if err := r.directory.Add(t.Context(), &b, addr, "secret"); err != nil {
			t.Fatal(err)
		}
		if err := r.mailboxes.Create(t.Context(), &b, addr.Key(), mailbox.Inbox, time.Now()); err != nil {
			t.Fatal(err)
		}
		r.commit(&b)
	}
	r.agent = New(Options{Directory: r.directory, Mailboxes: r.mailboxes, Spool: r.spool, Hostname: "mail.b.test"})
	return r
}

func (r *rig) commit(b *store.Batch) store.Result {
	r.t.Helper()
	result, err := r.store.Commit(r.t.Context(), b)
	if err != nil {
		r.t.Fatal(err)
	}
	return result
}

func address(text string) mail.Address {
	a, _, err := mail.ParsePath("<" + text + ">")
	if err != nil {
		panic(err)
	}
	return a
}

// accept takes custody of a message.
func (r *rig) accept(content string, recipients ...string) *spool.Item {
	r.t.Helper()
	now := time.Now()
	item := &spool.Item{ID: mail.NewIDs(1).New(now), ReversePath: address("me@a.test"), Accepted: now, Due: now, Expires: now.Add(time.Hour)}
	for _, path := range recipients {
		item.Recipients = append(item.Recipients, spool.Recipient{ForwardPath: address(path), State: spool.Pending})
	}
	draft := r.spool.NewDraft()
	defer draft.Discard()
	io.WriteString(draft, content)
	var b store.Batch
	if err := r.spool.Enter(&b, draft, []byte("Received: by mail.b.test\r\n"), item); err != nil {
		r.t.Fatal(err)
	}
	item.Version = r.commit(&b).Version
	draft.Committed()
	return item
}

// deliver makes an attempt at all recipients and commits it as the queue does.
func (r *rig) deliver(item *spool.Item) (statuses []string, events []trail.Event) {
	r.t.Helper()
	a := spool.Attempt{Item: item, Number: 1, NextHop: "b.test"}
	for i := range item.Recipients {
		a.Recipients = append(a.Recipients, i)
	}
	var b store.Batch
	outcomes, events := r.agent.Deliver(r.t.Context(), a, &b)
	for _, o := range outcomes {
		statuses = append(statuses, item.Recipients[o.Recipient].ForwardPath.String()+": "+o.Status.String())
	}
	r.spool.Settle(&b, item, outcomes, item.Due.Add(time.Minute))
	r.commit(&b)
	return statuses, events
}

// read returns the contents of a mailbox.
func (r *rig) read(account string) []string {
	r.t.Helper()
	l, err := r.mailboxes.List(r.t.Context(), account, mailbox.Inbox)
	if err != nil {
		r.t.Fatal(err)
	}
	var contents []string
	for _, e := range l.Entries {
		m, err := r.mailboxes.Open(r.t.Context(), e)
		if err != nil {
			r.t.Fatal(err)
		}
		text, err := io.ReadAll(m)
		m.Close()
		if err != nil || int64(len(text)) != e.Size {
			r.t.Errorf("%d octets, the size is %d (%v)", len(text), e.Size, err)
		}
		contents = append(contents, string(text))
	}
	return contents
}

func (r *rig) expect(what string, got []string, want ...string) {
	r.t.Helper()
	if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		r.t.Errorf("%s:\n  %q\nwant:\n  %q", what, got, want)
	}
}

const letter = "Subject: Test Email\r\n\r\nHere is my data.\r\n"

// RFC 5321 §4.4: final delivery adds Return-Path; two recipients of one message have it each, with one body.
func TestFiled(t *testing.T) {
	r := newRig(t)
	item := r.accept(letter, "you@b.test", "Other@b.test")
	statuses, events := r.deliver(item)
	r.expect("outcomes", statuses, "you@b.test: 250 2.1.5 filed", "Other@b.test: 250 2.1.5 filed")
	for _, account := range []string{"you@b.test", "other@b.test"} {
		r.expect("mailbox of "+account, r.read(account),
			"Return-Path: <me@a.test>\r\nDelivered-To: "+account+"\r\nReceived: by mail.b.test\r\n"+letter)
	}
	if _, err := r.spool.Load(t.Context(), item.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("custody has not ended: %v", err)
	}
	var kinds []string
	for _, ev := range events {
		kinds = append(kinds, string(ev.Kind)+" "+ev.Recipient)
	}
	r.expect("events", kinds, "policy.decided you@b.test", "mailbox.filed you@b.test",
		"policy.decided Other@b.test", "mailbox.filed Other@b.test")
	if rule := events[0].Decision.Rule; rule != "you@b.test is an account of b.test" {
		t.Errorf("rule: %s", rule)
	}
}

// An account that went after RCPT was accepted fails alone.
func TestNoAccount(t *testing.T) {
	r := newRig(t)
	statuses, _ := r.deliver(r.accept(letter, "nobody@b.test", "you@b.test"))
	r.expect("outcomes", statuses, "nobody@b.test: 550 5.1.1 nobody@b.test: no such user here", "you@b.test: 250 2.1.5 filed")
	if n := len(r.read("you@b.test")); n != 1 {
		t.Errorf("%d messages", n)
	}
}

// Two forward-paths that lead to one account are one copy; postmaster is the domain's first account.
func TestOneCopyForEachAccount(t *testing.T) {
	r := newRig(t)
	postmaster, err := r.directory.Lookup(t.Context(), address("postmaster@b.test"))
	if err != nil {
		t.Fatal(err)
	}
	statuses, _ := r.deliver(r.accept(letter, postmaster.Address.String(), "postmaster@b.test", "postmaster"))
	for _, s := range statuses {
		if !strings.Contains(s, ": 250 ") {
			t.Error(s)
		}
	}
	if n := len(r.read(postmaster.Key())); n != 1 {
		t.Errorf("%d copies", n)
	}
}

// Who wants several reports gets one copy all the same, if one attempt does not reach them all.
func TestOneCopyAcrossAttempts(t *testing.T) {
	r := newRig(t)
	item := r.accept(letter, "you@b.test", "other@b.test", "you+again@b.test", "you+quiet@b.test")
	for i := range 3 {
		item.Recipients[i].Report.Notify = mail.NotifySuccess
	}
	for _, recipients := range [][]int{{0, 1}, {2}} {
		var b store.Batch
		outcomes, _ := r.agent.Deliver(t.Context(), spool.Attempt{Item: item, Number: 1, NextHop: "b.test", Recipients: recipients}, &b)
		for _, o := range outcomes {
			if !o.Status.Success() {
				t.Errorf("%v", o)
			}
		}
		r.spool.Settle(&b, item, outcomes, item.Due.Add(time.Minute))
		item.Version = r.commit(&b).Version
	}
	for _, account := range []string{"you@b.test", "other@b.test"} {
		if n := len(r.read(account)); n != 1 {
			t.Errorf("%s: %d copies", account, n)
		}
	}
}

// An expanded alias is nobody's mail: there is a success to be told, and no mailbox is looked for.
func TestExpanded(t *testing.T) {
	r := newRig(t)
	item := r.accept(letter, "list@b.test", "you@b.test", "you+list@b.test")
	item.Recipients[0].Expanded, item.Recipients[2].Expanded = true, true
	statuses, _ := r.deliver(item)
	r.expect("outcomes", statuses, "list@b.test: 250 2.1.5 passed on to the addresses of the alias", "you@b.test: 250 2.1.5 filed",
		"you+list@b.test: 250 2.1.5 passed on to the addresses of the alias")
	if n := len(r.read("you@b.test")); n != 1 {
		t.Errorf("%d copies", n)
	}
}

func TestLoops(t *testing.T) {
	r := newRig(t)
	for name, c := range map[string]struct{ content, want string }{
		"delivered to this address": {"Delivered-To: <YOU@b.test>\r\n" + letter,
			"you@b.test: 554 5.4.6 the message is in a loop: it was delivered to you@b.test before (Delivered-To)"},
		"folded":                     {"delivered-to:\r\n\tyou@b.test\r\n" + letter, "you@b.test: 554 5.4.6 *"},
		"to another address":         {"Delivered-To: other@b.test\r\n" + letter, "you@b.test: 250 2.1.5 filed"},
		"in the body":                {letter + "Delivered-To: you@b.test\r\n", "you@b.test: 250 2.1.5 filed"},
		"99 hops without ours":       {strings.Repeat("Received: by x\r\n", 99) + letter, "you@b.test: 250 2.1.5 filed"},
		"100 hops without ours":      {strings.Repeat("Received: by x\r\n", 100) + letter, "you@b.test: 554 5.4.6 the message is in a loop: 100 Received fields, fewer than 100 are allowed"},
		"a header without end":       {strings.Repeat("X: y\r\n", 50000), "you@b.test: 250 2.1.5 filed"},
		"behind what is looked at":   {strings.Repeat("X: y\r\n", 50000) + "Delivered-To: you@b.test\r\n", "you@b.test: 250 2.1.5 filed"},
		"far down, yet looked at":    {strings.Repeat("X: y\r\n", 3000) + "Delivered-To: you@b.test\r\n\r\n", "you@b.test: 554 5.4.6 *"},
		"no line end":                {strings.Repeat("x", 300000), "you@b.test: 250 2.1.5 filed"},
		"an empty message":           {"", "you@b.test: 250 2.1.5 filed"},
		"empty line across a border": {"X: " + strings.Repeat("y", headerStart-31) + "\r\n\r\nDelivered-To: you@b.test\r\n", "you@b.test: 250 2.1.5 filed"},
	} {
		statuses, _ := r.deliver(r.accept(c.content, "you@b.test"))
		if prefix, ok := strings.CutSuffix(c.want, "*"); statuses[0] != c.want && !(ok && strings.HasPrefix(statuses[0], prefix)) {
			t.Errorf("%s: %s, want %s", name, statuses[0], c.want)
		}
	}
}

// Whatever the pieces in which the header arrives, it ends at the empty line.
func TestHeaderEnds(t *testing.T) {
	t.Parallel()
	header := "Received: a\r\nReceived: b\r\n"
	content := header + "\r\nReceived: c\r\n" + strings.Repeat("x", 20000)
	for name, reader := range map[string]func(io.Reader) io.Reader{
		"whole": func(r io.Reader) io.Reader { return r }, "one octet": iotest.OneByteReader,
		"half": iotest.HalfReader, "with EOF": iotest.DataErrReader,
	} {
		if h, err := readHeader(reader(strings.NewReader(content))); err != nil || string(h) != header {
			t.Errorf("%s: %q (%v)", name, h, err)
		}
	}
	if _, err := readHeader(iotest.ErrReader(errors.New("broken"))); err == nil {
		t.Error("an error got lost")
	}
}

// A loop that came past the receiver is no reason to write to whoever its reverse-path names.
func TestLoopIsUntold(t *testing.T) {
	r := newRig(t)
	item := r.accept("Delivered-To: you@b.test\r\n"+letter, "you@b.test", "nobody@b.test", "other@b.test")
	var b store.Batch
	outcomes, _ := r.agent.Deliver(t.Context(), spool.Attempt{Item: item, Number: 1, Recipients: []int{0, 1, 2}}, &b)
	var untold []bool
	for _, o := range outcomes {
		untold = append(untold, o.Untold != "")
	}
	if fmt.Sprint(untold) != "[true false false]" || !outcomes[0].Status.Permanent() {
		t.Errorf("%+v: want the first one untold", outcomes)
	}
}

// The header ends where the receiver's ends, whatever stands in our prefix: both look at the same octets.
func TestPrefixIsNotLookedAt(t *testing.T) {
	r := newRig(t)
	fill := strings.Repeat("X: "+strings.Repeat("y", 507)+"\r\n", message.MaxHeader/512-1) // a message.Head has room for one field more
	statuses, _ := r.deliver(r.accept(fill+"Delivered-To: you@b.test\r\n\r\n", "you@b.test"))
	r.expect("outcomes", statuses[:1], "you@b.test: 554 5.4.6 the message is in a loop: it was delivered to you@b.test before (Delivered-To)")
}

// failing is a directory and a spool that do not work.
type failing struct{ err error }

func (f failing) Lookup(context.Context, mail.Address) (directory.Account, error) {
	return directory.Account{}, f.err
}

func (f failing) Open(context.Context, *spool.Item) (*bodies.Reader, error) { return nil, f.err }

// A failing store proves nothing: the outcome is temporary, and nothing is in the batch.
func TestFailuresAreTemporary(t *testing.T) {
	r := newRig(t)
	item := r.accept(letter, "you@b.test")
	broken := failing{store.ErrUnavailable}
	for name, o := range map[string]Options{
		"directory": {Directory: broken, Mailboxes: r.mailboxes, Spool: r.spool},
		"spool":     {Directory: r.directory, Mailboxes: r.mailboxes, Spool: broken},
	} {
		var b store.Batch
		outcomes, _ := New(o).Deliver(t.Context(), spool.Attempt{Item: item, Number: 1, Recipients: []int{0}}, &b)
		if len(outcomes) != 1 || !outcomes[0].Status.Temporary() || len(b.Puts) > 0 {
			t.Errorf("%s: %v, %d writes", name, outcomes, len(b.Puts))
		}
	}
}
