package smtp

import (
	"context"
	"time"

	"waybill/internal/mail"
)

// mail begins a transaction (RFC 5321 §4.1.1.2).
func (s *session) mail(ctx context.Context, argument string) mail.Status {
	status := s.tryMail(ctx, argument)
	s.tx.denied = !status.Success()
	return status
}

func (s *session) tryMail(ctx context.Context, argument string) mail.Status {
	reverse, p, err := ParseMail(argument, s.conn.extended)
	if err != nil {
		return mail.StatusOf(err)
	}
	if p.Size > s.limits.MessageSize {
		return messageTooLarge.WithText("Message size exceeds the limit of %d octets", s.limits.MessageSize)
	}
	status := s.policy.Mail(ctx, reverse, p)
	if status.Success() {
		s.tx, s.state = transaction{utf8: p.UTF8}, mailGiven
	}
	return status
}

// rcpt adds a recipient (RFC 5321 §4.1.1.3).
func (s *session) rcpt(ctx context.Context, argument string) mail.Status {
	status := s.tryRcpt(ctx, argument)
	if status.Success() {
		s.tx.accepted++
		s.state = rcptGiven
	} else {
		s.tx.refused++
	}
	return status
}

func (s *session) tryRcpt(ctx context.Context, argument string) mail.Status {
	forward, p, err := ParseRcpt(argument, s.conn.extended, s.tx.utf8)
	if err != nil {
		return mail.StatusOf(err)
	}
	if s.tx.accepted >= s.limits.Recipients {
		return tooManyRecipients
	}
	status := s.policy.Rcpt(ctx, forward, p)
	if status.Permanent() {
		return s.unknownRecipient(ctx, status)
	}
	return status
}

// unknownRecipient counts a recipient that policy refused: who guesses addresses gets his answers ever more slowly, and then
// none. What was answered before leaves first, and a server that shuts down does not wait.
func (s *session) unknownRecipient(ctx context.Context, status mail.Status) mail.Status {
	if s.unknown++; s.unknown >= s.limits.Unknown {
		return tooManyUnknown
	}
	late := s.unknown - s.limits.UnknownAtOnce
	if late <= 0 {
		return status
	}
	if err := s.line.Flush(); err != nil {
		return s.breakOff(err)
	}
	t := time.NewTimer(min(time.Duration(late)*s.limits.UnknownDelay, s.limits.UnknownDelayMax))
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.server.stopping:
	case <-ctx.Done():
	}
	return status
}

func (s *session) rset(context.Context, string) mail.Status {
	s.reset()
	return resetOK
}

func (s *session) noop(context.Context, string) mail.Status { return noop }

func (s *session) quit(context.Context, string) mail.Status {
	return closing.WithText("%s closing connection", s.server.Hostname)
}

func (s *session) foreign(context.Context, string) mail.Status { return notMail }
