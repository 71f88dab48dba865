package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"waybill/internal/dialogue"
	"waybill/internal/mail"
)

// Timeouts are how long the client waits for each reply (RFC 5321 §4.5.3.2). A zero field means its default.
type Timeouts struct {
	Greeting  time.Duration // default 5 min
	Command   time.Duration // EHLO, STARTTLS, AUTH, RSET; default 5 min
	Mail      time.Duration // default 5 min
	Rcpt      time.Duration // default 5 min
	Data      time.Duration // for the 354; default 2 min
	DataBlock time.Duration // for the peer to take a block of output; default 3 min
	DataEnd   time.Duration // for the reply to the dot; default 10 min
	Quit      time.Duration // for sending QUIT and for its reply; nothing depends on it; default 5 s
	Handshake time.Duration // of TLS; default 1 min
}

// DefaultTimeouts returns those of RFC 5321 §4.5.3.2.
func DefaultTimeouts() Timeouts {
	return Timeouts{
		Greeting: 5 * time.Minute, Command: 5 * time.Minute, Mail: 5 * time.Minute, Rcpt: 5 * time.Minute,
		Data: 2 * time.Minute, DataBlock: 3 * time.Minute, DataEnd: 10 * time.Minute,
		Quit: 5 * time.Second, Handshake: time.Minute,
	}
}

func (t Timeouts) orDefault() Timeouts {
	d := DefaultTimeouts()
	setDefault(&t.Greeting, d.Greeting)
	setDefault(&t.Command, d.Command)
	setDefault(&t.Mail, d.Mail)
	setDefault(&t.Rcpt, d.Rcpt)
	setDefault(&t.Data, d.Data)
	setDefault(&t.DataBlock, d.DataBlock)
	setDefault(&t.DataEnd, d.DataEnd)
	setDefault(&t.Quit, d.Quit)
	setDefault(&t.Handshake, d.Handshake)
	return t
}

// ClientOptions is what a Client needs to know.
type ClientOptions struct {
	Hello      string   // our name in EHLO; an address literal or a host name. Default "localhost"
	ServerName string   // the name that the server's certificate is checked against, where StartTLS's config has none
	Timeouts   Timeouts // zero fields mean defaults
	// ContentRate is how many octets of content a second the server must take on the average once
	// Timeouts.DataBlock has passed. Default 1024.
	ContentRate int64
}

// Client is one SMTP connection to a server. Its errors are *mail.Error: Status is what the server said, or
// for what happened to the connection a temporary one. After an error that ends the dialogue, every further
// call returns that error. When the context of a call ends, the connection is closed, and its cause is the error's. Not safe
// for concurrent use.
type Client struct {
	nc         net.Conn // the connection underneath TLS
	line       *dialogue.Conn
	o          ClientOptions
	extensions map[string]string // of EHLO, by keyword in upper case; nil after HELO
	tls        *tls.ConnectionState
	dirty      bool  // a transaction may be open at the server
	used       bool  // there was a transaction
	owed       int   // replies to what was sent or is buffered; at first, the greeting
	broken     error // why the dialogue is over
}

// NewClient returns a Client on a connection, which it will close. Nothing is read or written yet.
func NewClient(nc net.Conn, o ClientOptions) *Client {
	o.Timeouts = o.Timeouts.orDefault()
	setDefault(&o.ContentRate, DefaultLimits().ContentRate)
	if o.Hello == "" {
		o.Hello = "localhost"
	}
	c := &Client{nc: nc, o: o, owed: 1, line: dialogue.NewConn(nc, o.Timeouts.DataBlock)}
	if t, ok := nc.(*tls.Conn); ok {
		state := t.ConnectionState()
		c.tls = &state
	}
	return c
}

// Transcript is the dialogue so far, without secrets and content.
func (c *Client) Transcript() *dialogue.Transcript { return &c.line.Transcript }

// TLS is the state of TLS, or nil without it.
func (c *Client) TLS() *tls.ConnectionState { return c.tls }

