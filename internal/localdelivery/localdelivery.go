// Package localdelivery is the MDA: it files messages into mailboxes of this node. A message is filed by reference:
// its body stays where the spool has it, and the mailbox holds it from then on, together with the two fields that
// final delivery adds (Return-Path and Delivered-To). The entry in the mailbox, the outcome in the spool and the
// events are one batch, which is the queue's: so a message is in the queue or in the mailbox, never in both or in
// neither.
package localdelivery

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"waybill/internal/directory"
	"waybill/internal/mail"
	"waybill/internal/mailbox"
	"waybill/internal/message"
	"waybill/internal/spool"
	"waybill/internal/store"
	"waybill/internal/store/bodies"
	"waybill/internal/trail"
)

// Directory tells who has a mailbox here. directory.ErrNoAccount says that nobody does.
type Directory interface {
	Lookup(ctx context.Context, addr mail.Address) (directory.Account, error)
}

// Mailboxes files a message into a mailbox by adding to a batch. mailbox.ErrNoMailbox says that there is none.
type Mailboxes interface {
	File(ctx context.Context, b *store.Batch, account, name string, m mailbox.Message) error
}

// Spool opens the content of a message in custody, for its header.
type Spool interface {
	Open(ctx context.Context, item *spool.Item) (*bodies.Reader, error)
}

// Options is what an Agent works with. All but MaxReceived and Logger is required.
type Options struct {
	Directory Directory
	Mailboxes Mailboxes
	Spool     Spool
	Hostname  string // names the agent in events
	// MaxReceived is the number of Received fields from which on a message is in a loop; the receiver's, so that nothing is
	// taken there and found to be in a loop here. Default: message.MaxReceived.
	MaxReceived int
	MailboxSize int64 // octets that an account may have whose quota says nothing else; 0: any
	Logger      *slog.Logger
}

// Agent files messages. It is safe for concurrent use.
type Agent struct{ Options }

// New returns an Agent.
func New(o Options) *Agent {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxReceived == 0 {
		o.MaxReceived = message.MaxReceived
	}
	return &Agent{o}
}

// Outcomes of filing.
var (
	filed     = mail.NewStatus(250, "2.1.5", "filed")
	expanded  = mail.NewStatus(250, "2.1.5", "passed on to the addresses of the alias")
	noMailbox = mail.NewStatus(550, "5.1.1", "")
	disabled  = mail.NewStatus(550, "5.2.1", "")
	tooLarge  = mail.NewStatus(552, "5.2.2", "")
	loop      = mail.NewStatus(554, "5.4.6", "")
	localFail = mail.StatusOf(errors.New("local"))
)

// role is what the agent is called in events.
const role = "MDA"

// Deliver files the message into the mailbox of each recipient of the attempt by adding to b (at most 100
// mailboxes, as the queue sees to). Nothing is filed until b is committed. Unknown addresses and mail in a loop
// end in 5xx outcomes, the latter untold; failing stores in 4xx.
func (g *Agent) Deliver(ctx context.Context, a spool.Attempt, b *store.Batch) ([]spool.Outcome, []trail.Event) {
	d := &delivery{agent: g, attempt: a, batch: b, began: time.Now(), boxes: map[string]bool{}}
	outcomes := make([]spool.Outcome, 0, len(a.Recipients))
	hops, err := g.hops(ctx, a.Item)
	for _, i := range a.Recipients {
		o := spool.Outcome{Status: localFail}
		if err == nil {
			o = d.recipient(ctx, &a.Item.Recipients[i], hops)
		} else {
			g.Logger.Error("header could not be read", "message", a.Item.ID, "error", err)
		}
		o.Recipient = i
		outcomes = append(outcomes, o)
	}
	return outcomes, d.events
}

// delivery is one attempt.
type delivery struct {
	agent   *Agent
	attempt spool.Attempt
	batch   *store.Batch
	began   time.Time
	boxes   map[string]bool // accounts that have the message from this attempt
	events  []trail.Event
}

