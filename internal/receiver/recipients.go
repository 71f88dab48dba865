package receiver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"waybill/internal/directory"
	"waybill/internal/mail"
	"waybill/internal/message"
	"waybill/internal/spool"
	"waybill/internal/srs"
	"waybill/internal/store"
	"waybill/internal/trail"
)

// maxExpanded bounds the recipients of one message once aliases are followed.
const maxExpanded = 10_000

// rcptLocal asks the directory for a recipient in one of our domains.
func (s *session) rcptLocal(ctx context.Context, forward mail.Address, report mail.Report) mail.Status {
	if srs.Is(forward) {
		if status, taken := s.rcptBounce(ctx, forward, report); taken {
			return status
		}
	}
	found, err := s.r.Directory.Resolve(ctx, forward)
	d := trail.Decision{Question: "is the recipient ours?", Outcome: "local"}
	switch {
	case err == nil:
		s.observe()
		return s.rcptTargets(ctx, forward, report, found)
	case errors.Is(err, directory.ErrNoAccount) && isPostmaster(forward):
		d.Outcome, d.Rule, d.Reason = "refused", "postmaster is refused for now only", "no account exists here yet"
		s.refuse(d, noPostmaster, forward.String())
		return noPostmaster
	case errors.Is(err, directory.ErrNoAccount):
		d.Outcome, d.Rule = "refused", "domain "+forward.Domain+" is ours"
		d.Reason = "it has no account or alias " + forward.String()
		status := userUnknown.WithText("%s... User unknown", forward)
		s.refuse(d, status, forward.String())
		return status
	case errors.Is(err, directory.ErrTooFar):
		d.Outcome, d.Rule, d.Reason = "refused", "aliases are followed so far and no further", err.Error()
		status := misconfigured.WithText("%s... The address is not configured well here, try again later", forward)
		s.refuse(d, status, forward.String())
		s.r.Logger.Error("an alias has to be changed: its mail is refused for now", "session", s.conn.ID(), "error", err)
		return status
	}
	if !errors.Is(err, directory.ErrUnreadable) { // which the directory has told, once
		s.r.Logger.Error("recipient could not be looked up", "session", s.conn.ID(), "error", err)
	}
	return storeDown
}

// rcptTargets takes those whom a recipient leads to, if they can take mail.
func (s *session) rcptTargets(ctx context.Context, forward mail.Address, report mail.Report, found directory.Resolution) mail.Status {
	d := trail.Decision{Question: "is the recipient ours?", Outcome: "local", Rule: found.Rule}
	targets := enabled(found.Targets)
	status := mail.Status{}
	switch {
	case len(targets) == 0:
		status = mailboxDisabled.WithText("%s... Mailbox disabled", forward)
	case len(s.tx.recipients)+len(targets) > maxExpanded:
		status = tooManyTargets
	case len(targets) == 1 && !targets[0].Forwarded:
		status = s.fits(ctx, targets[0].Account)
	}
	if status.Code != 0 {
		d.Outcome, d.Reason = "refused", status.Text
		s.refuse(d, status, forward.String())
		return status
	}
	if len(found.Targets) > 1 && report.Notify&mail.NotifySuccess != 0 {
		report = s.expand(forward, report)
	}
	for _, t := range targets {
		s.addTarget(forward, report, found.Alias, t)
	}
	return s.rcptTaken(forward, d)
}

// expand adds what reports the success of an alias with several targets, and returns what is to be reported on each of them:
// all that was asked for but the success (RFC 3461 §5.2.7.3 c).
func (s *session) expand(alias mail.Address, report mail.Report) mail.Report {
	success := mail.Report{Notify: mail.NotifySuccess, Original: report.Original}
	who := mail.Address{Domain: alias.Key()} // the alias, which no target is taken for
	if s.addRecipient(who, spool.Recipient{ForwardPath: alias, Report: success, State: spool.Pending, Expanded: true}) {
		s.tx.limited++ // nothing is too large for it
	}
	if report.Notify &^= mail.NotifySuccess; report.Notify == 0 {
		report.Notify = mail.NotifyNever
	}
	return report
}