// Extension says whether the server offered an extension, named in any case, and with which parameters.
func (c *Client) Extension(name string) (params string, offered bool) {
	params, offered = c.extensions[strings.ToUpper(name)]
	return params, offered
}

// Err says why the dialogue is over; nil: it is not, as far as we know, and another transaction may begin.
func (c *Client) Err() error { return c.broken }

// Close closes the connection without a word. It may be called more than once.
func (c *Client) Close() error {
	if c.broken == nil {
		c.broken = brokenError("4.4.2", "the connection is closed", net.ErrClosed)
	}
	return c.nc.Close()
}

// Greet waits for the server's greeting.
func (c *Client) Greet(ctx context.Context) error {
	defer c.watch(ctx)()
	status, err := c.reply(ctx, c.o.Timeouts.Greeting)
	if err != nil {
		return err
	}
	return require(status, 220)
}

// Quit says goodbye and closes the connection, within Timeouts.Quit whatever the server does.
func (c *Client) Quit(ctx context.Context) error {
	defer c.nc.Close()
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeouts.Quit)
	defer cancel()
	defer c.watch(ctx)()
	status, err := c.command(ctx, c.o.Timeouts.Quit, "QUIT")
	if err != nil {
		return err
	}
	c.broken = brokenError("4.4.2", "the connection is closed", net.ErrClosed)
	return require(status, 221)
}

// watch closes the connection when ctx ends; the function that it returns stops that.
func (c *Client) watch(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { c.nc.Close() })
}

var errInjection = errors.New("line end within a command")

// ErrUnsolicited is the cause of an error when the server said something before it was asked. Whatever comes after it
// could be taken for the reply to something else.
var ErrUnsolicited = errors.New("a reply that was not asked for")

// command sends one command and returns the reply to it.
func (c *Client) command(ctx context.Context, wait time.Duration, line string) (mail.Status, error) {
	c.send(line)
	return c.reply(ctx, wait)
}

// send buffers a command.
func (c *Client) send(line string) { c.sendSecret(line, line) }

// sendSecret buffers a line and writes down another in its place. Nothing is said to a server that has spoken unasked.
func (c *Client) sendSecret(line, shown string) {
	if c.broken != nil {
		return
	}
	if strings.ContainsAny(line, "\r\n\x00") { // an address or name that was not parsed: never let it become a command
		c.breakDown(errInjection)
		c.broken = &mail.Error{Status: mail.NewStatus(501, "5.5.2", "a command would hold a line end"), Err: errInjection}
		return
	}
	if c.owed == 0 && c.line.Ahead() {
		c.spokeUnasked()
		return
	}
	c.sendNow(line, shown)
}

// sendNow is sendSecret when the server has just been listened to.
func (c *Client) sendNow(line, shown string) {
	c.owed++
	c.line.Transcript.Add(dialogue.Client, shown)
	c.line.WriteString(line)
	c.line.WriteString("\r\n")
}

// spokeUnasked ends the dialogue with a server that speaks though every command was answered. A 421 may come at any time
// (RFC 5321 §3.8).
func (c *Client) spokeUnasked() {
	if c.line.LineBuffered() {
		code, lines, err := readReply(c.line, time.Now().Add(c.o.Timeouts.Quit))
		if err == nil && code == 421 {
			c.broken = &mail.Error{Status: newStatus(code, lines), Err: errServiceClosing}
			return
		}
	}
	c.breakDown(ErrUnsolicited)
}

// reply flushes what is buffered and reads one reply. A 421 to anything ends the dialogue (RFC 5321 §3.8), but
// is returned as a reply the first time.
func (c *Client) reply(ctx context.Context, wait time.Duration) (mail.Status, error) {
	status, _, err := c.replyLines(ctx, wait)
	return status, err
}

func (c *Client) replyLines(ctx context.Context, wait time.Duration) (mail.Status, []string, error) {
	if c.broken != nil {
		return mail.Status{}, nil, c.broken
	}
	return c.readReply(ctx, wait, c.line.Flush()) // what the server said before it stopped listening is worth reading
}

