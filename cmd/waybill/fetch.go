package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"waybill/internal/mua"
)

// fetchCommand retrieves the mail of an account.
type fetchCommand struct {
	serverFlags
	Keep  bool   `help:"Leave the mail on the server, and fetch only what was not fetched before; default: delete what is safely kept in a Maildir or file."`
	All   bool   `help:"Fetch what was fetched before too."`
	Out   string `default:"-" placeholder:"DIR" help:"Maildir to put the messages into; - prints them, and leaves them on the server unless the output is a file."`
	Mbox  string `placeholder:"FILE" help:"Add the messages to this mbox file instead."`
	State string `placeholder:"FILE" help:"Where to remember what was fetched. Default: waybill-fetched-… in the Maildir, FILE.fetched-… beside an mbox; of what is printed nothing is remembered."`
	JSON  bool   `name:"json" help:"Print the result as JSON (with --out DIR or --mbox)."`
}

func (c *fetchCommand) Run(ctx context.Context, std streams) error {
	if err := c.check(); err != nil {
		return err
	}
	haul, err := c.fetch(ctx, std)
	return errors.Join(c.report(std, haul, err), err)
}

// fetch does it.
func (c *fetchCommand) fetch(ctx context.Context, std streams) (haul mua.Haul, err error) {
	password, err := c.password(std)
	if err != nil {
		return haul, err
	}
	client, err := c.client(std)
	if err != nil {
		return haul, err
	}
	servers, err := c.find(ctx, client)
	if err != nil {
		return haul, later(haul, err)
	}
	sink, closeSink, err := c.sink(std)
	if err != nil {
		return haul, err
	}
	retrieval := mua.Retrieval{Sink: sink, Remove: !c.Keep && c.keepsSafely(std)}
	memory, err := c.memory(servers, retrieval.Remove)
	if err != nil {
		return haul, errors.Join(err, closeSink())
	}
	if memory != nil {
		retrieval.Memory = memory
		defer memory.Close()
	}
	haul, err = client.Retrieve(ctx, mua.Settings{User: c.User, Password: password, POP3: servers}, retrieval)
	return haul, errors.Join(later(haul, err), closeSink())
}

func (c *fetchCommand) check() error {
	switch {
	case c.User == "":
		return usageErrorf("--user is required")
	case c.Mbox != "" && c.Out != "-":
		return usageErrorf("name either --out or --mbox")
	case c.JSON && !c.toFile():
		return usageErrorf("--json needs --out DIR or --mbox FILE: the messages would stand between")
	case c.All && c.State != "":
		return usageErrorf("name either --all or --state")
	}
	return nil
}

// later says of an error that it may pass, if it did and nothing happened.
func later(haul mua.Haul, err error) error {
	explained := explainClient(err)
	if haul == (mua.Haul{}) && mua.Temporary(err) {
		return laterError{explained}
	}
	return explained
}

// find is the server of the flags, or those that the DNS names.
func (c *fetchCommand) find(ctx context.Context, client *mua.Client) ([]mua.Server, error) {
	if c.Server != "" {
		server, err := c.server(defaultPorts{plain: 110, implicit: 995})
		return []mua.Server{server}, err
	}
	return c.discover(ctx, client, mua.Service{Name: "_pop3s._tcp", Security: mua.Implicit}, mua.Service{Name: "_pop3._tcp", Security: mua.StartTLS})
}

// account names the maildrop: that of the user, at the server that was named or at whichever the DNS gives.
func (c *fetchCommand) account(servers []mua.Server) string {
	if c.Server == "" {
		return c.User
	}
	return c.User + " at " + servers[0].String()
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

// fetchResult is what --json prints of a retrieval.
type fetchResult struct {
	Retrieved int    `json:"retrieved"` // copied, and durable
	Known     int    `json:"known"`     // were fetched before
	Failed    int    `json:"failed"`    // could not be had, or not be deleted
	Deleted   int    `json:"deleted"`   // as the server has confirmed
	Doubt     int    `json:"doubt"`     // may be deleted or not
	Error     string `json:"error,omitempty"`
}

func (c *fetchCommand) report(std streams, h mua.Haul, err error) error {
	if c.JSON {
		r := fetchResult{Retrieved: h.Kept, Known: h.Known, Failed: h.Failed, Deleted: h.Deleted, Doubt: h.Doubt}
		if err != nil {
			r.Error = visible(err.Error())
		}
		return json.NewEncoder(std.out).Encode(r)
	}
	if err != nil && h == (mua.Haul{}) {
		return nil
	}
	noun := "messages"
	if h.Kept == 1 {
		noun = "message"
	}
	parts := []string{fmt.Sprintf("%d %s retrieved", h.Kept, noun)}
	for _, p := range []struct {
		n    int
		what string
	}{
		{h.Known, "%d fetched before"}, {h.Failed, "%d failed"}, {h.Deleted, "%d deleted from the server"},
		{h.Doubt, "%d to be deleted, which the server did not confirm"}, {h.Kept + h.Known - h.Deleted - h.Doubt, "%d left on the server"},
	} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf(p.what, p.n))
		}
	}
	fmt.Fprintln(std.err, strings.Join(parts, ", "))
	return nil
}
