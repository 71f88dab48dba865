package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"waybill/internal/lineend"
	"waybill/internal/mail"
	"waybill/internal/message"
	"waybill/internal/mua"
)

// sendCommand submits one message.
type sendCommand struct {
	serverFlags
	From    string   `required:"" placeholder:"A" help:"Reverse-path, and From of a composed letter."`
	To      []string `placeholder:"B" help:"Forward-path, repeatable. Of a --letter without it: the addresses of its To, Cc and Bcc; Bcc is removed."`
	Cc      []string `placeholder:"C" help:"Another recipient, who is named as such; repeatable."`
	Bcc     []string `placeholder:"D" help:"Another recipient, whom nobody sees; repeatable."`
	ReplyTo string   `placeholder:"A" help:"Where answers go to, if not to --from."`
	Subject string   `help:"Subject of a composed letter."`
	Header  []string `sep:"none" placeholder:"'NAME: TEXT'" help:"A further header field of a composed letter; repeatable."`
	Body    string   `help:"Text of a composed letter; default: standard input."`
	Attach  []string `sep:"none" type:"existingfile" placeholder:"FILE" help:"A file that goes with a composed letter; repeatable."`
	JSON    bool     `name:"json" help:"Print the result as JSON."`
	Letter  string   `placeholder:"FILE.eml" help:"Send this whole message instead of composing one; - is standard input."`
}

func (c *sendCommand) Run(ctx context.Context, std streams) error {
	if err := c.check(); err != nil {
		return err
	}
	password, err := c.password(std) // first: it may be the first line of standard input
	if err != nil {
		return err
	}
	draft, err := newDraftFile()
	if err != nil {
		return err
	}
	defer draft.Close()
	letter, err := c.letter(std, draft)
	if err != nil {
		return err
	}
	client, err := c.client(std)
	if err != nil {
		return err
	}
	server, err := c.find(ctx, client, letter)
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

// find is the server of the flags, or the one that the DNS names.
func (c *sendCommand) find(ctx context.Context, client *mua.Client, letter mua.Letter) (mua.Server, error) {
	if c.Server != "" {
		return c.server(defaultPorts{plain: 587, implicit: 465})
	}
	if c.User != "" {
		return c.discover(ctx, client, []service{{"_submissions._tcp", mua.Implicit}, {"_submission._tcp", mua.StartTLS}})
	}
	return client.Exchanger(ctx, letter.ForwardPaths)
}

func (c *sendCommand) check() error {
	composed := c.Subject != "" || c.Body != "" || len(c.Attach)+len(c.Header)+len(c.Cc)+len(c.Bcc) > 0 || c.ReplyTo != ""
	switch {
	case c.Letter != "" && composed:
		return usageErrorf("--letter is a whole message: --subject, --body, --attach and the like are for composing one")
	case c.Letter == "" && len(c.To)+len(c.Cc)+len(c.Bcc) == 0:
		return usageErrorf("name somebody: --to, --cc or --bcc")
	case c.PasswordStdin && (c.Letter == "-" || c.Letter == "" && c.Body == ""):
		return usageErrorf("--password-stdin takes standard input: give the text with --body or --letter FILE")
	}
	return nil
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

// letter composes the message, or reads it, into draft.
func (c *sendCommand) letter(std streams, draft *draftFile) (mua.Letter, error) {
	from, rest, err := mail.ParsePath(c.From)
	if err != nil || rest != "" {
		return mua.Letter{}, usageErrorf("--from %q is not an address", c.From)
	}
	l := mua.Letter{ReversePath: from}
	var lists [3][]mail.Address
	for i, list := range [][]string{c.To, c.Cc, c.Bcc} {
		for _, s := range list {
			to, err := parseAddress([]string{"--to", "--cc", "--bcc"}[i], s)
			if err != nil {
				return l, err
			}
			lists[i] = append(lists[i], to)
		}
	}
	l.ForwardPaths = slices.Concat(lists[0], lists[1], lists[2])
	if c.Letter != "" {
		return c.read(std, draft, l)
	}
	letter, err := c.composed(std, from, lists[0], lists[1])
	if err != nil {
		return l, err
	}
	if err := letter.Write(draft); err != nil {
		return l, err
	}
	l.Content, err = draft.content()
	return l, err
}

// composed is the letter of the flags.
func (c *sendCommand) composed(std streams, from mail.Address, to, cc []mail.Address) (message.Letter, error) {
	l := message.Letter{From: from, To: to, Cc: cc, Subject: c.Subject, Body: c.Body}
	var err error
	if len(to)+len(cc) == 0 { // all are hidden
		l.To, l.Extra = []mail.Address{from}, nil
	}
	if c.ReplyTo != "" {
		if l.ReplyTo, err = parseAddress("--reply-to", c.ReplyTo); err != nil {
			return l, err
		}
	}
	for _, h := range c.Header {
		name, text, ok := strings.Cut(h, ":")
		if !ok {
			return l, usageErrorf("--header %q is not NAME: TEXT", h)
		}
		l.Extra = append(l.Extra, message.Extra{Name: name, Value: strings.TrimSpace(text)})
	}
	for _, file := range c.Attach {
		l.Attachments = append(l.Attachments, message.Attachment{
			Name: filepath.Base(file), Type: mime.TypeByExtension(filepath.Ext(file)), Open: func() (io.ReadCloser, error) { return os.Open(file) },
		})
	}
	if c.Body == "" {
		l.Body, err = readText(std.in)
	}
	return l, err
}

// maxText bounds a text that is composed, in octets: it is held whole.
const maxText = 10 << 20

func readText(in io.Reader) (string, error) {
	text, err := io.ReadAll(io.LimitReader(in, maxText+1))
	if err == nil && len(text) > maxText {
		err = fmt.Errorf("the text is longer than %d octets; --attach sends a file, and --letter a whole message", maxText)
	}
	return string(text), err
}

// read takes a whole message as it is, but for its line ends.
func (c *sendCommand) read(std streams, draft *draftFile, l mua.Letter) (mua.Letter, error) {
	in := std.in
	if c.Letter != "-" {
		f, err := os.Open(c.Letter)
		if err != nil {
			return l, err
		}
		defer f.Close()
		in = f
	}
	bcc := &bccFilter{next: draft, keep: len(l.ForwardPaths) > 0}
	w := lineend.ToWire(bcc)
	if _, err := io.Copy(w, in); err != nil {
		return l, err
	}
	if err := bcc.end(); err != nil {
		return l, err
	}
	if len(l.ForwardPaths) == 0 {
		if l.ForwardPaths = bcc.recipients(); len(l.ForwardPaths) == 0 {
			return l, usageErrorf("the message names nobody in To, Cc or Bcc; name somebody with --to")
		}
	}
	var err error
	l.Content, err = draft.content()
	return l, err
}
