package pop3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"waybill/internal/dialogue"
)

// ClientOptions bound what a server can make a Client do. A zero field stands for its default.
type ClientOptions struct {
	Timeout         time.Duration // longest wait for a reply, or for more of a message; default 2 minutes
	TransferTimeout time.Duration // longest time for one whole message or listing; default 1 hour
	MaxMessage      int64         // octets of a message; default 1 GiB
	MaxListing      int64         // octets of a listing; default 64 MiB
}

// Client is the client's end of one POP3 session. Commands go out one at a time; it is not safe for concurrent
// use. When a done context, the network or a malformed reply interrupts a command, the connection is closed and
// every later command returns the same error.
type Client struct {
	wire         *dialogue.Conn
	options      ClientOptions
	capabilities map[string][]string // nil: not asked since the last change of state
	broken       error
}

var (
	// ErrMalformed: the server does not keep to the protocol.
	ErrMalformed = errors.New("pop3: malformed reply")
	// ErrTooLarge: a message or listing is larger than the options allow.
	ErrTooLarge = errors.New("pop3: more than the limit allows")
	// ErrNotSendable: an argument holds a CR, LF or NUL, which would end the command early.
	ErrNotSendable = errors.New("pop3: an argument holds a line end or NUL")
)

// RefusedError is a server's -ERR. errors.Is tells ErrAuth and ErrInUse where the server sends their codes.
type RefusedError struct {
	Command string // without its arguments; "" for the greeting
	Code    string // response code (RFC 2449 §8), upper case, or ""
	Text    string // the server's words, made printable
}

func (e *RefusedError) Error() string {
	what := e.Command
	if what == "" {
		what = "the connection"
	}
	text := e.Text
	if e.Code != "" {
		text = strings.TrimSuffix("["+e.Code+"] "+text, " ")
	}
	return fmt.Sprintf("the POP3 server refused %s: %s", what, text)
}

// Is makes the codes of the server errors of this package.
func (e *RefusedError) Is(target error) bool {
	return target == ErrAuth && e.Code == "AUTH" || target == ErrInUse && e.Code == "IN-USE"
}

// NewClient returns a Client on nc, which it closes with Close. For port 995 hand in a connection under TLS.
func NewClient(nc net.Conn, o ClientOptions) *Client {
	o.Timeout = orDefault(o.Timeout, 2*time.Minute)
	o.TransferTimeout = orDefault(o.TransferTimeout, time.Hour)
	o.MaxMessage = orDefault(o.MaxMessage, 1<<30)
	o.MaxListing = orDefault(o.MaxListing, 64<<20)
	return &Client{wire: dialogue.NewConn(nc, o.Timeout), options: o}
}

func orDefault[T int | int64 | time.Duration](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}

// Transcript returns the dialogue so far: without passwords, and of messages only their sizes.
func (c *Client) Transcript() *dialogue.Transcript { return &c.wire.Transcript }

// Close ends the connection. Messages marked by Dele stay unless Quit succeeded.
func (c *Client) Close() error {
	if c.broken != nil {
		return nil
	}
	c.broken = net.ErrClosed
	return c.wire.Conn.Close()
}

// Greet waits for the server's greeting. It comes first.
func (c *Client) Greet(ctx context.Context) error {
	return c.exchange(ctx, func() error {
		_, err := c.reply("")
		return err
	})
}

// Capa asks what the server can do: the capabilities in upper case with their arguments (RFC 2449 §5).
// A server that does not know CAPA makes it a RefusedError.
func (c *Client) Capa(ctx context.Context) (map[string][]string, error) {
	capabilities := map[string][]string{}
	err := c.exchange(ctx, func() error {
		if _, err := c.command("CAPA"); err != nil {
			return err
		}
		return c.lines(maxCapabilities, func(line string) error {
			if words := strings.Fields(line); len(words) > 0 {
				capabilities[strings.ToUpper(words[0])] = words[1:]
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	c.capabilities = capabilities
	return capabilities, nil
}

// maxCapabilities bounds the reply to CAPA in octets; real ones have about a dozen lines.
const maxCapabilities = 64 << 10

// StartTLS goes on under TLS (RFC 2595 §4). What the server can do must be asked anew.
func (c *Client) StartTLS(ctx context.Context, conf *tls.Config) error {
	return c.exchange(ctx, func() error {
		if _, err := c.command("STLS"); err != nil {
			return err
		}
		if c.wire.Ahead() { // whoever sent it wants it to be taken for what came under TLS
			return fmt.Errorf("%w: the server sent more before the TLS handshake", ErrMalformed)
		}
		c.wire.SetDeadline(time.Now().Add(c.options.Timeout))
		tc := tls.Client(c.wire.Conn, conf)
		if err := tc.HandshakeContext(ctx); err != nil {
			return fmt.Errorf("TLS handshake: %w", err)
		}
		c.wire.SetDeadline(time.Time{})
		c.wire.Upgrade(tc)
		c.capabilities = nil
		c.Transcript().Add(dialogue.Note, tlsNote(tc.ConnectionState()))
		return nil
	})
}

// Quit ends the session, which deletes the messages marked by Dele, and closes the connection. After an error
// it is not known which messages are deleted.
func (c *Client) Quit(ctx context.Context) error {
	err := c.exchange(ctx, func() error {
		_, err := c.command("QUIT")
		return err
	})
	_ = c.Close() // the server has closed too
	return err
}

// exchange runs one command with its reply. The end of ctx ends it, by closing the connection. After any error
// but a refusal the two sides may be out of step, so the connection is given up.
func (c *Client) exchange(ctx context.Context, do func() error) error {
	if c.broken != nil {
		return c.broken
	}
	nc := c.wire.Conn
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	err := do()
	stop()
	if keepsStep(err) {
		return err
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("%w (%w)", ctx.Err(), err)
	}
	c.broken = err
	c.wire.Conn.Close()
	return err
}

// keepsStep says whether the connection can go on after err.
func keepsStep(err error) bool {
	_, refused := errors.AsType[*RefusedError](err)
	_, sink := errors.AsType[*sinkError](err)
	return err == nil || refused || sink || errors.Is(err, ErrNotSendable)
}
