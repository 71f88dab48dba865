package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"strconv"
	"strings"
	"time"

	"waybill/internal/dialogue"
	"waybill/internal/mail"
)

// Hello says EHLO, or HELO to a server that does not know it (RFC 5321 §4.1.4), and learns the extensions.
// After StartTLS it has to be said again.
func (c *Client) Hello(ctx context.Context) error {
	defer c.watch(ctx)()
	c.extensions, c.dirty = nil, false
	c.send("EHLO " + c.o.Hello)
	status, lines, err := c.replyLines(ctx, c.o.Timeouts.Command)
	if err != nil {
		return err
	}
	if status.Success() {
		c.extensions = parseExtensions(lines[1:])
		return nil
	}
	if !status.Permanent() {
		return require(status, 250)
	}
	status, err = c.command(ctx, c.o.Timeouts.Command, "HELO "+c.o.Hello)
	if err != nil {
		return err
	}
	return require(status, 250)
}

// parseExtensions reads the further lines of the reply to EHLO: keyword and parameters (RFC 5321 §4.1.1.1).
// "AUTH=PLAIN" is what some old servers say for "AUTH PLAIN".
func parseExtensions(lines []string) map[string]string {
	extensions := make(map[string]string, len(lines))
	for _, line := range lines {
		keyword, params, _ := strings.Cut(line, " ")
		keyword = strings.ToUpper(keyword)
		if mechanism, ok := strings.CutPrefix(keyword, "AUTH="); ok {
			keyword, params = "AUTH", mechanism+" "+params
		}
		if !isKeyword(keyword) {
			continue
		}
		if old := extensions[keyword]; old != "" {
			params = old + " " + params
		}
		extensions[keyword] = strings.TrimSpace(params)
	}
	return extensions
}

// TooLarge says whether the server has announced that it will not take that many octets (RFC 1870 §6.1), with the
// status that Send gives such a message without a word to the server. A SIZE without a number, or of 0, is no limit.
func (c *Client) TooLarge(size int64) (mail.Status, bool) {
	params, _ := c.Extension("SIZE")
	limit, err := strconv.ParseInt(params, 10, 64)
	if err != nil || limit <= 0 || size <= limit {
		return mail.Status{}, false
	}
	return messageTooLarge.WithText("The message has %d octets, the server takes %d at most", size, limit), true
}

// Limit returns a limit that the server announced by LIMITS (RFC 9422), like MAILMAX; 0 if it did not.
func (c *Client) Limit(name string) int {
	params, _ := c.Extension("LIMITS")
	for param := range strings.FieldsSeq(params) {
		key, value, _ := strings.Cut(param, "=")
		if !strings.EqualFold(key, name) {
			continue
		}
		if n, err := strconv.Atoi(value); err == nil && n > 0 && len(value) <= 6 { // RFC 9422 §4: up to six digits
			return n
		}
	}
	return 0
}

// ErrNotOffered is the cause of an error when the server lacks an extension that was asked for.
var ErrNotOffered = errors.New("the server does not offer it")

// StartTLS begins TLS (RFC 3207). A refusal leaves the connection usable; a handshake that fails does not, nor does
// a server that says something in the clear behind its 220 (ErrUnsolicited): it must not be taken for what comes under TLS.
// Then Hello has to be said again: what the server offered before is forgotten.
func (c *Client) StartTLS(ctx context.Context, config *tls.Config) error {
	if _, offered := c.Extension("STARTTLS"); !offered {
		return &mail.Error{Status: mail.NewStatus(451, "4.7.4", "the server does not offer STARTTLS"), Err: ErrNotOffered}
	}
	defer c.watch(ctx)()
	status, err := c.command(ctx, c.o.Timeouts.Command, "STARTTLS")
	if err != nil {
		return err
	}
	if err := require(status, 220); err != nil {
		return err
	}
	if c.line.Ahead() {
		c.spokeUnasked()
		return c.broken
	}
	if config.ServerName == "" && !config.InsecureSkipVerify {
		config = config.Clone()
		config.ServerName = c.o.ServerName
	}
	t := tls.Client(c.line.Conn, config)
	c.line.Upgrade(t) // which drops what came in the clear since
	t.SetDeadline(time.Now().Add(c.o.Timeouts.Handshake))
	if err := t.HandshakeContext(ctx); err != nil {
		c.broken = brokenError("4.7.5", "the TLS handshake failed", err)
		c.line.Transcript.Add(dialogue.Note, "(the TLS handshake failed)")
		c.nc.Close()
		return c.broken
	}
	t.SetDeadline(time.Time{})
	state := t.ConnectionState()
	c.tls, c.extensions = &state, nil
	c.line.Transcript.Add(dialogue.Note, "("+tls.VersionName(state.Version)+", "+tls.CipherSuiteName(state.CipherSuite)+")")
	return nil
}
