package message

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
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
	Size int64  // octets
	Open func() (io.ReadCloser, error)
}

// Composed is a letter as a message, with CR LF line ends and 7-bit (RFC 5322, RFC 2045). Its attachments are not held: they are
// encoded as they pass by.
type Composed struct {
	header      string
	start       string // of the body
	attachments []Attachment
	boundary    string
}

// Bytes returns the message, for letters that are small.
func (l Letter) Bytes() ([]byte, error) {
	c, err := l.Compose()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = c.Write(&b)
	return b.Bytes(), err
}

// Compose settles everything about the message but for what is in the attachments. Errors name what is missing or cannot
// stand in a message; they are about what the letter has, never about files.
func (l Letter) Compose() (*Composed, error) {
	if err := l.check(); err != nil {
		return nil, err
	}
	date, id := l.Date, l.MessageID
	if date.IsZero() {
		date = time.Now()
	}
	if id == "" {
		id = NewID(l.From.Domain)
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
	fields, body := l.text()
	c := &Composed{attachments: l.Attachments}
	if len(l.Attachments) == 0 {
		c.header, c.start = b.String()+fields, "\r\n"+body
		return c, nil
	}
	c.boundary = "=_" + strings.ToLower(rand.Text())
	c.header = fmt.Sprintf("%sContent-Type: multipart/mixed; boundary=%q\r\n", b.String(), c.boundary)
	c.start = fmt.Sprintf("\r\n--%s\r\n%s\r\n%s", c.boundary, fields, body)
	return c, nil
}

// NewID makes a Message-ID, without angle brackets, that no other message has (RFC 5322 §3.6.4).
func NewID(domain string) string { return strings.ToLower(rand.Text()) + "@" + domain }

// Header returns the fields of the message, without the empty line that ends them.
func (c *Composed) Header() string { return c.header }

// Size returns the octets of the message.
func (c *Composed) Size() int64 {
	n := len(c.header) + len(c.start) + len(c.end())
	size := int64(n)
	for _, a := range c.attachments {
		size += int64(len(c.before(a))) + encodedSize(a.Size)
	}
	return size
}

// Write writes the message, the same each time. Errors are those of to and of the attachments; ErrSize.
func (c *Composed) Write(to io.Writer) error {
	w := bufio.NewWriterSize(to, pieceSize) // lines are short
	if _, err := io.WriteString(w, c.header+c.start); err != nil {
		return err
	}
	for _, a := range c.attachments {
		if _, err := io.WriteString(w, c.before(a)); err != nil {
			return err
		}
		if err := a.write(w); err != nil {
			return fmt.Errorf("attach %s: %w", a.Name, err)
		}
	}
	io.WriteString(w, c.end())
	return w.Flush()
}

// pieceSize is how much is written at a time, in octets.
const pieceSize = 32 << 10

// text is the body as a part: its fields and its content.
func (l Letter) text() (fields, body string) {
	encoded, encoding := encodeText(crlf([]byte(l.Body)))
	return fmt.Sprintf("Content-Type: text/plain; charset=%s\r\nContent-Transfer-Encoding: %s\r\n", charset(l.Body), encoding), string(encoded)
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
