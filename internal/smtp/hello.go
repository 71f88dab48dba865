package smtp

import (
	"context"
	"strconv"
	"strings"

	"waybill/internal/mail"
)

func (s *session) helo(ctx context.Context, argument string) mail.Status {
	return s.hello(ctx, argument, false)
}

func (s *session) ehlo(ctx context.Context, argument string) mail.Status {
	return s.hello(ctx, argument, true)
}

// hello takes the client's name and ends a transaction under way. If it is refused, everything stays as it
// was (RFC 5321 §4.1.4).
func (s *session) hello(ctx context.Context, argument string, extended bool) mail.Status {
	name, err := ParseHello(argument)
	if err != nil {
		return mail.StatusOf(err)
	}
	status := s.policy.Hello(ctx, name, extended)
	if !status.Success() {
		return status
	}
	s.conn.extended = extended
	s.state = ready
	s.reset()
	if extended {
		status.Text += s.extensions()
	}
	status.Enhanced = mail.Enhanced{} // RFC 2034 §4: not in replies to HELO and EHLO
	return status
}

// extensions returns what EHLO offers, each on a line of its own.
func (s *session) extensions() string {
	var b strings.Builder
	b.Grow(192)
	b.WriteString("\nPIPELINING\nSIZE ")
	b.WriteString(strconv.FormatInt(s.limits.MessageSize, 10))
	b.WriteString("\n8BITMIME\nSMTPUTF8\nCHUNKING\nDSN\nENHANCEDSTATUSCODES\nLIMITS RCPTMAX=")
	b.WriteString(strconv.Itoa(s.limits.Recipients)) // RFC 9422; there is no MAILMAX: a session may send on
	if s.server.TLS != nil && s.conn.tls == nil {
		b.WriteString("\nSTARTTLS")
	}
	s.lineLimit = s.limits.CommandLine
	if mechanisms := s.policy.AuthMechanisms(); len(mechanisms) > 0 {
		b.WriteString("\nAUTH " + strings.Join(mechanisms, " "))
		s.lineLimit = max(s.limits.AuthLine, s.limits.CommandLine)
	}
	b.WriteString("\nHELP")
	return b.String()
}
