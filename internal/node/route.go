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
	question := "whose is " + to.String() + "?"
	found, err := t.directory.Resolve(ctx, to)
	if errors.Is(err, directory.ErrNoAccount) {
		t.add(control.RouteStep{Question: question, Answer: "nobody's: 550 5.1.1 User unknown", Rule: "no account, alias or catch-all has it", Bad: true})
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
