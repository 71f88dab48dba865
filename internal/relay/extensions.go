package relay

import (
	"context"

	"waybill/internal/mail"
)

func (s *session) speaksDSN() bool {
	_, offered := s.conn.client.Extension("DSN")
	return offered
}

func (s *session) speaksUTF8() bool {
	_, offered := s.conn.client.Extension("SMTPUTF8")
	return offered
}

// report is what the sender asked to be told about the recipient at position i, as a host that offers DSN hears it
// (RFC 3461 §5.2.1). Where an alias led here and nobody said ORCPT, we say it, so that the sender is told of the
// address that it wrote.
func (d *delivery) report(i int) mail.Report {
	recipient := d.attempt.Item.Recipients[d.attempt.Recipients[i]]
	r := recipient.Report
	if r.Original == (mail.OriginalRecipient{}) && !recipient.Original.IsNull() {
		r.Original = mail.OriginalRecipient{Type: "rfc822", Address: recipient.Original.String()}
		if !isASCII(recipient.Original) {
			r.Original.Type = "utf-8"
		}
	}
	return r
}

// notInternational is the verdict on a message that needs SMTPUTF8 for a host that does not offer it, or none. Then
// another MX host may take it, which RFC 6531 §3.2 allows to look for; if none does, the message is returned. Clients
// declare SMTPUTF8 for mail that does not need it: so what counts is whether a header field or the reverse-path has
// such characters. The fields of the parts within are not looked for: any octet of 128 or above may be one of theirs.
func (s *session) notInternational(ctx context.Context) verdict {
	if s.speaksUTF8() {
		return verdict{}
	}
	if path := s.attempt.ReversePath(); !isASCII(path) {
		return ours(addressUTF8.WithText("%s does not take the address %s (it does not offer SMTPUTF8)", s.target, path))
	}
	eightBit, err := s.eightBit(ctx)
	switch {
	case err != nil:
		return s.unreadable(err)
	case eightBit:
		return ours(contentUTF8.WithText("%s does not take a header that is not ASCII (it does not offer SMTPUTF8)", s.target))
	}
	return verdict{}
}

// sayable returns those of the recipients at these positions whose addresses this host can be told. The others stay
// open for another host, and fail if there is none, as the whole message would.
func (s *session) sayable(recipients []int) (sayable []int) {
	for _, i := range recipients {
		if path := s.path(i); !isASCII(path) && !s.speaksUTF8() {
			v := ours(addressUTF8.WithText("%s does not take the address %s (it does not offer SMTPUTF8)", s.target, path))
			s.because(v)
			s.attempted(v, "")
			s.events[len(s.events)-1].Recipient = path.String()
			continue
		}
		sayable = append(sayable, i)
	}
	return sayable
}

func isASCII(a mail.Address) bool {
	for i := range len(a.Local) { // a domain is in A-labels
		if a.Local[i] >= 0x80 {
			return false
		}
	}
	return true
}
