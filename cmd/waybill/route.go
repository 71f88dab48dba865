package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"waybill/internal/config"
	"waybill/internal/control"
	"waybill/internal/mail"
)

// routeCommand tells what would happen to mail from one address to another.
type routeCommand struct {
	From string `arg:"" placeholder:"FROM" help:"Reverse-path; <> is the null one."`
	To   string `arg:"" placeholder:"TO" help:"Forward-path."`
	configFlag
}

func (c *routeCommand) Run(ctx context.Context, std streams) error {
	from, rest, err := mail.ParsePath(c.From)
	if err != nil || rest != "" {
		return usageErrorf("FROM %q is not an address", c.From)
	}
	to, rest, err := mail.ParsePath(c.To)
	if err != nil || rest != "" || to.IsNull() {
		return usageErrorf("TO %q is not an address", c.To)
	}
	return c.with(std, func(a admin, _ config.Config) error {
		route, err := a.Route(ctx, from, to)
		if err != nil {
			return err
		}
		return c.print(std, route)
	})
}

// print fails if the message would get no further: so that scripts can ask.
func (c *routeCommand) print(std streams, route control.Route) error {
	var err error
	for _, s := range route.Steps {
		if s.Bad {
			err = errReported
		}
	}
	if c.JSON {
		if e := json.NewEncoder(std.out).Encode(route); e != nil {
			return e
		}
		return err
	}
	for i, s := range route.Steps {
		fmt.Fprintf(std.out, "%d. %s\n   %s\n", i+1, s.Question, s.Answer)
		for _, d := range s.Details {
			fmt.Fprintf(std.out, "   - %s\n", d)
		}
		if s.Rule != "" {
			fmt.Fprintf(std.out, "   because: %s\n", s.Rule)
		}
		for _, q := range s.DNS {
			fmt.Fprintf(std.out, "   DNS: %s %s: %s %s\n", q.Name, q.Type, q.Code, strings.Join(q.Answers, "; "))
		}
	}
	return err
}
