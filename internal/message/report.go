package message

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"waybill/internal/mail"
)

// Action is what became of a message for one recipient (RFC 3464 §2.3.3).
type Action string

const (
	ActionFailed    Action = "failed"
	ActionDelayed   Action = "delayed"
	ActionDelivered Action = "delivered"
)

// Report is a delivery status notification (RFC 3464): a message with a null reverse-path that tells the sender of
// another message what became of it. Its parts are a text for a person, the same for programs, and the header of the
// message that it is about. It is 7-bit throughout, so that every host takes it.
type Report struct {
	ReportingMTA string       // host name of the server that reports
	ID           mail.ID      // of the report
	Original     mail.ID      // of the message that it is about, in this server's custody
	To           mail.Address // that message's reverse-path
	Date         time.Time    // zero: when ID was drawn
	ArrivalDate  time.Time    // when this server took the message
	Recipients   []ReportRecipient
	Header       []byte // of the message, as far as it is to be quoted; at most MaxQuoted octets are
}

// ReportRecipient is what became of one recipient.
type ReportRecipient struct {
	ForwardPath mail.Address // as it was tried
	Original    mail.Address // as the sender gave it; null if that is the same
	Action      Action
	Status      mail.Status // the outcome
	RemoteMTA   string      // host that gave Diagnostic; "" if this server decided by itself
	Diagnostic  mail.Status // that host's last words
	LastAttempt time.Time
	Explanation string // why this server gave up, if not by that host's words alone; may be empty
}

// MaxQuoted bounds what a report quotes of the header, in octets.
const MaxQuoted = 32 << 10

// maxSaid bounds what a report repeats of a host's words, in octets.
const maxSaid = 400

// Bytes returns the report with its header and CR LF line ends, ready for the spool.
func (r Report) Bytes() []byte {
	text, textEncoding := encodeText(r.text())
	quoted, quotedEncoding := encodeText(r.quoted())
	status := r.deliveryStatus()
	boundary := r.boundary(text, status, quoted)

	var b bytes.Buffer
	b.WriteString(r.header(boundary))
	b.WriteString("This is a report in several parts (MIME). The first one is for you.\r\n")
	part := func(contentType, description, encoding string, content []byte) {
		fmt.Fprintf(&b, "\r\n--%s\r\nContent-Type: %s\r\nContent-Description: %s\r\nContent-Transfer-Encoding: %s\r\n\r\n",
			boundary, contentType, description, encoding)
		b.Write(content)
	}
	part("text/plain; charset=utf-8", "What happened", textEncoding, text)
	part("message/delivery-status", "The same for programs", "7bit", status)
	part("text/rfc822-headers", "Header of the message", quotedEncoding, quoted)
	fmt.Fprintf(&b, "\r\n--%s--\r\n", boundary)
	return b.Bytes()
}

// header is the report's own header (RFC 5321 §4.5.5, RFC 3834 §3.1, RFC 6522 §3).
func (r Report) header(boundary string) string {
	date := r.Date
	if date.IsZero() {
		date = r.ID.Time()
	}
	var b strings.Builder
	from := newFolder("From", " ")
	from.words("Mail Delivery System")
	from.word("<MAILER-DAEMON@" + helloWord(r.ReportingMTA) + ">")
	b.WriteString(from.end())
	b.WriteString(addresses("To", r.To))
	b.WriteString(unstructured("Subject", r.subject()))
	b.WriteString(Date(date))
	b.WriteString(MessageID(r.ID, r.ReportingMTA))
	if id := First(r.Header, "Message-ID"); isMessageID(id) { // so that mail clients show both together
		b.WriteString("In-Reply-To: " + id + "\r\nReferences: " + id + "\r\n")
	}
	b.WriteString("Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n")
	fmt.Fprintf(&b, "Content-Type: multipart/report; report-type=delivery-status;\r\n boundary=\"%s\"\r\n\r\n", boundary)
	return b.String()
}

func (r Report) subject() string {
	switch {
	case r.all(ActionDelivered):
		return "Your message was delivered"
	case r.all(ActionDelayed):
		return "Your message is delayed; it is tried again"
	case r.all(ActionFailed):
		return "Your message was not delivered"
	}
	return "What became of your message"
}

func (r Report) all(a Action) bool {
	for _, recipient := range r.Recipients {
		if recipient.Action != a {
			return false
		}
	}
	return len(r.Recipients) > 0
}

// isMessageID says whether a stranger's Message-ID may be repeated as it is.
func isMessageID(id string) bool {
	return len(id) > 2 && len(id) <= 250 && id[0] == '<' && id[len(id)-1] == '>' && ascii(id, len(id)) == id &&
		!strings.ContainsAny(id[1:len(id)-1], "<> ")
}

// deliveryStatus is the part for programs (RFC 3464 §2).
func (r Report) deliveryStatus() []byte {
	var b bytes.Buffer
	field := func(name, value string) {
		f := newFolder(name, " ")
		f.words(value)
		b.WriteString(f.end())
	}
	// An address is one word, whatever it holds: it stays as it was (RFC 3464 §2.3.2).
	address := func(name string, a mail.Address) {
		f := newFolder(name, " ")
		f.words("rfc822;")
		f.word(a.String())
		b.WriteString(f.end())
	}
	field("Reporting-MTA", "dns; "+helloWord(r.ReportingMTA))
	if r.Original != "" {
		field("X-Waybill-ID", string(r.Original))
	}
	if !r.ArrivalDate.IsZero() {
		field("Arrival-Date", dateTime(r.ArrivalDate))
	}
	for _, p := range r.Recipients {
		b.WriteString("\r\n")
		if !p.Original.IsNull() && p.Original != p.ForwardPath {
			address("Original-Recipient", p.Original)
		}
		address("Final-Recipient", p.ForwardPath)
		field("Action", string(p.Action))
		field("Status", statusCode(p))
		if p.RemoteMTA != "" {
			field("Remote-MTA", "dns; "+helloWord(p.RemoteMTA))
		}
		if p.Diagnostic.Code != 0 {
			field("Diagnostic-Code", "smtp; "+ascii(p.Diagnostic.String(), maxSaid))
		}
		if !p.LastAttempt.IsZero() {
			field("Last-Attempt-Date", dateTime(p.LastAttempt))
		}
	}
	return b.Bytes()
}

// statusCode is the enhanced code, or the general one of the reply's class where the host gave none (RFC 3464 §2.3.4).
func statusCode(p ReportRecipient) string {
	if e := p.Status.Enhanced.String(); e != "" {
		return e
	}
	switch class := p.Status.Code / 100; {
	case class == 2 || class == 4 || class == 5:
		return fmt.Sprintf("%d.0.0", class)
	case p.Action == ActionDelivered:
		return "2.0.0"
	case p.Action == ActionDelayed:
		return "4.0.0"
	}
	return "5.0.0"
}

// quoted is the header of the message, cut behind a line.
func (r Report) quoted() []byte {
	quoted := r.Header
	if len(quoted) > MaxQuoted {
		quoted = quoted[:bytes.LastIndexByte(quoted[:MaxQuoted], '\n')+1]
	}
	return crlf(bytes.Clone(quoted))
}

// boundary returns a line that none of the parts has.
func (r Report) boundary(parts ...[]byte) string {
	for n := 0; ; n++ {
		boundary := fmt.Sprintf("=_report_%s_%d", r.ID, n)
		used := false
		for _, part := range parts {
			used = used || bytes.Contains(part, []byte(boundary))
		}
		if !used {
			return boundary
		}
	}
}
