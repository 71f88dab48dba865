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
)

// explainCommand prints a message's waybill, as the node of the configuration knows it.
type explainCommand struct {
	ID     string `arg:"" placeholder:"ID" help:"The message's id: from the final 250, the Received field, or a log."`
	Config string `required:"" type:"existingfile" placeholder:"FILE" help:"Configuration file of the node (TOML)."`
	JSON   bool   `name:"json" help:"Print one event a line as JSON."`
}

func (c *explainCommand) Run(ctx context.Context, std streams) error {
	id, err := mail.ParseID(c.ID)
	if err != nil {
		return err
	}
	conf, err := config.Load(c.Config)
	if err != nil {
		return err
	}
	admin, err := openAdmin(conf, std)
	if err != nil {
		return err
	}
	defer admin.Close()
	events, err := admin.Events(ctx, id)
	if err != nil {
		return err
	}
	if len(events) == 0 {
		return fmt.Errorf("%s knows no message %s: it may be another server's, or too old", conf.Hostname, id)
	}
	if !c.JSON {
		return explain.Render(std.out, events, renderOptions(std.out))
	}
	enc := json.NewEncoder(std.out)
	for _, e := range events {
		if err := enc.Encode(e); err != nil {
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
