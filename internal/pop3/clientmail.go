package pop3

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"waybill/internal/dialogue"
)

// Listed is a line of LIST.
type Listed struct {
	Number int
	Size   int64 // octets
}

// Login opens the maildrop of user by the best of what the server offers: SCRAM-SHA-256-PLUS, SCRAM-SHA-256, AUTH PLAIN,
// USER and PASS. It does not ask whether the connection is under TLS. A refusal is a RefusedError; scram.ErrServer says
// that the server does not know the account either.
func (c *Client) Login(ctx context.Context, user, password string) error {
	if strings.ContainsAny(user+password, "\r\n\x00") {
		return ErrNotSendable
	}
	if c.capabilities == nil {
		if _, err := c.Capa(ctx); err != nil && !keepsStep(err) {
			return err
		}
	}
	err := c.exchange(ctx, func() error {
		mechanism, o, ok := c.scramMechanism()
		switch {
		case ok:
			o.Login, o.Password = user, password
			return c.authSCRAM(mechanism, o)
		case c.offers("PLAIN"):
			return c.authPlain(user, password)
		}
		return c.userPass(user, password)
	})
	c.capabilities = nil
	return err
}

func (c *Client) userPass(user, password string) error {
	if _, err := c.command("USER", user); err != nil {
		return err
	}
	if err := c.send("PASS "+password, "PASS ***"); err != nil {
		return err
	}
	_, err := c.reply("PASS")
	return err
}

// maxCommand is the longest command, without its line end, that every server takes (RFC 2449 §4).
const maxCommand = 255 - len("\r\n")

// authPlain sends the response with the command, or after the challenge if the line would be too long (RFC 5034 §4).
func (c *Client) authPlain(user, password string) error {
	response := base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password))
	if line := "AUTH PLAIN " + response; len(line) <= maxCommand {
		if err := c.send(line, "AUTH PLAIN ***"); err != nil {
			return err
		}
		_, err := c.reply("AUTH")
		return err
	}
	if err := c.send("AUTH PLAIN", "AUTH PLAIN"); err != nil {
		return err
	}
	if err := c.challenge(); err != nil {
		return err
	}
	if err := c.send(response, "***"); err != nil {
		return err
	}
	_, err := c.reply("AUTH")
	return err
}

// challenge waits for the server's "+ ".
func (c *Client) challenge() error {
	line, err := c.line(time.Now().Add(c.options.Timeout))
	if err != nil {
		return err
	}
	c.Transcript().Add(dialogue.Server, line)
	if line == "+" || strings.HasPrefix(line, "+ ") {
		return nil
	}
	s, err := parseStatus(line)
	if err != nil || s.ok {
		return malformed("challenge", line)
	}
	return &RefusedError{Command: "AUTH", Code: s.code, Text: dialogue.Printable(s.text)}
}

// Stat returns the number of messages and the sum of their sizes in octets.
func (c *Client) Stat(ctx context.Context) (n int, size int64, err error) {
	err = c.exchange(ctx, func() error {
		text, err := c.command("STAT")
		if err != nil {
			return err
		}
		n, size, err = parseListed(text)
		return err
	})
	return n, size, err
}

// List returns the messages in the server's order.
func (c *Client) List(ctx context.Context) ([]Listed, error) {
	var list []Listed
	seen := map[int]bool{}
	err := c.listing(ctx, "LIST", func(line string) error {
		n, size, err := parseListed(line)
		if err != nil {
			return err
		}
		if n < 1 || seen[n] {
			return malformed("listing", line)
		}
		seen[n] = true
		list = append(list, Listed{Number: n, Size: size})
		return nil
	})
	return list, err
}

// Uidl returns the unique id of each message by its number.
func (c *Client) Uidl(ctx context.Context) (map[int]string, error) {
	ids := map[int]string{}
	err := c.listing(ctx, "UIDL", func(line string) error {
		n, uidl, err := parseUnique(line)
		if err != nil {
			return err
		}
		if _, twice := ids[n]; twice {
			return malformed("unique id", line)
		}
		ids[n] = uidl
		return nil
	})
	return ids, err
}

func (c *Client) listing(ctx context.Context, verb string, each func(string) error) error {
	return c.exchange(ctx, func() error {
		if _, err := c.command(verb); err != nil {
			return err
		}
		return c.lines(c.options.MaxListing, each)
	})
}

// Retr copies message n to w as it comes in. An error of w is returned after the rest of the message has been
// read, and the session can go on.
func (c *Client) Retr(ctx context.Context, n int, w io.Writer) error {
	return c.retrieve(ctx, w, "RETR", strconv.Itoa(n))
}

// Top copies the header of message n, the empty line, and the first lines of its body to w.
func (c *Client) Top(ctx context.Context, n, lines int, w io.Writer) error {
	return c.retrieve(ctx, w, "TOP", strconv.Itoa(n), strconv.Itoa(lines))
}

func (c *Client) retrieve(ctx context.Context, w io.Writer, verb string, args ...string) error {
	err := c.exchange(ctx, func() error {
		if _, err := c.command(verb, args...); err != nil {
			return err
		}
		return c.message(w)
	})
	if sink, ok := errors.AsType[*sinkError](err); ok {
		return fmt.Errorf("keep message %s: %w", args[0], sink.error)
	}
	return err
}

// Dele marks message n; Quit deletes it.
func (c *Client) Dele(ctx context.Context, n int) error {
	return c.exchange(ctx, func() error {
		_, err := c.command("DELE", strconv.Itoa(n))
		return err
	})
}
