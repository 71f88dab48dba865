package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"waybill/internal/mail"
	"waybill/internal/mua"
)

// sendCommand submits one message.
type sendCommand struct {
	serverFlags
	From    string   `required:"" placeholder:"A" help:"Reverse-path, and From of a composed letter."`
	To      []string `placeholder:"B" help:"Forward-path, repeatable. Of a --letter without it: the addresses of its To, Cc and Bcc."`
	Cc      []string `placeholder:"C" help:"Another recipient, who is named as such; repeatable."`
	Bcc     []string `placeholder:"D" help:"Another recipient, whom nobody sees; repeatable."`
	ReplyTo string   `placeholder:"A" help:"Where answers go to, if not to --from."`
	Subject string   `help:"Subject of a composed letter."`
	Header  []string `sep:"none" placeholder:"'NAME: TEXT'" help:"A further header field of a composed letter; repeatable."`
	Body    string   `help:"Text of a composed letter; default: standard input."`
	Attach  []string `sep:"none" type:"existingfile" placeholder:"FILE" help:"A file that goes with a composed letter; repeatable."`
	JSON    bool     `name:"json" help:"Print the result as JSON."`
	Letter  string   `placeholder:"FILE.eml" help:"Send this whole message instead of composing one; - is standard input. Bcc is removed; From, Date and Message-ID are added where they are missing."`
}

func (c *sendCommand) Run(ctx context.Context, std streams) error {
	if err := c.check(); err != nil {
		return err
	}
	letter, receipt, err := c.send(ctx, std)
	return c.report(std, letter, receipt, err)
}

// send does it.
func (c *sendCommand) send(ctx context.Context, std streams) (letter mua.Letter, receipt mua.Receipt, err error) {
	password, err := c.password(std) // first: it may be the first line of standard input
	if err != nil {
		return letter, receipt, err
	}
	letter, files, err := c.letter(std)
	defer files.Close()
	if err != nil {
		return letter, receipt, err
	}
	client, err := c.client(std)
	if err != nil {
		return letter, receipt, err
	}
	settings := mua.Settings{Address: letter.ReversePath, User: c.User, Password: password}
	if settings.SMTP, err = c.find(ctx, client, letter); err != nil {
		return letter, receipt, err
	}
	receipt, err = client.Submit(ctx, settings, letter)
	return letter, receipt, err
}

// find is the server of the flags, or those that the DNS names.
func (c *sendCommand) find(ctx context.Context, client *mua.Client, letter mua.Letter) ([]mua.Server, error) {
	if c.Server != "" {
		server, err := c.server(defaultPorts{plain: 587, implicit: 465})
		return []mua.Server{server}, err
	}
	if c.User != "" {
		return c.discover(ctx, client, mua.Service{Name: "_submissions._tcp", Security: mua.Implicit}, mua.Service{Name: "_submission._tcp", Security: mua.StartTLS})
	}
	servers, err := client.Exchangers(ctx, letter.ForwardPaths)
	if errors.Is(err, mua.ErrSeveralDomains) {
		return nil, usageErrorf("%w; name one with --server, or --user for yours", err)
	}
	return servers, err
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

// closers are files that are needed until the letter is sent.
type closers []io.Closer

func (c closers) Close() {
	for _, file := range c {
		file.Close() // they were only read
	}
}

// letter is the envelope, and the message of the flags or of a file.
func (c *sendCommand) letter(std streams) (l mua.Letter, files closers, err error) {
	from, rest, err := mail.ParsePath(c.From)
	if err != nil {
		return l, nil, usageErrorf("--from: %v", err)
	}
	if rest != "" {
		return l, nil, usageErrorf("--from %q is more than an address", c.From)
	}
	var lists [3][]mail.Address
	for i, list := range [][]string{c.To, c.Cc, c.Bcc} {
		for _, s := range list {
			to, err := parseAddress([]string{"--to", "--cc", "--bcc"}[i], s)
			if err != nil {
				return l, nil, err
			}
			lists[i] = append(lists[i], to)
		}
	}
	l = mua.Letter{ReversePath: from, ForwardPaths: once(slices.Concat(lists[0], lists[1], lists[2]))}
	if c.Letter != "" {
		return c.whole(std, l)
	}
	l.Content, files, err = c.compose(std, from, lists[0], lists[1])
	return l, files, err
}

// once leaves each address out that stands before: nobody is to get a letter twice.
func once(list []mail.Address) (each []mail.Address) {
	seen := map[string]bool{}
	for _, a := range list {
		if !seen[a.String()] {
			seen[a.String()] = true
			each = append(each, a)
		}
	}
	return each
}

// whole takes a message as it is, but for its line ends and what readWhole says.
func (c *sendCommand) whole(std streams, l mua.Letter) (mua.Letter, closers, error) {
	var s rereadable
	var err error
	if c.Letter == "-" {
		s, err = readSource(std.in)
	} else {
		s, err = openSource(c.Letter)
	}
	if err != nil {
		return l, nil, fmt.Errorf("read the message: %w", err)
	}
	message, err := readWhole(s, l.ReversePath)
	if err != nil {
		return l, closers{s}, err
	}
	if len(l.ForwardPaths) == 0 {
		if l.ForwardPaths, err = message.recipients(); err != nil {
			return l, closers{s}, err
		}
	}
	l.Content = message.content()
	return l, closers{s}, nil
}
