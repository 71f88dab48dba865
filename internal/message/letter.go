package message

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"waybill/internal/mail"
)

// Letter is a message that a person writes: a text, and files with it.
type Letter struct {
	From        mail.Address   // required
	To, Cc      []mail.Address // at least one
	ReplyTo     mail.Address   // null: none
	Subject     string         // UTF-8, one line
	Body        string         // UTF-8, with any line ends
	Date        time.Time      // zero: now
	MessageID   string         // without angle brackets; "": a random one at the domain of From
	Extra       []Extra        // further fields, below the others
	Attachments []Attachment
}

// Extra is a header field of free text.
type Extra struct{ Name, Value string }

// Attachment is a file that goes with a letter.
type Attachment struct {
	Name string // as the reader sees it, without a path
	Type string // media type; "": application/octet-stream
	Open func() (io.ReadCloser, error)
}

// Bytes returns the message, for letters that are small.
func (l Letter) Bytes() ([]byte, error) {
	var b bytes.Buffer
	err := l.Write(&b)
	return b.Bytes(), err
}

// Write writes the message (RFC 5322, RFC 2045) in 7-bit form with CR LF line ends; attachments pass by. Errors name what is
// missing or cannot stand in a header, or are those of w and of the attachments.
func (l Letter) Write(w io.Writer) error {
	if err := l.check(); err != nil {
		return err
	}
	date, id := l.Date, l.MessageID
	if date.IsZero() {
		date = time.Now()
	}
	if id == "" {
		id = strings.ToLower(rand.Text()) + "@" + l.From.Domain
	}
	var b strings.Builder
	b.WriteString(addresses("From", l.From))
	for _, f := range []struct {
		name string
		list []mail.Address
	}{{"To", l.To}, {"Cc", l.Cc}} {
		if len(f.list) > 0 {
			b.WriteString(addresses(f.name, f.list...))
		}
	}
	if !l.ReplyTo.IsNull() {
		b.WriteString(addresses("Reply-To", l.ReplyTo))
	}
	b.WriteString(unstructured("Subject", l.Subject))
	b.WriteString(Date(date))
	fmt.Fprintf(&b, "Message-ID: <%s>\r\n", id)
	for _, e := range l.Extra {
		b.WriteString(unstructured(e.Name, e.Value))
	}
	b.WriteString("MIME-Version: 1.0\r\n")
	if len(l.Attachments) > 0 {
		return l.writeParts(w, b.String())
	}
	_, err := io.WriteString(w, b.String()+l.text())
	return err
}

// text is the body as a part: its fields and its content.
func (l Letter) text() string {
	body, encoding := encodeText(crlf([]byte(strings.ToValidUTF8(l.Body, "?"))))
	return fmt.Sprintf("Content-Type: text/plain; charset=%s\r\nContent-Transfer-Encoding: %s\r\n\r\n%s", charset(l.Body), encoding, body)
}

func (l Letter) check() error {
	if len(l.To)+len(l.Cc) == 0 {
		return errors.New("a letter needs at least one address in To or Cc")
	}
	all := slices.Concat([]mail.Address{l.From}, l.To, l.Cc)
	if !l.ReplyTo.IsNull() {
		all = append(all, l.ReplyTo)
	}
	for _, a := range all {
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