// recipient decides about one recipient and files the message.
func (d *delivery) recipient(ctx context.Context, r *spool.Recipient, hops message.Hops) spool.Outcome {
	path := r.ForwardPath
	if r.Expanded {
		d.decided(path, "nobody's", "it is an alias, and each of its addresses is a recipient by itself", nil)
		return spool.Outcome{Status: expanded}
	}
	account, err := d.agent.Directory.Lookup(ctx, path)
	if errors.Is(err, directory.ErrNoAccount) {
		status := noMailbox.WithText("%s: no such user here", path)
		d.decided(path, "nobody here", "no account has this address", &status)
		return spool.Outcome{Status: status}
	}
	if err != nil {
		return spool.Outcome{Status: d.failed(path, "account could not be looked up", err)}
	}
	if account.Disabled {
		status := disabled.WithText("%s: the mailbox is disabled", path)
		d.decided(path, "nobody", account.Address.String()+" is disabled", &status)
		return spool.Outcome{Status: status}
	}
	d.decided(path, "local", account.Address.String()+" is an account of "+account.Address.Domain, nil)
	if rule := hops.Loop(d.agent.MaxReceived, account.Address); rule != "" {
		status := loop.WithText("the message is in a loop: %s", rule)
		d.decided(path, "loop", rule, &status)
		return spool.Outcome{Status: status, Untold: untoldLoop}
	}
	if d.earlier(ctx, r, account.Key()) {
		d.boxes[account.Key()] = true
	}
	return spool.Outcome{Status: d.file(ctx, path, account)}
}

// earlier says whether an attempt before this one filed the message for the account. The receiver lets only those be
// several recipients who each want to hear of success.
func (d *delivery) earlier(ctx context.Context, r *spool.Recipient, account string) bool {
	if r.Report.Notify&mail.NotifySuccess == 0 {
		return false
	}
	return slices.ContainsFunc(d.attempt.Item.Recipients, func(other spool.Recipient) bool {
		if other.State != spool.Delivered || other.Report.Notify&mail.NotifySuccess == 0 {
			return false
		}
		has, err := d.agent.Directory.Lookup(ctx, other.ForwardPath)
		return err == nil && has.Key() == account
	})
}

// untoldLoop: the receiver refuses a message in a loop while its client is still there to hear it. One that came by
// here all the same is told to nobody, for its reverse-path is only what somebody wrote there.
const untoldLoop = "the message is in a loop, and a DSN would go to whoever its reverse-path names or join the loop"

// file adds the mailbox entry to the batch. Two recipients that lead to one account get one copy.
func (d *delivery) file(ctx context.Context, path mail.Address, account directory.Account) mail.Status {
	item := d.attempt.Item
	if d.boxes[account.Key()] {
		return filed.WithText("already filed for %s", account.Address)
	}
	prefix := message.ReturnPath(item.ReversePath) + message.DeliveredTo(account.Address)
	quota := account.Limit(d.agent.MailboxSize)
	if size := int64(len(prefix)) + item.Body.Total(); quota > 0 && size > quota {
		return tooLarge.WithText("%s: the message has %d octets, and all mail of the mailbox may have %d", path, size, quota)
	}
	holder := item.Holder()
	if d.attempt.Passing {
		holder = ""
	}
	m := mailbox.Message{
		ID: item.ID, Body: item.Body, From: holder, Prefix: []byte(prefix), Received: item.Accepted,
		Quota: quota,
	}
	err := d.agent.Mailboxes.File(ctx, d.batch, account.Key(), mailbox.Inbox, m)
	if errors.Is(err, mailbox.ErrNoMailbox) {
		return noMailbox.WithText("%s: no mailbox", path)
	}
	if err != nil {
		return d.failed(path, "message could not be filed", err)
	}
	d.boxes[account.Key()] = true
	ev := d.event(trail.Filed, path)
	ev.Took = time.Since(d.began)
	ev.Header = []string{prefix}
	ev.Facts = []trail.Fact{
		{Name: "mailbox", Value: account.Address.String() + "/" + mailbox.Inbox},
		{Name: "size", Value: strconv.FormatInt(int64(len(prefix))+item.Body.Total(), 10) + " octets"},
	}
	status := filed
	ev.Status = &status
	d.events = append(d.events, ev)
	return filed
}

func (d *delivery) event(kind trail.Kind, path mail.Address) trail.Event {
	return trail.Event{Kind: kind, At: d.began, Actor: d.agent.Hostname, Role: role, Message: d.attempt.Item.ID,
		Recipient: path.String(), Attempt: d.attempt.Number}
}

func (d *delivery) decided(path mail.Address, outcome, rule string, status *mail.Status) {
	ev := d.event(trail.Decided, path)
	ev.Decision = &trail.Decision{Question: "whose mailbox is " + path.String() + "?", Outcome: outcome, Rule: rule}
	ev.Status = status
	d.events = append(d.events, ev)
}

// failed is the outcome where nothing is proven: the cause stays in the log.
func (d *delivery) failed(path mail.Address, what string, err error) mail.Status {
	d.agent.Logger.Error(what, "message", d.attempt.Item.ID, "recipient", path.String(), "error", err)
	return mail.StatusOf(err)
}
