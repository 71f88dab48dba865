package smtp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"waybill/internal/dialogue"
	"waybill/internal/mail"
)

// Transaction is one message to send.
type Transaction struct {
	ReversePath mail.Address
	Recipients  []mail.Address
	Reports     []mail.Report // one for each of Recipients, or fewer; said if the server offers DSN
	DSN         mail.DSN      // said if the server offers DSN
	UTF8        bool          // the header needs SMTPUTF8; an address that does is seen anyway
	Body        mail.BodyType // declared if the server offers 8BITMIME; else the content is sent as it is
	Size        int64         // octets of Content; 0: not known
	Content     io.WriterTo   // with CR LF line ends; asked for once at most
}

// Results are the server's answers. When Send returns an error, what got no answer carries its status.
type Results struct {
	Mail       mail.Status
	Recipients []mail.Status // one for each of the transaction's, in their order; if MAIL was refused, its status
	Data       mail.Status   // the reply to the dot, or to DATA; zero if no recipient was accepted
	// Unknown says that the connection was lost after the whole content and before the reply to it, or that there were two
	// replies (then the error is ErrUnsolicited): the server may have taken the message. Sending it again may deliver it
	// twice (RFC 1047).
	Unknown  bool
	answered int // of Recipients, from the first
}

// MayHave says whether the message may have been taken for the recipient at position i although there was no reply.
func (r *Results) MayHave(i int) bool {
	return r.Unknown && (i >= r.answered || r.Recipients[i].Success())
}

// inDoubt is what Unknown says if the server has the whole content.
func (r *Results) inDoubt() bool {
	return (r.Mail.Code == 0 || r.Mail.Success()) && (r.answered < len(r.Recipients) || r.anyAccepted())
}

// answer notes the reply to RCPT for the recipient at position i, the next one.
func (r *Results) answer(i int, status mail.Status) {
	r.Recipients[i], r.answered = answer(status), i+1
}

// groupSize is how many RCPT are sent before their replies are read. So both directions fit into the socket
// buffers and neither side waits for the other for ever (RFC 2920 §3.1).
const groupSize = 50

// Send sends one message. Refusals are no error; they stand in the results. An error means that the
// connection is of no more use: it broke, the server ended it (421) or spoke unasked (ErrUnsolicited), or, with errors.Is(err, ErrBareLineEnd), the
// content turned out to be none that may be sent. A message that needs SMTPUTF8 is not offered to a server without it: the
// status of MAIL is 550 5.6.7 then.
func (c *Client) Send(ctx context.Context, t Transaction) (Results, error) {
	s := &sending{Transaction: t, utf8: t.needsUTF8(), results: Results{Recipients: make([]mail.Status, len(t.Recipients))}}
	if len(t.Recipients) == 0 {
		return s.results, &mail.Error{Status: noRecipients, Err: errors.New("a transaction needs a recipient")}
	}
	s.pipelining = c.offers("PIPELINING")
	s.grouped = c.inOneGroup(s)
	s.chunk = s.grouped || c.offers("CHUNKING") && t.Size >= chunkFrom
	defer c.watch(ctx)()
	var err error
	if status, tooLarge := c.TooLarge(t.Size); tooLarge {
		s.results.Mail = status
	} else if s.utf8 && !c.offers("SMTPUTF8") { // RFC 6531 §3.2: then it must not be sent
		s.results.Mail = noUTF8
	} else {
		err = c.transact(ctx, s)
		c.used = true
	}
	if err == nil {
		err = c.broken
	}
	s.results.fillIn(err)
	return s.results, err
}

// sending is a transaction under way.
type sending struct {
	Transaction
	results    Results
	pipelining bool
	utf8       bool // SMTPUTF8 is needed
	dataSent   bool // DATA went out with the last group of RCPT
	chunk      bool // the content goes as one chunk, by BDAT
	grouped    bool // with MAIL and RCPT, before their replies
}

// fillIn gives an answer to everything that got none.
func (r *Results) fillIn(err error) {
	status := mail.StatusOf(err)
	if r.Mail.Code == 0 {
		r.Mail = status
	}
	for i := range r.Recipients {
		if !r.Mail.Success() {
			r.Recipients[i] = r.Mail
		} else if r.Recipients[i].Code == 0 {
			r.Recipients[i] = status
		}
	}
	if err != nil && r.Data.Code == 0 {
		r.Data = status
	}
}

