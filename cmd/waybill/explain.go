package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"

	"waybill/internal/config"
	"waybill/internal/explain"
	"waybill/internal/mail"
	"waybill/internal/trail"
)

// explainCommand prints a message's waybill, or what a peer did, as the node of the configuration knows it.
type explainCommand struct {
	ID     string `arg:"" optional:"" placeholder:"ID" help:"The message's id: from the final 250, the Received field, or a log. Or a session's, from a log or the list of --peer."`
	Peer   string `placeholder:"ADDR[/BITS]" help:"List the sessions and messages of that address or network instead, newest last."`
	Since  string `default:"24h" placeholder:"TIME" help:"Of --peer or a session: from when on. How long ago (90m, 24h) or a time in UTC (2026-11-23, 2026-11-23T12:00)."`
	Until  string `placeholder:"TIME" help:"Of --peer or a session: up to when. Default: now."`
	Config string `required:"" env:"WAYBILL_CONFIG" type:"existingfile" placeholder:"FILE" help:"Configuration file of the node (TOML)."`
	JSON   bool   `name:"json" help:"Print one event a line as JSON; with --peer one visit."`
}

func (c *explainCommand) Run(ctx context.Context, std streams) error {
	if (c.ID == "") == (c.Peer == "") {
		return usageErrorf("name either an id or a --peer")
	}
	show := c.message
	var q trail.Query
	var err error
	if c.Peer != "" || isSession(c.ID) {
		show = c.visits
		if q, err = c.query(); err != nil {
			return err
		}
	} else if _, err = mail.ParseID(c.ID); err != nil {
		return err
	}
	conf, err := config.Load(c.Config)
	if err != nil {
		return err
	}
	admin, err := openAdmin(conf, c.Config, std)
	if err != nil {
		return err
	}
	defer admin.Close()
	return show(ctx, std, admin, conf.Hostname, q)
}

func (c *explainCommand) message(ctx context.Context, std streams, admin admin, hostname string, _ trail.Query) error {
	id, err := mail.ParseID(c.ID)
	if err != nil {
		return err
	}
	events, err := admin.Events(ctx, id)
	if err != nil {
		return err
	}
	if len(events) == 0 {
		return fmt.Errorf("%s knows no message %s: it may be another server's, or too old", hostname, id)
	}
	return c.story(std, events)
}

// story prints events for people or programs.
func (c *explainCommand) story(std streams, events []trail.Event) error {
	if c.JSON {
		return encodeEach(std.out, events)
	}
	return explain.Render(std.out, events, renderOptions(std.out))
}

func encodeEach[T any](w io.Writer, values []T) error {
	enc := json.NewEncoder(w)
	for _, v := range values {
		if err := enc.Encode(v); err != nil {
			return err
		}
	}
	return nil
}

// renderOptions colours only on a terminal, and only if NO_COLOR is not set.
func renderOptions(w io.Writer) explain.Options {
	f, ok := fileUnder(w)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return explain.Options{}
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		width = 0
	}
	return explain.Options{Color: os.Getenv("NO_COLOR") == "", Width: width}
}
