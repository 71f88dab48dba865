package pop3

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"time"

	"waybill/internal/dialogue"
	"waybill/internal/scram"
)

// offers says whether the server offers a mechanism of SASL.
func (c *Client) offers(mechanism string) bool {
	return slices.ContainsFunc(c.capabilities["SASL"], func(m string) bool { return strings.EqualFold(m, mechanism) })
}

// scramMechanism is the best form of SCRAM that is offered; ok is false if none is.
func (c *Client) scramMechanism() (mechanism string, o scram.ClientOptions, ok bool) {
	var binding []byte
	if t, secured := c.wire.Conn.(*tls.Conn); secured {
		state := t.ConnectionState()
		binding = scram.Binding(&state)
	}
	switch {
	case binding != nil && c.offers(scram.SHA256Plus):
		return scram.SHA256Plus, scram.ClientOptions{Binding: binding}, true
	case c.offers(scram.SHA256):
		return scram.SHA256, scram.ClientOptions{CouldBind: binding != nil}, true
	}
	return "", o, false
}

// maxServerChallenges bounds the challenges of an exchange: SCRAM has three, with the empty one that begins it.
const maxServerChallenges = 4

// authSCRAM proves that we know the password, and has the server prove that it knows the account (RFC 5034, RFC 5802). What is
// said is not written down: with the whole of it, passwords could be guessed at.
func (c *Client) authSCRAM(mechanism string, o scram.ClientOptions) error {
	login, err := scram.NewClient(o)
	if err != nil {
		return err
	}
	if err := c.send("AUTH "+mechanism, "AUTH "+mechanism); err != nil {
		return err
	}
	proven := false
	for range maxServerChallenges {
		challenge, more, err := c.scramChallenge()
		switch {
		case err != nil:
			return err
		case !more && !proven:
			return scram.ErrServer
		case !more:
			return nil
		case proven:
			return malformed("end of AUTH", "a further challenge")
		}
		var answer []byte
		if answer, proven, err = login.Next(challenge); err != nil {
			return errors.Join(err, c.cancelAuth())
		}
		if err := c.send(base64.StdEncoding.EncodeToString(answer), "***"); err != nil {
			return err
		}
	}
	return malformed("end of AUTH", "a further challenge")
}

// scramChallenge reads a challenge; more is false for the +OK that ends the exchange.
func (c *Client) scramChallenge() (challenge []byte, more bool, err error) {
	line, err := c.line(time.Now().Add(c.options.Timeout))
	if err != nil {
		return nil, false, err
	}
	if text, ok := strings.CutPrefix(line, "+ "); ok || line == "+" {
		shown := "+ ***"
		if text == "" || !ok {
			shown, text = line, ""
		}
		c.Transcript().Add(dialogue.Server, shown)
		challenge, err = base64.StdEncoding.Strict().DecodeString(text)
		if err != nil {
			return nil, false, malformed("challenge", "no base64")
		}
		return challenge, true, nil
	}
	c.Transcript().Add(dialogue.Server, line)
	s, err := parseStatus(line)
	if err != nil || s.ok {
		return nil, false, err
	}
	return nil, false, &RefusedError{Command: "AUTH", Code: s.code, Text: dialogue.Printable(s.text)}
}

// cancelAuth ends an exchange that makes no sense any more (RFC 5034 §4).
func (c *Client) cancelAuth() error {
	if err := c.send("*", "*"); err != nil {
		return err
	}
	_, err := c.reply("AUTH")
	return err
}
