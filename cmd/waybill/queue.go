package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"waybill/internal/config"
	"waybill/internal/control"
	"waybill/internal/mail"
	"waybill/internal/spool"
)

// queueCommand shows and manages the queue.
type queueCommand struct {
	List    queueListCommand    `cmd:"" help:"List messages in the queue."`
	Show    queueShowCommand    `cmd:"" help:"Show a message in the queue with all its recipients."`
	Retry   queueRetryCommand   `cmd:"" help:"Attempt messages now, whatever their schedule."`
	Hold    queueHoldCommand    `cmd:"" help:"Attempt messages no more until they are released."`
	Release queueReleaseCommand `cmd:"" help:"Attempt messages that were held."`
	Drop    queueDropCommand    `cmd:"" help:"Delete messages; nobody is told."`
	Bounce  queueBounceCommand  `cmd:"" help:"Give messages up and tell their senders."`
}

// queueFilter chooses messages.
type queueFilter struct {
	From   string        `placeholder:"ADDR|@DOMAIN" help:"Only those with this reverse-path; <> is the null one."`
	To     string        `placeholder:"ADDR|@DOMAIN" help:"Only those with this recipient, if it has not got them yet."`
	Held   bool          `xor:"state" help:"Only those that are held."`
	Active bool          `xor:"state" help:"Only those that are not held."`
	Older  time.Duration `placeholder:"TIME" help:"Only those that came so long ago or longer (1h, 48h)."`
	Reason string        `placeholder:"TEXT" help:"Only those where the last attempt came to something with this text."`
}

func (f queueFilter) isEmpty() bool { return f == queueFilter{} }

func (f queueFilter) filter() control.QueueFilter {
	q := control.QueueFilter{From: f.From, To: f.To, Older: f.Older, Reason: f.Reason}
	if f.Held || f.Active {
		q.Held = &f.Held
	}
	return q
}

// eachPage calls do with each page of messages.
func eachPage(ctx context.Context, a admin, f control.QueueFilter, do func([]control.QueueItem) (more bool, err error)) error {
	for {
		page, err := a.Queue(ctx, f)
		if err != nil {
			return err
		}
		more, err := do(page.Items)
		if err != nil || !more || page.Next == "" {
			return err
		}
		f.After = page.Next
	}
}

// queueListCommand lists messages.
type queueListCommand struct {
	queueFilter
	Limit int `default:"1000" help:"Messages at most; 0: all."`
	configFlag
}

func (c *queueListCommand) Run(ctx context.Context, std streams) error {
	return c.with(std, func(a admin, _ config.Config) error {
		listed, more := 0, false
		err := eachPage(ctx, a, c.filter(), func(items []control.QueueItem) (bool, error) {
			if c.Limit > 0 && listed+len(items) > c.Limit {
				items, more = items[:c.Limit-listed], true
			}
			listed += len(items)
			return !more, c.print(std, items, listed == len(items))
		})
		switch {
		case err != nil || c.JSON:
		case listed == 0:
			fmt.Fprintln(std.err, "no such messages in the queue")
		case more:
			fmt.Fprintf(std.err, "there are more; --limit 0 lists all\n")
		}
		return err
	})
}

func (c *queueListCommand) print(std streams, items []control.QueueItem, first bool) error {
	if c.JSON {
		return encodeEach(std.out, items)
	}
	if len(items) == 0 {
		return nil
	}
	if first {
		fmt.Fprintf(std.out, "%-14s  %5s  %9s  %8s  %-10s  %s\n", "ID", "AGE", "SIZE", "ATTEMPTS", "NEXT", "FROM > TO")
	}
	for _, i := range items {
		fmt.Fprintf(std.out, "%-14s  %5s  %9s  %8d  %-10s  <%s> > %s\n", i.ID, age(time.Since(i.Accepted)), octets(i.Size), i.Attempts,
			nextWords(i), i.ReversePath, recipientWords(i))
		if status := lastStatus(i); status != "" {
			fmt.Fprintf(std.out, "%16s%s\n", "", status)
		}
	}
	return nil
}

// age is a time span in its largest unit.
func age(d time.Duration) string {
	switch {
	case d < time.Minute:
		return strconv.Itoa(int(d.Seconds())) + "s"
	case d < time.Hour:
		return strconv.Itoa(int(d.Minutes())) + "m"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d.Hours())) + "h"
	}
	return strconv.Itoa(int(d.Hours()/24)) + "d"
}

func nextWords(i control.QueueItem) string {
	switch wait := time.Until(i.Due); {
	case i.Unreadable:
		return "unreadable"
	case i.Held:
		return "held"
	case wait <= 0:
		return "now"
	default:
		return "in " + age(wait)
	}
}

// recipientWords names the first recipient that is pending, and counts the others.
func recipientWords(i control.QueueItem) string {
	first, pending := "", 0
	for _, r := range i.Recipients {
		if r.State == spool.Pending {
			if pending++; pending == 1 {
				first = r.Address
			}
		}
	}
	if pending > 1 {
		return fmt.Sprintf("%s and %d more", first, pending-1)
	}
	return first
}

func lastStatus(i control.QueueItem) string {
	for _, r := range i.Recipients {
		if r.State == spool.Pending && r.Status != "" {
			return r.Status
		}
	}
	return ""
}

// queueShowCommand shows one message.
type queueShowCommand struct {
	ID string `arg:"" placeholder:"ID" help:"The message's id."`
	configFlag
}

