package relay

import (
	"context"
	"errors"

	"waybill/internal/mail"
	"waybill/internal/smtp"
)

// transactions sends the message until every open recipient was offered to the host. More than one is needed only
// where a host takes fewer recipients at a time than we have (RFC 5321 §4.5.3.1.10), and has said so or not.
func (s *session) transactions(ctx context.Context) {
	if s.impossible(ctx) {
		return
	}
	offered := s.sayable(s.openRecipients())
	for len(offered) > 0 {
		if s.conn.used >= s.maxTransactions() {
			s.because(ours(tooManyNow.WithText("%s takes no more on this connection: the others have to wait for the next attempt", s.target)))
			return
		}
		n := len(offered)
		if limit := s.conn.client.Limit("RCPTMAX"); limit > 0 {
			n = min(n, limit)
		}
		left, more := s.transaction(ctx, offered[:n])
		if !more {
			return
		}
		if len(left) == n {
			s.because(ours(tooManyNow.WithText("%s takes no recipients at present", s.target)))
			return
		}
		offered = append(left, offered[n:]...)
	}
}

func (d *delivery) openRecipients() []int {
	var open []int
	for i, s := range d.final {
		if s.Code == 0 {
			open = append(open, i)
		}
	}
	return open
}

// impossible says whether this host cannot take the message as it is. Another host may take it, so the open recipients
// are refused for good only if none is left.
func (s *session) impossible(ctx context.Context) bool {
	var v verdict
	if status, tooLarge := s.conn.client.TooLarge(s.attempt.Item.Body.Total()); tooLarge {
		v = ours(status.WithText("%s: %s", s.target, status.Text))
	}
	if v.Code == 0 && s.attempt.Item.UTF8 {
		v = s.notInternational(ctx)
	}
	if v.Code == 0 && s.attempt.Item.BodyType == mail.Body8BitMIME {
		v = s.notConverted(ctx)
	}
	if v.Code == 0 {
		return false
	}
	s.because(v)
	s.attempted(v, "")
	return true
}

// notConverted is the verdict on 8-bit content for a host that does not offer 8BITMIME (RFC 6152 §3), or none. Many
// clients declare BODY=8BITMIME for whatever they send, so what counts is whether such octets are there.
func (s *session) notConverted(ctx context.Context) verdict {
	if _, offered := s.conn.client.Extension("8BITMIME"); offered {
		return verdict{}
	}
	eightBit, err := s.eightBit(ctx)
	switch {
	case err != nil:
		return s.unreadable(err)
	case eightBit:
		return ours(notConverted.WithText("%s takes no 8-bit content (it does not offer 8BITMIME), and the message is not converted", s.target))
	}
	return verdict{}
}

// unreadable is the verdict when the message cannot be read from our own disk.
func (d *delivery) unreadable(err error) verdict {
	d.relay.Logger.Error("message could not be opened", "message", d.attempt.Item.ID, "error", err)
	return ours(localError.WithText("the message could not be read here"))
}

// transaction is one MAIL, RCPT…, DATA for the recipients at those positions. It returns those that the host would
// take in a further transaction, and whether the connection is good for one; if not, those who are left know why.
func (s *session) transaction(ctx context.Context, offered []int) (left []int, more bool) {
	content, err := s.relay.Content(ctx, s.attempt)
	if err != nil {
		s.because(s.unreadable(err))
		return nil, false
	}
	defer content.Close()
	tx := s.envelope(offered)
	tx.Content = content
	results, err := s.conn.client.Send(ctx, tx)
	if s.stale = s.before > 0 && s.conn.used == s.before && err != nil && !results.Mail.Success() && !results.Unknown; s.stale {
		return nil, false
	}
	s.conn.used++
	if !results.Mail.Success() && !results.Unknown {
		v := s.words(results.Mail, err)
		s.attempted(v, "")
		if v.Permanent() {
			s.refuse(v)
		} else {
			s.because(v)
		}
		return nil, false
	}
	return s.settleAll(offered, results, err)
}

// settleAll gives the recipients at those positions what the host answered; and notes why others are not offered to it.
func (s *session) settleAll(offered []int, results smtp.Results, err error) (left []int, more bool) {
	switch {
	case err != nil:
		s.because(s.words(mail.StatusOf(err), err))
	case results.Data.Temporary(): // so it would be of every copy
		s.because(s.words(results.Data, nil))
	default:
		more = true
	}
	for k, i := range offered {
		switch rcpt := results.Recipients[k]; {
		case results.MayHave(k):
			s.recipient(i, s.ending(results, err))
			s.final[i] = s.last[i] // no other host is tried now: that would make the duplicate certain
		case tooMany(rcpt):
			left = append(left, i)
			s.last[i] = s.words(rcpt, err)
		case !rcpt.Success():
			s.recipient(i, s.words(rcpt, err))
		default:
			s.recipient(i, s.ending(results, err))
		}
	}
	return left, more
}

// envelope is the transaction for the recipients at those positions, without the content.
func (s *session) envelope(offered []int) smtp.Transaction {
	item := s.attempt.Item
	tx := smtp.Transaction{
		ReversePath: s.attempt.ReversePath(), DSN: item.DSN, UTF8: item.UTF8 && s.speaksUTF8(),
		Body: item.BodyType, Size: item.Body.Total(),
	}
	for _, i := range offered {
		tx.Recipients = append(tx.Recipients, s.path(i))
		tx.Reports = append(tx.Reports, s.report(i))
	}
	return tx
}

// ending is what a recipient that the host accepted got in the end.
func (s *session) ending(results smtp.Results, err error) verdict {
	if !results.Unknown {
		v := s.words(results.Data, err)
		v.passed = v.Success() && s.speaksDSN()
		return v
	}
	if errors.Is(err, smtp.ErrUnsolicited) {
		return ours(badProtocol.WithText("%s replied twice to the whole message: it may have taken it, and then the next attempt "+
			"delivers it twice", s.target))
	}
	return ours(badConnection.WithText("%s: the connection was lost after the whole message was sent and before the reply: "+
		"the host may have taken it, and then the next attempt delivers it twice", s.target))
}

// tooMany is the reply to a recipient beyond the host's limit: 452, or 552 by the mistake of RFC 821 (RFC 5321
// §4.5.3.1.10).
func tooMany(s mail.Status) bool {
	return s.Code == 452 && (s.Enhanced == (mail.Enhanced{}) || s.Enhanced == (mail.Enhanced{4, 5, 3})) ||
		s.Code == 552 && s.Enhanced == (mail.Enhanced{5, 5, 3})
}
