package smtp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"waybill/internal/dialogue"
)

// inOneGroup says whether a transaction may go out in one group of commands, the content included (RFC 3030 §4.2): that is
// one round trip. What is on its way must fit into the buffers between the two sides (RFC 2920 §3.1). If the connection
// breaks then, nobody knows whether the message was taken; so one that has been idle must be known to be open.
func (c *Client) inOneGroup(s *sending) bool {
	return s.pipelining && c.offers("CHUNKING") && s.Size > 0 && s.Size <= maxGrouped && len(s.Recipients) <= groupSize &&
		(!c.used || len(c.line.Buffered()) == 0 && dialogue.Quiet(c.nc))
}

// maxGrouped is the size of content, in octets, up to which it is sent before anybody is known to be accepted.
const maxGrouped = 64 << 10

// oneGroup sends MAIL, RCPT for all and the content, and reads the replies.
func (c *Client) oneGroup(ctx context.Context, s *sending) error {
	if err := c.begin(ctx, s); err != nil {
		return err
	}
	for i := range s.Recipients {
		c.send(c.rcptCommand(s, i))
	}
	if c.broken != nil {
		return c.broken
	}
	return c.oneChunk(ctx, s)
}

// groupEnding reads the replies to a group that went out as a whole, and says whether the one to the content, which is left
// then, is for somebody. Where replies are missing, the message may have been taken.
func (c *Client) groupEnding(ctx context.Context, s *sending) (wanted bool, err error) {
	t := c.o.Timeouts
	err = c.envelopeReplies(ctx, s, t.Mail, t.Rcpt)
	if err == nil {
		err = c.broken
	}
	if err != nil { // 421 is no doubt, if the server means it: it ends before it comes to the content
		s.results.Unknown = s.results.inDoubt() && (!errors.Is(err, errServiceClosing) || c.goesOn())
		return false, err
	}
	if s.results.anyAccepted() {
		return true, nil
	}
	status, err := c.reply(ctx, t.DataEnd)
	if err == nil && !status.Permanent() && !status.Temporary() {
		c.breakDown(fmt.Errorf("%w: %s to a message for nobody", errMalformedReply, status))
		err = c.broken
	}
	return false, err // the transaction is still open there: RSET is due
}

// goesOn says whether a server takes something although it has said that it ends.
func (c *Client) goesOn() bool {
	for range groupSize + 1 {
		code, _, err := readReply(c.line, time.Now().Add(c.o.Timeouts.Quit))
		if err != nil || code/100 == 2 {
			return err == nil
		}
	}
	return false
}

// envelopeReplies reads the replies to MAIL and to RCPT for all.
func (c *Client) envelopeReplies(ctx context.Context, s *sending, mailWait, rcptWait time.Duration) error {
	status, err := c.reply(ctx, mailWait)
	s.results.Mail = answer(status)
	for i := range s.Recipients {
		if err != nil {
			return err
		}
		if status, err = c.reply(ctx, rcptWait); err == nil {
			s.results.answer(i, status)
		}
	}
	return err
}