func (c *queueShowCommand) Run(ctx context.Context, std streams) error {
	id, err := mail.ParseID(c.ID)
	if err != nil {
		return err
	}
	return c.with(std, func(a admin, _ config.Config) error {
		page, err := a.Queue(ctx, control.QueueFilter{IDs: []mail.ID{id}})
		if err != nil {
			return err
		}
		if len(page.Items) == 0 {
			return fmt.Errorf("message %s is not in the queue; waybill explain %s tells what became of it", id, id)
		}
		if c.JSON {
			return json.NewEncoder(std.out).Encode(page.Items[0])
		}
		return c.print(std, page.Items[0])
	})
}

func (c *queueShowCommand) print(std streams, i control.QueueItem) error {
	const moment = "2006-01-02 15:04:05 MST"
	next := i.Due.Format(moment)
	if i.Held {
		next = "held: waybill queue release " + string(i.ID)
	}
	fmt.Fprintf(std.out, "message     %s\nfrom        <%s>\nsize        %d octets\naccepted    %s\nattempts    %d\nnext        %s\ngiven up    %s\n\n",
		i.ID, i.ReversePath, i.Size, i.Accepted.Format(moment), i.Attempts, next, i.Expires.Format(moment))
	for _, r := range i.Recipients {
		fmt.Fprintf(std.out, "%-9s  %s\n", r.State, r.Address)
		if r.Original != "" {
			fmt.Fprintf(std.out, "           for %s\n", r.Original)
		}
		if r.Status != "" {
			fmt.Fprintf(std.out, "           %s\n", r.Status)
		}
	}
	return nil
}

// queueOrder is something that is done to messages: to those named, or to all that a filter means.
type queueOrder struct {
	IDs []string `arg:"" optional:"" name:"id" help:"Messages."`
	queueFilter
	All bool `help:"All messages that the other flags mean, or with no others all in the queue."`
	configFlag
}

type (
	queueRetryCommand   struct{ queueOrder }
	queueHoldCommand    struct{ queueOrder }
	queueReleaseCommand struct{ queueOrder }
	queueDropCommand    struct{ queueOrder }
	queueBounceCommand  struct{ queueOrder }
)

func (c *queueRetryCommand) Run(ctx context.Context, std streams) error {
	return c.run(ctx, std, spool.Retry, "attempted now")
}

func (c *queueHoldCommand) Run(ctx context.Context, std streams) error {
	return c.run(ctx, std, spool.Hold, "held")
}

func (c *queueReleaseCommand) Run(ctx context.Context, std streams) error {
	return c.run(ctx, std, spool.Release, "released")
}

func (c *queueDropCommand) Run(ctx context.Context, std streams) error {
	return c.run(ctx, std, spool.Drop, "dropped")
}

func (c *queueBounceCommand) Run(ctx context.Context, std streams) error {
	return c.run(ctx, std, spool.Bounce, "returned to their senders")
}

// run does it. Each message to which it could not be done is told, and makes the command fail.
func (c *queueOrder) run(ctx context.Context, std streams, action spool.Action, words string) error {
	f, err := c.chosen(action)
	if err != nil {
		return err
	}
	return c.with(std, func(a admin, _ config.Config) error {
		done, failed := 0, 0
		err := eachPage(ctx, a, f, func(items []control.QueueItem) (bool, error) {
			ids := make([]mail.ID, 0, len(items))
			for _, i := range items {
				ids = append(ids, i.ID)
			}
			refused, err := a.ManageQueue(ctx, ids, action)
			for _, r := range refused {
				fmt.Fprintln(std.err, r.Reason)
			}
			done, failed = done+len(ids)-len(refused), failed+len(refused)
			return true, err
		})
		if missing := len(f.IDs) - done - failed; err == nil && missing > 0 {
			err = fmt.Errorf("%d of the messages named are not in the queue, or not meant by the flags", missing)
		}
		if err == nil && failed > 0 {
			err = errReported
		}
		return errors.Join(c.sayDone(std, action, done, words), err)
	})
}

func (c *queueOrder) sayDone(std streams, action spool.Action, done int, words string) error {
	if c.JSON {
		return json.NewEncoder(std.out).Encode(map[string]any{"action": action, "messages": done})
	}
	noun := "messages"
	if done == 1 {
		noun = "message"
	}
	_, err := fmt.Fprintf(std.out, "%d %s %s\n", done, noun, words)
	return err
}

// chosen is which messages are meant. So that nobody drops the whole queue by a slip, all of it must be named.
func (c *queueOrder) chosen(action spool.Action) (control.QueueFilter, error) {
	f := c.filter()
	for _, s := range c.IDs {
		id, err := mail.ParseID(strings.TrimSpace(s))
		if err != nil {
			return f, usageErrorf("%v", err)
		}
		f.IDs = append(f.IDs, id)
	}
	if action == spool.Release && len(f.IDs) == 0 {
		f.Held = new(true) // the others cannot be meant
	}
	if action == spool.Retry && len(f.IDs) == 0 && f.Held == nil {
		f.Held = new(false) // those wait for release, whatever else happens
	}
	if len(f.IDs) == 0 && c.isEmpty() && !c.All {
		return f, usageErrorf("name messages, or which ones are meant (--to, --from, --older, …), or --all")
	}
	return f, nil
}