// anyAccepted says whether somebody is to get the message.
func (r *Results) anyAccepted() bool {
	return r.Mail.Success() && slices.ContainsFunc(r.Recipients, mail.Status.Success)
}

// transact sends MAIL, RCPT and DATA, and the content if anybody is to get it.
func (c *Client) transact(ctx context.Context, s *sending) error {
	if s.grouped {
		return c.oneGroup(ctx, s)
	}
	if err := c.begin(ctx, s); err != nil {
		return err
	}
	if err := c.recipients(ctx, s); err != nil {
		return err
	}
	wanted := s.results.anyAccepted()
	switch {
	case wanted && s.chunk:
		return c.oneChunk(ctx, s)
	case s.dataSent:
	case wanted:
		c.send("DATA")
	default:
		return nil
	}
	return c.data(ctx, s, wanted)
}

// begin sends MAIL, after RSET if the last transaction may still be open. When pipelining it reads no reply yet.
func (c *Client) begin(ctx context.Context, s *sending) error {
	if c.dirty {
		status, err := c.command(ctx, c.o.Timeouts.Command, "RSET")
		if err == nil {
			err = require(status, 250)
		}
		if err != nil {
			return err
		}
	}
	c.dirty = true
	c.send(c.mailCommand(s))
	if s.pipelining {
		return nil
	}
	return c.mailReply(ctx, s)
}

func (c *Client) mailReply(ctx context.Context, s *sending) error {
	status, err := c.reply(ctx, c.o.Timeouts.Mail)
	s.results.Mail = answer(status)
	return err
}

// recipients sends RCPT for all, in groups when pipelining, the last one with DATA. It stops when MAIL was refused.
func (c *Client) recipients(ctx context.Context, s *sending) error {
	size := 1
	if s.pipelining {
		size = groupSize
	}
	for from := 0; from < len(s.Recipients); from += size {
		if !s.pipelining && !s.results.Mail.Success() || from > 0 && !s.results.Mail.Success() {
			return nil
		}
		if err := c.group(ctx, s, from, min(from+size, len(s.Recipients))); err != nil {
			return err
		}
	}
	return nil
}

// group sends RCPT for the recipients [from, to) and reads the replies.
func (c *Client) group(ctx context.Context, s *sending, from, to int) error {
	for i := range s.Recipients[from:to] {
		c.send(c.rcptCommand(s, from+i))
	}
	if s.pipelining && !s.chunk && to == len(s.Recipients) {
		c.send("DATA")
		s.dataSent = true
	}
	if s.pipelining && from == 0 {
		if err := c.mailReply(ctx, s); err != nil {
			return err
		}
	}
	for i := from; i < to; i++ {
		status, err := c.reply(ctx, c.o.Timeouts.Rcpt)
		if err != nil {
			return err
		}
		s.results.answer(i, status)
	}
	return nil
}

// answer makes a temporary failure of a reply that makes no sense where it stands; none stays none.
func answer(status mail.Status) mail.Status {
	if status.Code/100 != 3 {
		return status
	}
	return mail.NewStatus(451, "4.5.0", "the server gave an unexpected reply: "+status.String())
}

// data reads the reply to DATA and sends the content if it is wanted.
func (c *Client) data(ctx context.Context, s *sending, wanted bool) error {
	status, err := c.reply(ctx, c.o.Timeouts.Data)
	switch {
	case err != nil:
		return err
	case status.Code == 354 && wanted:
		return c.content(ctx, s)
	case status.Code == 354 && s.results.Mail.Success():
		return c.lonelyDot(ctx)
	case status.Code == 354: // although MAIL was refused: this server is confused, and a dot could deliver something
		c.breakDown(fmt.Errorf("%w: 354 although MAIL was refused", errMalformedReply))
		return c.broken
	case wanted && status.Success(): // no go-ahead, and no refusal either
		c.breakDown(fmt.Errorf("%w: %s to DATA", errMalformedReply, status))
		return c.broken
	case wanted:
		s.results.Data = answer(status)
	}
	return nil
}

// lonelyDot ends a DATA that was sent ahead although all recipients came to be refused (RFC 2920 §3.1).
func (c *Client) lonelyDot(ctx context.Context) error {
	_, err := c.command(ctx, c.o.Timeouts.DataEnd, ".")
	return err
}

