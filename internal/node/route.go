package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"waybill/internal/control"
	"waybill/internal/directory"
	"waybill/internal/mail"
	"waybill/internal/srs"
	"waybill/internal/store"
	"waybill/internal/trail"
)

// Route tells what would happen to mail from one address to another, and why. Nothing is sent.
func (k *core) Route(ctx context.Context, from, to mail.Address) (control.Route, error) {
	t := &tracer{core: k, from: from}
	if to.Domain != "" && !k.directory.IsLocal(to.Domain) {
		t.add(control.RouteStep{
			Question: "is " + to.String() + " ours?", Answer: "no", Rule: to.Domain + " is not a local domain",
		})
		t.add(control.RouteStep{
			Question: "who may send to it through this server?", Answer: "our users once they have logged in" + k.trustedWords(),
			Rule: "closed by default",
		})
		t.leave(ctx, to)
		return t.route, nil
	}
	return t.route, t.local(ctx, to)
}

func (k *core) trustedWords() string {
	if len(k.config.Relay.Trusted) == 0 {
		return ", nobody else"
	}
	var networks []string
	for _, n := range k.config.Relay.Trusted {
		networks = append(networks, n.String())
	}
	return ", and the networks of [relay] trusted: " + strings.Join(networks, ", ")
}

// tracer follows one recipient.
type tracer struct {
	*core
	from  mail.Address
	route control.Route
}

func (t *tracer) add(s control.RouteStep) { t.route.Steps = append(t.route.Steps, s) }

// local tells who gets mail for an address of ours.
func (t *tracer) local(ctx context.Context, to mail.Address) error {
	if srs.Is(to) {
		if taken, err := t.bounce(ctx, to); taken || err != nil {
			return err
		}
	}
	question := "whose is " + to.String() + "?"
	found, err := t.directory.Resolve(ctx, to)
	if errors.Is(err, directory.ErrNoAccount) {
		t.add(control.RouteStep{Question: question, Answer: "nobody's: 550 5.1.1 User unknown", Rule: "no account, alias or catch-all has it", Bad: true})
		return nil
	}
	if errors.Is(err, directory.ErrTooFar) || errors.Is(err, directory.ErrUnreadable) {
		t.add(control.RouteStep{Question: question, Answer: "not to be told now: 451", Rule: err.Error(), Bad: true})
		return nil
	}
	if err != nil {
		return err
	}
	step := control.RouteStep{Question: question, Answer: "an account here", Rule: found.Rule}
	if found.Alias {
		step.Answer = "an alias; mail for it goes to"
		for _, x := range found.Targets {
			step.Details = append(step.Details, x.Path.String())
		}
	}
	t.add(step)
	for _, x := range found.Targets {
		if x.Forwarded {
			if err := t.forwarded(ctx, to, x.Path); err != nil {
				return err
			}
			continue
		}
		if err := t.mailbox(ctx, x.Account); err != nil {
			return err
		}
	}
	return nil
}

// bounce tells where a bounce goes whose recipient is a reverse-path that we wrote; taken is false if it only looks so.
func (t *tracer) bounce(ctx context.Context, to mail.Address) (taken bool, err error) {
	author, err := t.directory.Unwrap(ctx, to, time.Now())
	if errors.Is(err, srs.ErrForged) || errors.Is(err, srs.ErrExpired) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	step := control.RouteStep{Question: "does " + to.String() + " lead back to somebody?", Answer: author.String(),
		Rule: "SRS: it was made here, as the reverse-path of a message that an alias forwarded"}
	if !t.from.IsNull() {
		step.Answer, step.Bad = "not for this message: 550 5.1.1 This address takes bounces only", true
		step.Rule += "; " + t.from.Path() + " is no null reverse-path, as bounces have"
	}
	t.add(step)
	switch {
	case step.Bad:
		return true, nil
	case t.directory.IsLocal(author.Domain):
		return true, t.account(ctx, author)
	}
	t.leave(ctx, author)
	return true, nil
}

// account tells of an address of ours for which no alias is followed, as that of a bounce.
func (t *tracer) account(ctx context.Context, addr mail.Address) error {
	a, err := t.directory.Lookup(ctx, addr)
	if errors.Is(err, directory.ErrNoAccount) {
		t.add(control.RouteStep{Question: "whose is " + addr.String() + "?", Answer: "nobody's: 550 5.1.1 no such user here", Rule: "no account has it", Bad: true})
		return nil
	}
	if err != nil {
		return err
	}
	return t.mailbox(ctx, a)
}

// mailbox tells whether an account takes mail now.
func (t *tracer) mailbox(ctx context.Context, a directory.Account) error {
	step := control.RouteStep{Question: "does " + a.Address.String() + " take mail?", Answer: "yes, into INBOX", Rule: "no quota"}
	used, err := t.mailboxes.Usage(ctx, a.Key())
	if err != nil {
		return err
	}
	quota := a.Limit(t.config.Limits.MailboxSize)
	if quota > 0 {
		step.Rule = fmt.Sprintf("it has %d of %d octets", used, quota)
	}
	switch {
	case a.Disabled:
		step.Answer, step.Rule, step.Bad = "no: 550 5.2.1 Mailbox disabled", "the account is disabled", true
	case quota > 0 && used >= quota:
		step.Answer, step.Bad = "not now: 452 4.2.2 Mailbox full", true
	}
	t.add(step)
	return nil
}

// forwarded tells under which reverse-path an alias sends mail out again, and where to.
func (t *tracer) forwarded(ctx context.Context, alias, to mail.Address) error {
	sender, err := t.directory.Rewrite(ctx, &store.Batch{}, t.from, alias.Domain, time.Now())
	if err != nil {
		return err
	}
	step := control.RouteStep{Question: "under which reverse-path is it forwarded to " + to.String() + "?", Answer: sender.Path(),
		Rule: "its own: it is of ours, or null"}
	if sender != t.from {
		step.Rule = "SRS: the next hop may refuse " + t.from.String() + " from this server; bounces come back here and go on to it"
	}
	t.add(step)
	t.leave(ctx, to)
	return nil
}

// leave tells the way to another server.
func (t *tracer) leave(ctx context.Context, to mail.Address) {
	nextHop, rule := t.routes.NextHop(to.Domain)
	connections, rate := t.limits(nextHop)
	step := control.RouteStep{Question: "what is the next hop for " + to.String() + "?", Answer: nextHop, Rule: rule}
	step.Details = append(step.Details, fmt.Sprintf("at most %d connections at the same time", connections))
	if rate > 0 {
		step.Details = append(step.Details, fmt.Sprintf("at most %g messages a second", rate))
	}
	t.add(step)
	plan := t.relay.Plan(ctx, nextHop)
	hosts := control.RouteStep{Question: "which hosts are tried, in which order?", Details: plan.Hosts}
	for _, ev := range plan.Events {
		hosts.DNS = append(hosts.DNS, ev.DNS...)
		if ev.Kind == trail.MXChosen {
			hosts.Rule = ev.Text
		}
	}
	if plan.Status.Code != 0 {
		hosts.Answer, hosts.Bad = plan.Status.String(), true
		t.add(hosts)
		return
	}
	hosts.Answer = fmt.Sprintf("%d, until one takes the message", len(plan.Hosts))
	t.add(hosts)
	t.add(control.RouteStep{Question: "is the connection protected?", Answer: plan.TLS})
}
