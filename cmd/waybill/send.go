package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"waybill/internal/mail"
	"waybill/internal/message"
	"waybill/internal/mua"
)

// sendCommand submits one message.
type sendCommand struct {
	serverFlags
	From    string   `required:"" placeholder:"A" help:"Reverse-path, and From of a composed letter."`
	To      []string `required:"" placeholder:"B" help:"Forward-path, repeatable."`
	Subject string   `help:"Subject of a composed letter."`
	Body    string   `help:"Text of a composed letter; default: standard input."`
	JSON    bool     `name:"json" help:"Print the result as JSON."`
	Letter  string   `type:"existingfile" placeholder:"FILE.eml" help:"Send this whole message instead of composing one."`
}

func (c *sendCommand) Run(ctx context.Context, std streams) error {
	letter, err := c.letter(std)
	if err != nil {
		return err
	}
	server, err := c.server(defaultPorts{plain: 587, implicit: 465})
	if err != nil {
		return err
	}
	client, err := c.client(std)
	if err != nil {
		return err
	}
	password, err := c.password(std)
	if err != nil {
		return err
	}
	settings := mua.Settings{Address: letter.ReversePath, User: c.User, Password: password, SMTP: server}
	receipt, err := client.Submit(ctx, settings, letter)
	if err != nil {
		return explainClient(err)
	}
	return c.report(std, letter, receipt)
}

// report tells what the server said, for each recipient that it refused.
func (c *sendCommand) report(std streams, letter mua.Letter, receipt mua.Receipt) error {
	if c.JSON {
		err := json.NewEncoder(std.out).Encode(map[string]any{
			"sent": receipt.Accepted(), "id": receipt.ID, "status": receipt.Status(), "recipients": receipt.Results.Recipients,
		})
		if err == nil && !receipt.Accepted() {
			err = errReported
		}
		return err
	}
	if !receipt.Results.Mail.Success() {
		return fmt.Errorf("not sent: the server refuses the sender %s: %s", letter.ReversePath.Path(), receipt.Results.Mail)
	}
	for i, status := range receipt.Results.Recipients {
		if !status.Success() {
			fmt.Fprintf(std.err, "%s refused: %s\n", letter.ForwardPaths[i], status)
		}
	}
	switch {
	case receipt.Accepted():
		fmt.Fprintf(std.out, "sent: %s\n", receipt.Status())
		return nil
	case receipt.Results.Data.Success():
		return fmt.Errorf("sent, but not to everybody (%s)", receipt.Results.Data)
	}
	return fmt.Errorf("not sent: %s", receipt.Status())
}

// maxLetter bounds what is read as a letter, in octets.
const maxLetter = 100 << 20

func (c *sendCommand) letter(std streams) (mua.Letter, error) {
	from, rest, err := mail.ParsePath(c.From)
	if err != nil || rest != "" {
		return mua.Letter{}, usageErrorf("--from %q is not an address", c.From)
	}
	l := mua.Letter{ReversePath: from}
	for _, s := range c.To {
		to, err := mail.ParseAddress(s)
		if err != nil {
			return l, usageErrorf("--to: %v", err)
		}
		l.ForwardPaths = append(l.ForwardPaths, to)
	}
	if c.Letter != "" {
		l.Content, err = readLetter(c.Letter)
		return l, err
	}
	body := c.Body
	if body == "" {
		if c.PasswordStdin {
			return l, errors.New("--password-stdin takes standard input: give the text with --body or --letter")
		}
		text, err := io.ReadAll(io.LimitReader(std.in, maxLetter))
		if err != nil {
			return l, err
		}
		body = string(text)
	}
	l.Content, err = message.Letter{From: from, To: l.ForwardPaths, Subject: c.Subject, Body: body}.Bytes()
	return l, err
}

// readLetter reads a message from a file and gives it the line ends of the wire, CR LF.
func readLetter(file string) ([]byte, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if len(content) > maxLetter {
		return nil, fmt.Errorf("%s is larger than %d octets", file, maxLetter)
	}
	content = bytes.ReplaceAll(content, []byte("\r\n"), []byte("\n"))
	content = bytes.ReplaceAll(content, []byte("\n"), []byte("\r\n"))
	if !bytes.HasSuffix(content, []byte("\r\n")) {
		content = append(content, "\r\n"...)
	}
	return content, nil
}
