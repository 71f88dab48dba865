package relay

import (
	"context"
	"strings"

	"waybill/internal/mail"
	"waybill/internal/smtp"
)

// transactions sends the message until every open recipient was offered to the host. More than one is needed only
// where a host takes fewer recipients at a time than we have (RFC 5321 §4.5.3.1.10).
func (s *session) transactions(ctx context.Context) {
	if s.impossible() {
		return
	}
	offered := s.openRecipients()
	for len(offered) > 0 {
		left, more := s.transaction(ctx, offered)
		if !more || len(left) >= len(offered) {
			return
		}
		offered = left
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

// impossible ends the open recipients if this host cannot take the message as it is.
func (s *session) impossible() bool {
	item := s.attempt.Item
	var status mail.Status
	if item.BodyType == mail.Body8BitMIME {
		if _, ok := s.client.Extension("8BITMIME"); !ok {
			status = notConverted.WithText("%s takes no 8-bit content (it does not offer 8BITMIME), and the message is not converted", s.target)
		}
	}
	if limit, ok := s.client.Extension("SIZE"); ok {
		if n := parseSize(limit); n > 0 && item.Body.Total() > n {
			status = tooBig.WithText("the message has %d octets, %s takes at most %d", item.Body.Total(), s.target, n)
		}
	}
	if status.Code == 0 {
		return false
	}
	s.attempted(ours(status), "")
	s.refuse(ours(status))
	return true
}

// parseSize reads the parameter of SIZE; 0 means that there is no limit (RFC 1870 §4).
func parseSize(param string) int64 {
	var n int64
	for _, c := range []byte(strings.TrimSpace(param)) {
		if c < '0' || c > '9' || n > 1<<50 {
			return 0
		}
		n = n*10 + int64(c-'0')
	}
	return n
}

// transaction is one MAIL, RCPT…, DATA for the recipients at those positions. It returns those that the host would
// take in a further transaction, if the connection is good for one.
func (s *session) transaction(ctx context.Context, offered []int) (left []int, more bool) {
	item := s.attempt.Item
	content, err := s.relay.Content(ctx, item)
	if err != nil {
		s.relay.Logger.Error("message could not be opened", "message", item.ID, "error", err)
		s.because(ours(localError.WithText("the message could not be read here")))
		return nil, false
	}
	defer content.Close()
	tx := smtp.Transaction{ReversePath: item.ReversePath, Body: item.BodyType, Size: item.Body.Total(), Content: content}
	for _, i := range offered {
		tx.Recipients = append(tx.Recipients, s.path(i))
	}
	results, err := s.client.Send(ctx, tx)
	if !results.Mail.Success() {
		v := s.words(results.Mail, err)
		s.attempted(v, "")
		if v.Permanent() {
			s.refuse(v)
		} else {
			s.because(v)
		}
		return nil, false
	}
	for k, i := range offered {
		switch rcpt := results.Recipients[k]; {
		case tooMany(rcpt):
			left = append(left, i)
			s.last[i] = s.words(rcpt, err)
		case !rcpt.Success():
			s.recipient(i, s.words(rcpt, err))
		default:
			s.recipient(i, s.ending(results, err))
			if results.Unknown {
				s.final[i] = s.last[i] // no other host is tried now: that would make the duplicate certain
			}
			more = more || results.Data.Success()
		}
	}
	return left, more && err == nil
}

// ending is what a recipient that the host accepted got in the end.
func (s *session) ending(results smtp.Results, err error) verdict {
	if !results.Unknown {
		return s.words(results.Data, err)
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
