package smtp

import (
	"context"

	"waybill/internal/mail"
)

// mail begins a transaction (RFC 5321 §4.1.1.2).
func (s *session) mail(ctx context.Context, argument string) mail.Status {
	reverse, p, err := ParseMail(argument)
	if err != nil {
		return mail.StatusOf(err)
	}
	if p.Size > s.limits.MessageSize {
		return messageTooLarge.WithText("Message size exceeds the limit of %d octets", s.limits.MessageSize)
	}
	status := s.policy.Mail(ctx, reverse, p)
	if status.Success() {
		s.tx, s.state = transaction{}, mailGiven
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
	forward, p, err := ParseRcpt(argument)
	if err != nil {
		return mail.StatusOf(err)
	}
	if s.tx.accepted >= s.limits.Recipients {
		return tooManyRecipients
	}
	return s.policy.Rcpt(ctx, forward, p)
}

func (s *session) rset(context.Context, string) mail.Status {
	s.reset()
	return resetOK
}

func (s *session) noop(context.Context, string) mail.Status { return noop }

// help lists the commands that this connection can use now.
func (s *session) help(context.Context, string) mail.Status {
	text := help.Text
	if s.server.TLS != nil && s.conn.tls == nil {
		text += " STARTTLS"
	}
	if len(s.policy.AuthMechanisms()) > 0 {
		text += " AUTH"
	}
	return help.WithText("%s", text)
}

func (s *session) quit(context.Context, string) mail.Status {
	return closing.WithText("%s closing connection", s.server.Hostname)
}

// vrfy tells nothing of who exists (RFC 5321 §7.3).
func (s *session) vrfy(_ context.Context, argument string) mail.Status {
	if argument == "" {
		return syntaxError.WithText("The syntax is VRFY name")
	}
	return cannotVerify
}

func (s *session) expn(context.Context, string) mail.Status { return notImplemented }

func (s *session) foreign(context.Context, string) mail.Status { return notMail }
