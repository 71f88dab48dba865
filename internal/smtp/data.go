package smtp

import (
	"context"
	"errors"

	"waybill/internal/dialogue"
	"waybill/internal/mail"
)

// data takes the content of a message (RFC 5321 §4.1.1.4). Whatever happens, the transaction is over then.
func (s *session) data(ctx context.Context, _ string) mail.Status {
	s.reply(startMail)
	if err := s.line.Flush(); err != nil {
		return s.breakOff(err)
	}
	c := newContent(s.line, s.limits, s.server.NormaliseLineEnds)
	status := s.policy.Data(ctx, c)
	endless := c.drain(!status.Success())
	s.dotSeen = c.ended
	s.reset()
	if status.Success() {
		s.junk = 0
	}
	return s.dataStatus(c, status, endless)
}

// dataStatus is the reply to the dot, or to a chunk. A message that is broken is refused whatever policy says of it.
func (s *session) dataStatus(c *content, status mail.Status, endless bool) mail.Status {
	if dialogue.IsTimeout(c.lost) {
		return timedOut
	}
	if c.lost != nil {
		return s.breakOff(c.lost)
	}
	s.hangUp = s.hangUp || endless
	switch {
	case errors.Is(c.fault, ErrTooLarge):
		return messageTooLarge.WithText("Message size exceeds the limit of %d octets", s.limits.MessageSize)
	case c.fault != nil:
		return mail.StatusOf(c.fault)
	}
	return status
}

// breakOff says that the connection broke inside a command: there is nobody to reply to.
func (s *session) breakOff(err error) mail.Status {
	s.lost = err
	return mail.Status{}
}
