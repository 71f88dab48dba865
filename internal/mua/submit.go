package mua

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"waybill/internal/mail"
	"waybill/internal/message"
	"waybill/internal/smtp"
	"waybill/internal/trail"
)

// Letter is a message ready to be sent: envelope and content with CR LF line ends.
type Letter struct {
	ReversePath  mail.Address
	ForwardPaths []mail.Address
	Content      Content
}

// Content is a message, in memory (bytes.Reader) or in a file (io.SectionReader).
type Content interface {
	io.ReaderAt
	Size() int64
}

// whole reads content from its beginning.
func whole(c Content) *io.SectionReader { return io.NewSectionReader(c, 0, c.Size()) }

// Receipt is what the server said to a letter.
type Receipt struct {
	Results smtp.Results
	ID      mail.ID // of the final 250, when it has our servers' form; else ""
}

// Status sums the results up: the reply to the dot, or the first refusal before it.
func (r Receipt) Status() mail.Status {
	if r.Results.Mail.Code != 0 && !r.Results.Mail.Success() {
		return r.Results.Mail
	}
	for _, s := range r.Results.Recipients {
		if !s.Success() {
			return s
		}
	}
	return r.Results.Data
}

// Accepted says whether every recipient of the letter was accepted.
func (r Receipt) Accepted() bool { return r.Status().Success() }

// Submit sends a letter through the SMTP server of the settings. The error says why the dialogue could not be
// finished; a refusal is no error but stands in the receipt.
func (c *Client) Submit(ctx context.Context, s Settings, l Letter) (Receipt, error) {
	c.observe(trail.Event{Kind: trail.Composed, At: time.Now(), Header: headerLines(l.Content),
		Facts: []trail.Fact{{Name: "size", Value: fmt.Sprintf("%d octets", l.Content.Size())}}})
	conn, addr, err := c.connect(ctx, s.SMTP)
	if err != nil {
		return Receipt{}, err
	}
	began := time.Now()
	client := smtp.NewClient(conn, smtp.ClientOptions{Hello: c.Name})
	client.Transcript().Follow(c.Live)
	defer client.Close()
	receipt, err := c.submit(ctx, client, conn, s, l)
	event := trail.Event{
		Kind: trail.Submitted, At: began, Took: time.Since(began), Message: receipt.ID,
		Peer: &trail.Peer{Addr: addr, Name: s.SMTP.Host}, Dialogue: client.Transcript().Lines(),
	}
	if status := receipt.Status(); status.Code != 0 {
		event.Status = &status
	}
	if err != nil {
		event.Text = "the submission failed: " + err.Error()
	}
	c.observe(event)
	return receipt, err
}

func (c *Client) submit(ctx context.Context, client *smtp.Client, conn net.Conn, s Settings, l Letter) (Receipt, error) {
	if err := c.open(ctx, client, conn, s); err != nil {
		return Receipt{}, err
	}
	body, err := bodyType(l.Content)
	if err != nil {
		return Receipt{}, err
	}
	results, err := client.Send(ctx, smtp.Transaction{
		ReversePath: l.ReversePath, Recipients: l.ForwardPaths, Body: body,
		Size: l.Content.Size(), Content: writerTo{whole(l.Content)},
	})
	receipt := Receipt{Results: results}
	if err != nil {
		return receipt, err
	}
	if results.Data.Success() {
		word, _, _ := strings.Cut(results.Data.Text, " ")
		receipt.ID, _ = mail.ParseID(word)
	}
	client.Quit(ctx) // the letter's fate is settled already
	return receipt, nil
}

// open greets, protects and logs in, as the settings say.
func (c *Client) open(ctx context.Context, client *smtp.Client, conn net.Conn, s Settings) error {
	if err := client.Greet(ctx); err != nil {
		return err
	}
	if err := client.Hello(ctx); err != nil {
		return err
	}
	_, offered := client.Extension("STARTTLS")
	if s.SMTP.Security == StartTLS || s.SMTP.Security == Auto && offered {
		if err := client.StartTLS(ctx, c.tlsConfig(s.SMTP.Host)); err != nil {
			return err
		}
		if err := client.Hello(ctx); err != nil {
			return err
		}
	}
	if s.User == "" {
		return nil
	}
	if s.SMTP.Security != Implicit && client.TLS() == nil {
		if err := passwordAllowed(s.SMTP, conn); err != nil {
			return err
		}
	}
	return client.Auth(ctx, s.User, s.Password)
}

// writerTo is a reader that can write itself.
type writerTo struct{ io.Reader }

func (w writerTo) WriteTo(to io.Writer) (int64, error) { return io.Copy(to, w.Reader) }

func bodyType(c Content) (mail.BodyType, error) {
	buf := make([]byte, 64<<10)
	for r := whole(c); ; {
		n, err := r.Read(buf)
		for _, octet := range buf[:n] {
			if octet >= 0x80 {
				return mail.Body8BitMIME, nil
			}
		}
		if err == io.EOF {
			return mail.Body7Bit, nil
		}
		if err != nil {
			return "", err
		}
	}
}

// maxShown bounds the header that is shown, in octets.
const maxShown = 64 << 10

// headerLines returns the fields of a message for show, one a line.
func headerLines(c Content) []string {
	start, _ := io.ReadAll(io.LimitReader(whole(c), maxShown)) // what cannot be read is told when it is sent
	header, _, _ := bytes.Cut(start, []byte("\r\n\r\n"))
	var lines []string
	for _, f := range message.Fields(append(bytes.Clone(header), "\r\n"...)) {
		lines = append(lines, f.Name+": "+f.Value)
	}
	return lines
}
