package message

import (
	"fmt"
	"io"
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
	ActionRelayed   Action = "relayed"  // handed to a host that sends no reports
	ActionExpanded  Action = "expanded" // an alias, passed on to its several addresses
)

// Report is a delivery status notification (RFC 3464): a message with a null reverse-path that tells the sender of
// another message what became of it. Its parts are a text for a person, the same for programs, and the message that it
// is about, or its header. It is 7-bit, so that every host takes it, unless what it returns is not, or an address.
type Report struct {
	ReportingMTA string       // host name of the server that reports
	ID           mail.ID      // of the report
	Original     mail.ID      // of the message that it is about, in this server's custody
	EnvelopeID   string       // ENVID of that message; "" if it has none
	To           mail.Address // that message's reverse-path
	Date         time.Time    // zero: when ID was drawn
	ArrivalDate  time.Time    // when this server took the message
	Recipients   []ReportRecipient
	Header       []byte // of the message, as far as it is to be quoted; at most MaxQuoted octets are
	// Message writes the whole message, which is then returned instead of Header. It is called more than once. nil:
	// only the header is returned.
	Message func(io.Writer) error
	// International says that the message needed SMTPUTF8, so its sender can take a report that does (RFC 6533).
	International bool
}

// ReportRecipient is what became of one recipient.
type ReportRecipient struct {
	ForwardPath mail.Address           // as it was tried
	Original    mail.Address           // as the sender gave it; null if that is the same
	ORCPT       mail.OriginalRecipient // as it was first said, which goes before Original; zero if it was not
	Action      Action
	Status      mail.Status // the outcome
	RemoteMTA   string      // host that gave Diagnostic; "" if this server decided by itself
	Diagnostic  mail.Status // that host's last words
	LastAttempt time.Time
	RetryUntil  time.Time // when a delayed one is given up; else zero
	Explanation string    // why this server gave up, if not by that host's words alone; may be empty
}

// MaxQuoted bounds what a report quotes of the header, in octets.
const MaxQuoted = 32 << 10

// maxSaid bounds what a report repeats of a host's words, in octets.
const maxSaid = 400

// Needs is what a report demands of the hosts that carry it.
type Needs struct {
	Body mail.BodyType
	UTF8 bool // SMTPUTF8
}

// part is a part of a report.
type part struct {
	contentType, description, encoding string

	content []byte
	stream  func(io.Writer) error // instead of content, if that is nil
}

// Write writes the report with its header and CR LF line ends, as the spool wants it. Errors are those of w and of
// r.Message, which is read a first time before anything is written.
func (r Report) Write(w io.Writer) (needs Needs, err error) {
	needs.UTF8 = r.isGlobal()
	text := part{contentType: "text/plain; charset=utf-8", description: "What happened"}
	text.content, text.encoding = encodeText(r.text())
	status := part{contentType: "message/delivery-status", description: "The same for programs", encoding: "7bit"}
	if needs.UTF8 {
		status.contentType, status.encoding = "message/global-delivery-status", "8bit"
	}
	status.content = r.deliveryStatus(needs.UTF8)
	returned, err := r.returned(needs.UTF8)
	if err != nil {
		return Needs{}, fmt.Errorf("read the message: %w", err)
	}
	parts := []part{text, status, returned}
	boundary, err := r.boundary(parts)
	if err != nil {
		return Needs{}, fmt.Errorf("read the message: %w", err)
	}
	if needs.UTF8 || returned.encoding == "8bit" {
		needs.Body = mail.Body8BitMIME
	}
	return needs, r.write(w, boundary, parts)
}

func (r Report) write(w io.Writer, boundary string, parts []part) error {
	head := r.header(boundary) + "This is a report in several parts (MIME). The first one is for you.\r\n"
	if _, err := io.WriteString(w, head); err != nil {
		return err
	}
	for _, p := range parts {
		_, err := fmt.Fprintf(w, "\r\n--%s\r\nContent-Type: %s\r\nContent-Description: %s\r\nContent-Transfer-Encoding: %s\r\n\r\n",
			boundary, p.contentType, p.description, p.encoding)
		if err == nil {
			err = p.write(w)
		}
		if err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "\r\n--%s--\r\n", boundary)
	return err
}

func (p part) write(w io.Writer) error {
	if p.stream != nil {
		return p.stream(w)
	}
	_, err := w.Write(p.content)
	return err
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
	case r.all(ActionRelayed):
		return "Your message was passed on"
	case r.all(ActionExpanded):
		return "Your message was passed on to several addresses"
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
