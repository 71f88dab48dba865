package message

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"waybill/internal/mail"
)

// Letter is a message of plain text that a person writes.
type Letter struct {
	From      mail.Address   // required
	To        []mail.Address // at least one
	Subject   string         // UTF-8, one line
	Body      string         // UTF-8, with any line ends
	Date      time.Time      // zero: now
	MessageID string         // without angle brackets; "": a random one at the domain of From
	Extra     []Extra        // further fields, below the others
}

// Extra is a header field of free text.
type Extra struct{ Name, Value string }

// Bytes returns the message (RFC 5322, RFC 2045) in 7-bit form with CR LF line ends. Errors name what is missing or
// cannot stand in a header.
func (l Letter) Bytes() ([]byte, error) {
	if err := l.check(); err != nil {
		return nil, err
	}
	date, id := l.Date, l.MessageID
	if date.IsZero() {
		date = time.Now()
	}
	if id == "" {
		id = strings.ToLower(rand.Text()) + "@" + l.From.Domain
	}
	var b bytes.Buffer
	b.WriteString(addresses("From", l.From))
	b.WriteString(addresses("To", l.To...))
	b.WriteString(unstructured("Subject", l.Subject))
	b.WriteString(Date(date))
	fmt.Fprintf(&b, "Message-ID: <%s>\r\n", id)
	for _, e := range l.Extra {
		b.WriteString(unstructured(e.Name, e.Value))
	}
	body, encoding := encodeText(crlf([]byte(strings.ToValidUTF8(l.Body, "?"))))
	fmt.Fprintf(&b, "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=%s\r\nContent-Transfer-Encoding: %s\r\n\r\n",
		charset(l.Body), encoding)
	b.Write(body)
	return b.Bytes(), nil
}

func (l Letter) check() error {
	if len(l.To) == 0 {
		return errors.New("a letter needs at least one address in To")
	}
	for _, a := range append([]mail.Address{l.From}, l.To...) {
		if a.Domain == "" {
			return fmt.Errorf("a letter needs whole addresses, name@domain, in From and To; %q is none", a)
		}
	}
	if strings.ContainsAny(l.Subject, "\r\n") {
		return errors.New("the subject has a line break; write it on one line")
	}
	if l.MessageID != ascii(l.MessageID, lineLength) || strings.ContainsAny(l.MessageID, "<> ") {
		return fmt.Errorf("%q cannot be a message id", l.MessageID)
	}
	for _, e := range l.Extra {
		if !isFieldName(e.Name) || strings.ContainsAny(e.Value, "\r\n") {
			return fmt.Errorf("%q with the value %q cannot be a header field", e.Name, e.Value)
		}
	}
	return nil
}

// addresses writes a field of addresses.
func addresses(name string, list ...mail.Address) string {
	f := newFolder(name, " ")
	for i, a := range list {
		word := a.String()
		if i < len(list)-1 {
			word += ","
		}
		f.word(word)
	}
	return f.end()
}

func charset(text string) string {
	for i := range len(text) {
		if text[i] > '~' {
			return "utf-8"
		}
	}
	return "us-ascii"
}