// readReply reads one reply. flushErr is what went wrong when the command was sent.
func (c *Client) readReply(ctx context.Context, wait time.Duration, flushErr error) (mail.Status, []string, error) {
	c.owed--
	code, lines, err := readReply(c.line, time.Now().Add(wait))
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		} else if flushErr != nil && !errors.Is(err, errMalformedReply) {
			err = flushErr
		}
		c.breakDown(err)
		return mail.Status{}, nil, c.broken
	}
	status := newStatus(code, lines)
	if code == 421 {
		c.broken = &mail.Error{Status: status, Err: errServiceClosing}
	}
	return status, lines, nil
}

var errServiceClosing = errors.New("the server closes the connection")

// breakDown ends the dialogue because of err.
func (c *Client) breakDown(err error) {
	switch {
	case errors.Is(err, errTooSlow):
		c.broken = brokenError("4.4.2", "the server took the content too slowly", err)
	case errors.Is(err, ErrUnsolicited):
		c.broken = brokenError("4.5.0", "the server spoke before it was asked", err)
	case errors.Is(err, errMalformedReply):
		c.broken = brokenError("4.5.0", "the server's reply is malformed", err)
	case dialogue.IsTimeout(err):
		c.broken = brokenError("4.4.2", "the server did not answer in time", err)
	case errors.Is(err, io.EOF):
		c.broken = brokenError("4.4.2", "the server closed the connection", err)
	default:
		c.broken = brokenError("4.4.2", "the connection broke", err)
	}
	c.line.Transcript.Add(dialogue.Note, "("+mail.StatusOf(c.broken).Text+")")
	c.nc.Close()
}

func brokenError(enhanced, text string, err error) error {
	return &mail.Error{Status: mail.NewStatus(451, enhanced, text), Err: err}
}

// require turns a reply other than the one wanted into an error.
func require(status mail.Status, code int) error {
	if status.Code == code {
		return nil
	}
	if status.Success() || status.Code/100 == 3 {
		return &mail.Error{Status: mail.NewStatus(451, "4.5.0", "the server gave an unexpected reply"), Err: errors.New(status.String())}
	}
	return &mail.Error{Status: status}
}

// Bounds of one reply, in octets. It may have any number of lines (RFC 5321 §4.2.1).
const (
	maxReply     = 64 << 10
	maxReplyLine = 2048 // RFC 5321 §4.5.3.1.5 says 512
)

// readReply reads one reply whose lines must agree on the code (RFC 5321 §4.2.1).
func readReply(line *dialogue.Conn, deadline time.Time) (code int, lines []string, err error) {
	for size := 0; size < maxReply; {
		b, err := line.ReadLine(maxReplyLine, deadline)
		switch {
		case errors.Is(err, dialogue.ErrLineTooLong), errors.Is(err, dialogue.ErrEndless), errors.Is(err, dialogue.ErrBareLF),
			errors.Is(err, dialogue.ErrBareCR), errors.Is(err, dialogue.ErrNUL):
			return 0, nil, fmt.Errorf("%w: %w", errMalformedReply, err)
		case err != nil:
			return 0, nil, err
		}
		line.Transcript.Add(dialogue.Server, shownReply(string(b)))
		c, text, more, err := ParseReplyLine(b)
		if err != nil {
			return 0, nil, err
		}
		if lines != nil && c != code {
			return 0, nil, fmt.Errorf("%w: its lines disagree on the code", errMalformedReply)
		}
		code, lines = c, append(lines, text)
		size += len(b) + len("\r\n")
		if !more {
			return code, lines, nil
		}
	}
	return 0, nil, fmt.Errorf("%w: it has more than %d octets", errMalformedReply, maxReply)
}

// shownReply returns a reply as it may be written down: challenges but for those of LOGIN are part of a secret.
func shownReply(line string) string {
	challenge, ok := strings.CutPrefix(line, "334 ")
	if !ok || challenge == "" || challenge == challengeUsername || challenge == challengePassword {
		return line
	}
	return "334 " + redacted
}