// content sends the content and the dot. To a server that speaks before the dot the dot is not sent.
func (c *Client) content(ctx context.Context, s *sending) error {
	if c.line.Ahead() {
		c.spokeUnasked()
		return c.broken
	}
	w := &dotWriter{line: c.line, pace: c.pace(), lineStart: true}
	_, err := s.Content.WriteTo(w)
	if err == nil {
		err = w.finish()
	}
	if err == nil && c.line.Ahead() {
		err = ErrUnsolicited
	}
	if err == nil {
		c.line.Transcript.Add(dialogue.Note, fmt.Sprintf("(message: %d octets)", w.size))
		c.sendNow(".", ".")
		if err = c.line.Flush(); err != nil { // then the dot is not out either
			err = fmt.Errorf("%w: %w", errWrite, err)
		}
	}
	if err != nil {
		return c.contentFailed(ctx, s, err)
	}
	return c.ending(ctx, s)
}

// ending reads what the server says to the whole message.
func (c *Client) ending(ctx context.Context, s *sending) error {
	if s.grouped {
		if wanted, err := c.groupEnding(ctx, s); !wanted {
			return err
		}
	}
	c.line.Narrow() // the server may take its time, and the connection may be kept
	status, err := c.reply(ctx, c.o.Timeouts.DataEnd)
	if err != nil {
		s.results.Unknown = true
		return err
	}
	if c.line.Ahead() && !bytes.HasPrefix(c.line.Buffered(), []byte("421")) { // which of the two counts, nobody knows
		s.results.Unknown = true
		c.spokeUnasked()
		return c.broken
	}
	s.results.Data = answer(status)
	c.dirty = s.chunk && !status.Success() // after a chunk that was refused RSET is due (RFC 3030 §2)
	return nil
}

// chunkFrom is the size of content, in octets, from which on it goes by BDAT where that is offered: the dots of a long
// message need not be looked for, and neither way takes more round trips than the other. Shorter content that fits into
// one group goes so too.
const chunkFrom = 64 << 10

// oneChunk sends the content as one chunk, the last one (RFC 3030 §2).
func (c *Client) oneChunk(ctx context.Context, s *sending) error {
	c.send(fmt.Sprintf("BDAT %d LAST", s.Size))
	if c.broken != nil {
		return c.broken
	}
	w := &chunkWriter{line: c.line, pace: c.pace(), size: s.Size, left: s.Size, grouped: s.grouped}
	_, err := s.Content.WriteTo(w)
	if err == nil {
		err = w.finish()
	}
	if err == nil {
		c.line.Transcript.Add(dialogue.Note, fmt.Sprintf("(message: %d octets)", s.Size))
		if err = c.line.Flush(); err != nil {
			err = fmt.Errorf("%w: %w", errWrite, err)
		}
	}
	if err != nil {
		return c.contentFailed(ctx, s, err)
	}
	return c.ending(ctx, s)
}

// pace is that of content which begins now.
func (c *Client) pace() pace {
	return pace{began: time.Now(), grace: c.o.Timeouts.DataBlock, rate: c.o.ContentRate}
}

// contentFailed ends a connection in the middle of the content: only that keeps the server from taking half a
// message for a whole one. If it was the server that gave up, its last words are the result, unless it says that it has
// taken what it has not.
func (c *Client) contentFailed(ctx context.Context, s *sending, err error) error {
	if !errors.Is(err, errWrite) && !errors.Is(err, ErrUnsolicited) {
		c.breakDown(err)
		switch {
		case errors.Is(err, errTooSlow): // the server's fault, and said
		case errors.Is(err, ErrBareLineEnd):
			c.broken = err
		default:
			c.broken = brokenError("4.3.0", "the content could not be read", err)
		}
		return c.broken
	}
	if s.grouped {
		if err := c.envelopeReplies(ctx, s, c.o.Timeouts.Quit, c.o.Timeouts.Quit); err != nil {
			return err
		}
	}
	status, _, replyErr := c.readReply(ctx, c.o.Timeouts.Quit, err)
	if replyErr != nil {
		return replyErr
	}
	if c.broken == nil {
		c.breakDown(err)
	}
	if s.results.Data = answer(status); status.Success() { // to half a message
		s.results.Data = mail.StatusOf(c.broken)
	}
	return c.broken
}
