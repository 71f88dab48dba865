package mua

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"waybill/internal/mail"
	"waybill/internal/message"
	"waybill/internal/scram"
	"waybill/internal/smtp"
	"waybill/internal/trail"
)

// Letter is a message ready to be sent: envelope and content.
type Letter struct {
	ReversePath  mail.Address
	ForwardPaths []mail.Address
	Content      Content
}

// Receipt is what the server said to a letter.
type Receipt struct {
	Server  string // which one, by name and port; "" if none was reached
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

// Of is what became of the letter for that recipient: the refusal, or the reply to the dot.
func (r Receipt) Of(recipient int) mail.Status {
	if s := r.Results.Recipients[recipient]; !s.Success() {
		return s
	}
	return r.Results.Data
}

// Submit sends a letter through the first SMTP server of the settings that takes part in it: each of its addresses is tried,
// then the next server, until one has answered MAIL for good (RFC 5321 §5.1). Where the letter may have been taken, no other
// is tried. The error says why no dialogue could be finished; a refusal is no error but stands in the receipt.
func (c *Client) Submit(ctx context.Context, s Settings, l Letter) (Receipt, error) {
	c.observe(trail.Event{Kind: trail.Composed, At: time.Now(), Header: headerLines(l.Content),
		Facts: []trail.Fact{{Name: "size", Value: fmt.Sprintf("%d octets", l.Content.Size)}}})
	var refused *Receipt // by a server that may have had a bad moment
	var errs []error
	for t, err := range c.targets(ctx, s.SMTP) {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		receipt, err := c.submitTo(ctx, t, s, l)
		switch {
		case ctx.Err() != nil, isFinal(receipt, err):
			return receipt, err
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", t.server, err))
		default:
			refused = &receipt
		}
	}
	if refused != nil {
		return *refused, nil
	}
	return Receipt{}, errors.Join(errs...)
}

// isFinal says whether no other server need be tried, or none may.
func isFinal(r Receipt, err error) bool {
	var content *contentError
	var login *loginError
	if r.Results.Unknown || errors.As(err, &content) || errors.As(err, &login) || errors.Is(err, smtp.ErrBareLineEnd) {
		return true
	}
	return err == nil && !r.Results.Mail.Temporary()
}

// loginError is a login that was refused for good: the servers of a domain have the same accounts.
type loginError struct{ error }

func (e *loginError) Error() string { return "the server refuses the login: " + e.error.Error() }

func (e *loginError) Unwrap() error { return e.error }

// submitTo connects to one address of a server and sends the letter.
func (c *Client) submitTo(ctx context.Context, t target, s Settings, l Letter) (Receipt, error) {
	conn, err := c.connect(ctx, t)
	if err != nil {
		return Receipt{}, err
	}
	began := time.Now()
	client := smtp.NewClient(conn, smtp.ClientOptions{Hello: c.Name})
	client.Transcript().Follow(c.Live)
	defer client.Close()
	receipt, err := c.submit(ctx, client, conn, t.server, s, l)
	receipt.Server = t.server.String()
	event := trail.Event{
		Kind: trail.Submitted, At: began, Took: time.Since(began), Message: receipt.ID,
		Peer: &trail.Peer{Addr: t.addr.String(), Name: t.server.Host}, Dialogue: client.Transcript().Lines(),
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

func (c *Client) submit(ctx context.Context, client *smtp.Client, conn net.Conn, server Server, s Settings, l Letter) (Receipt, error) {
	if err := c.open(ctx, client, conn, server, s); err != nil {
		return Receipt{}, err
	}
	results, err := client.Send(ctx, smtp.Transaction{
		ReversePath: l.ReversePath, Recipients: l.ForwardPaths, Body: l.Content.Body, UTF8: !isASCII(l.Content.Header),
		Size: l.Content.Size, Content: l.Content,
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
func (c *Client) open(ctx context.Context, client *smtp.Client, conn net.Conn, server Server, s Settings) error {
	if err := client.Greet(ctx); err != nil {
		return err
	}
	if err := client.Hello(ctx); err != nil {
		return err
	}
	_, offered := client.Extension("STARTTLS")
	if server.Security == StartTLS || server.Security == Auto && offered {
		if err := client.StartTLS(ctx, c.tlsConfig(server.Host)); err != nil {
			return err
		}
		if err := client.Hello(ctx); err != nil {
			return err
		}
	}
	if s.User == "" {
		return nil
	}
	if server.Security != Implicit && client.TLS() == nil {
		if err := passwordAllowed(server, conn); err != nil {
			return err
		}
	}
	err := client.Auth(ctx, s.User, s.Password)
	if err != nil && (mail.StatusOf(err).Permanent() || errors.Is(err, scram.ErrServer)) {
		return &loginError{err}
	}
	return err
}

// headerLines returns the fields of a message for show, one a line.
func headerLines(c Content) []string {
	var lines []string
	for _, f := range message.Fields(c.Header) {
		lines = append(lines, f.Name+": "+f.Value)
	}
	return lines
}
