package smtp

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"waybill/internal/mail"
	"waybill/internal/scram"
)

// Auth logs in by the best mechanism that is offered: SCRAM-SHA-256-PLUS, SCRAM-SHA-256, PLAIN, LOGIN. The first two show
// the server no password, and fail with scram.ErrServer at one that does not know it either. It is for the caller to
// have begun TLS.
func (c *Client) Auth(ctx context.Context, username, password string) error {
	params, _ := c.Extension("AUTH")
	mechanisms := strings.Fields(strings.ToUpper(params))
	binding := scram.Binding(c.tls)
	defer c.watch(ctx)()
	switch {
	case binding != nil && slices.Contains(mechanisms, scram.SHA256Plus):
		return c.authSCRAM(ctx, scram.SHA256Plus, scram.ClientOptions{Login: username, Password: password, Binding: binding})
	case slices.Contains(mechanisms, scram.SHA256):
		return c.authSCRAM(ctx, scram.SHA256, scram.ClientOptions{Login: username, Password: password, CouldBind: binding != nil})
	case slices.Contains(mechanisms, "PLAIN"):
		return c.authPlain(ctx, "\x00"+username+"\x00"+password)
	case slices.Contains(mechanisms, "LOGIN"):
		return c.exchange(ctx, "AUTH LOGIN", username, password)
	}
	return &mail.Error{Status: mail.NewStatus(451, "4.7.0", "the server offers no AUTH that we know"), Err: ErrNotOffered}
}

// maxInitialResponse keeps AUTH with an initial response within 512 octets (RFC 4954 §4).
const maxInitialResponse = 512 - len("AUTH PLAIN \r\n")

func (c *Client) authPlain(ctx context.Context, response string) error {
	initial := base64.StdEncoding.EncodeToString([]byte(response))
	if len(initial) > maxInitialResponse {
		return c.exchange(ctx, "AUTH PLAIN", response)
	}
	c.sendSecret("AUTH PLAIN "+initial, "AUTH PLAIN "+redacted)
	status, err := c.reply(ctx, c.o.Timeouts.Command)
	if err != nil {
		return err
	}
	return require(status, 235)
}

// exchange sends the responses, one for each challenge.
func (c *Client) exchange(ctx context.Context, command string, responses ...string) error {
	status, err := c.command(ctx, c.o.Timeouts.Command, command)
	for _, response := range responses {
		if err != nil {
			return err
		}
		if status.Code != 334 {
			return require(status, 334)
		}
		c.sendSecret(base64.StdEncoding.EncodeToString([]byte(response)), redacted)
		status, err = c.reply(ctx, c.o.Timeouts.Command)
	}
	if err != nil {
		return err
	}
	if status.Code == 334 {
		return c.cancelAuth(ctx)
	}
	return require(status, 235)
}

// cancelAuth ends an exchange that the server will not end (RFC 4954 §4).
func (c *Client) cancelAuth(ctx context.Context) error {
	status, err := c.command(ctx, c.o.Timeouts.Command, "*")
	if err != nil {
		return err
	}
	return &mail.Error{
		Status: mail.NewStatus(451, "4.5.0", "the server asks for more than the mechanism has"),
		Err:    fmt.Errorf("cancelled: %s", status),
	}
}

// authSCRAM proves that we know the password, and has the server prove that it knows the account. What is said is not
// written down: with the whole of it, passwords could be guessed at.
func (c *Client) authSCRAM(ctx context.Context, mechanism string, o scram.ClientOptions) error {
	login, err := scram.NewClient(o)
	if err != nil {
		return err
	}
	status, err := c.command(ctx, c.o.Timeouts.Command, "AUTH "+mechanism)
	proven := false
	for range maxChallenges {
		if err != nil || status.Code != 334 {
			break
		}
		var message, answer []byte
		if message, err = base64.StdEncoding.Strict().DecodeString(status.Text); err == nil && !proven {
			answer, proven, err = login.Next(message)
		}
		if err != nil {
			return errors.Join(err, c.cancelAuth(ctx))
		}
		c.sendSecret(base64.StdEncoding.EncodeToString(answer), redacted)
		status, err = c.reply(ctx, c.o.Timeouts.Command)
	}
	switch {
	case err != nil:
		return err
	case status.Code == 334:
		return c.cancelAuth(ctx)
	case status.Success() && !proven:
		return &mail.Error{Status: mail.NewStatus(451, "4.7.0", "the server took a login without a proof that it knows the account"), Err: scram.ErrServer}
	}
	return require(status, 235)
}