func (s *session) addTarget(forward mail.Address, report mail.Report, alias bool, t directory.Target) {
	r := spool.Recipient{ForwardPath: t.Path, Report: report, State: spool.Pending}
	if alias {
		r.Original = forward
	}
	if !s.addRecipient(identity(t), r) {
		return
	}
	if t.Forwarded {
		s.tx.forwarded = append(s.tx.forwarded, len(s.tx.recipients)-1)
		return
	}
	s.tx.accounts = append(s.tx.accounts, t.Account.Address)
	if quota := t.Account.Limit(s.r.MailboxSize); quota > 0 {
		trace := len(message.ReturnPath(s.tx.reversePath)) + len(message.DeliveredTo(t.Account.Address)) // what filing adds
		s.tx.limited++
		s.tx.room = max(s.tx.room, quota-int64(trace))
	}
}

// enabled returns those of the targets that take mail. The slice may be shared and is not changed.
func enabled(targets []directory.Target) []directory.Target {
	for i := range targets {
		if targets[i].Account.Disabled {
			kept := append([]directory.Target(nil), targets[:i]...)
			for _, t := range targets[i:] {
				if !t.Account.Disabled {
					kept = append(kept, t)
				}
			}
			return kept
		}
	}
	return targets
}

// fits is the refusal of a message that an account's quota has no room for, as far as one can tell before it comes; zero if
// it has.
func (s *session) fits(ctx context.Context, account directory.Account) mail.Status {
	quota := account.Limit(s.r.MailboxSize)
	if quota == 0 {
		return mail.Status{}
	}
	if s.tx.params.Size > quota {
		return overQuota.WithText("%s... The message is larger than all the mail that the mailbox may hold", account.Address)
	}
	used, err := s.r.Usage(ctx, account.Key())
	if err != nil {
		s.r.Logger.Error("mailbox size could not be read", "session", s.conn.ID(), "error", err)
		return storeDown
	}
	if used >= quota || used+s.tx.params.Size > quota {
		return mailboxFull.WithText("%s... Mailbox full", account.Address)
	}
	return mail.Status{}
}

// neverFits refuses a message, with what we put before it, that none of its recipients could ever hold: later it would only
// become a report to its reverse-path, which may be forged. Where one of several can hold it, the others are reported.
func (s *session) neverFits(size int64) error {
	if s.tx.limited < len(s.tx.recipients) || size <= s.tx.room {
		return nil
	}
	status := overQuota
	if len(s.tx.recipients) == 1 {
		status = overQuota.WithText("%s... The message is larger than all the mail that the mailbox may hold", s.tx.recipients[0].ForwardPath)
	}
	return &refusal{trail.Decision{Question: "can a mailbox hold the message?", Outcome: "refused", Rule: "the quota of every recipient",
		Reason: fmt.Sprintf("it has %d octets, and %d may come at most", size, max(s.tx.room, 0))}, status}
}

// rcptBounce takes a bounce of a message that an alias forwarded: its recipient is the reverse-path that we wrote, which
// leads back to the author. Nothing but a bounce may take this way. An address that only looks so is like any other.
func (s *session) rcptBounce(ctx context.Context, forward mail.Address, report mail.Report) (status mail.Status, taken bool) {
	to, err := s.r.Directory.Unwrap(ctx, forward, time.Now())
	d := trail.Decision{Question: "does this forwarder's address lead back to somebody?", Outcome: to.String(), Rule: "SRS: it was made here"}
	switch {
	case errors.Is(err, srs.ErrForged) || errors.Is(err, srs.ErrExpired):
		return mail.Status{}, false
	case err != nil:
		s.r.Logger.Error("recipient could not be looked up", "session", s.conn.ID(), "error", err)
		return storeDown, true
	case !s.tx.reversePath.IsNull():
		d.Outcome, d.Reason = "refused", "the message is no bounce: it has a reverse-path"
		status = userUnknown.WithText("%s... This address takes bounces only", forward)
		s.refuse(d, status, forward.String())
		return status, true
	}
	s.addRecipient(elsewhere(to), spool.Recipient{ForwardPath: to, Original: forward, Report: report, State: spool.Pending})
	return s.rcptTaken(forward, d), true
}

// rewrite gives those to whom an alias forwards the message the reverse-path that leads back to us.
func (s *session) rewrite(ctx context.Context, b *store.Batch, item *spool.Item, now time.Time) error {
	for _, i := range s.tx.forwarded {
		r := &item.Recipients[i]
		sender, err := s.r.Directory.Rewrite(ctx, b, item.ReversePath, r.Original.Domain, now)
		if err != nil {
			return err
		}
		if sender != item.ReversePath {
			r.Sender = sender
		}
	}
	return nil
}
