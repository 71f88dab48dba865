package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"waybill/internal/maildir"
	"waybill/internal/mua"
)

// fetchCommand retrieves all mail of an account.
type fetchCommand struct {
	serverFlags
	Keep bool   `help:"Leave the mail on the server; default: delete what is safely kept in a Maildir or file."`
	Out  string `default:"-" placeholder:"DIR" help:"Maildir to put the messages into; - prints them, and leaves them on the server unless the output is a file."`
	Mbox string `placeholder:"FILE" help:"Add the messages to this mbox file instead."`
	JSON bool   `name:"json" help:"Print the result as JSON (with --out DIR or --mbox)."`
}

func (c *fetchCommand) Run(ctx context.Context, std streams) error {
	if c.User == "" {
		return usageErrorf("--user is required")
	}
	if c.Mbox != "" && c.Out != "-" {
		return usageErrorf("name either --out or --mbox")
	}
	client, err := c.client(std)
	if err != nil {
		return err
	}
	server, err := c.find(ctx, client)
	if err != nil {
		return err
	}
	password, err := c.password(std)
	if err != nil {
		return err
	}
	sink, closeSink, err := c.sink(std)
	if err != nil {
		return err
	}
	remove := !c.Keep && c.keepsSafely(std)
	n, err := client.Retrieve(ctx, mua.Settings{User: c.User, Password: password, POP3: server}, sink, remove)
	return errors.Join(c.report(std, n, remove), explainClient(err), closeSink())
}

// find is the server of the flags, or the one that the DNS names.
func (c *fetchCommand) find(ctx context.Context, client *mua.Client) (mua.Server, error) {
	if c.Server != "" {
		return c.server(defaultPorts{plain: 110, implicit: 995})
	}
	return c.discover(ctx, client, []service{{"_pop3s._tcp", mua.Implicit}, {"_pop3._tcp", mua.StartTLS}})
}

// sink is where the messages go to.
func (c *fetchCommand) sink(std streams) (sink mua.Sink, end func() error, err error) {
	end = func() error { return nil }
	switch {
	case c.Mbox != "":
		s, err := openMboxSink(c.Mbox)
		if err != nil {
			return nil, end, err
		}
		return s, s.Close, nil
	case c.Out != "-":
		dir, err := maildir.Create(c.Out)
		if err != nil {
			return nil, end, err
		}
		return maildirSink{dir}, dir.Close, nil
	}
	return printSink{std.out}, end, nil
}

// toFile says whether the messages go to a Maildir or mbox, not to the output.
func (c *fetchCommand) toFile() bool { return c.Mbox != "" || c.Out != "-" }

// keepsSafely says whether what is written is on a disk afterwards: what went into a pipe or to a terminal may be lost.
func (c *fetchCommand) keepsSafely(std streams) bool {
	if c.toFile() {
		return true
	}
	f, ok := fileUnder(std.out)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode().IsRegular()
}

func (c *fetchCommand) report(std streams, n int, removed bool) error {
	if c.JSON && c.toFile() {
		return json.NewEncoder(std.out).Encode(map[string]any{"retrieved": n, "deleted": removed})
	}
	fate := "left on the server"
	if removed {
		fate = "deleted from the server"
	}
	noun := "messages"
	if n == 1 {
		noun = "message"
	}
	fmt.Fprintf(std.err, "%d %s retrieved and %s\n", n, noun, fate)
	return nil
}
