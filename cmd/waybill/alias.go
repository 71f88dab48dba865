package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"waybill/internal/config"
	"waybill/internal/directory"
	"waybill/internal/mail"
)

// aliasCommand manages aliases.
type aliasCommand struct {
	Add  aliasAddCommand  `cmd:"" help:"Make an alias: mail for ADDR goes to each TARGET, here or elsewhere. '*@DOMAIN' is the catch-all."`
	Set  aliasSetCommand  `cmd:"" help:"Give an alias other targets."`
	List aliasListCommand `cmd:"" help:"List aliases."`
	Show aliasShowCommand `cmd:"" help:"Show an alias."`
	Rm   aliasRmCommand   `cmd:"" help:"Remove an alias."`
}

type aliasArguments struct {
	Address string   `arg:"" placeholder:"ADDR" help:"The alias' address, or *@DOMAIN for all addresses there that nobody has."`
	Targets []string `arg:"" placeholder:"TARGET" help:"Who gets the mail."`
	configFlag
}

type (
	aliasAddCommand struct{ aliasArguments }
	aliasSetCommand struct{ aliasArguments }
)

func (c *aliasAddCommand) Run(ctx context.Context, std streams) error {
	return c.put(ctx, std, true, "created", "alias %s created\n")
}

func (c *aliasSetCommand) Run(ctx context.Context, std streams) error {
	return c.put(ctx, std, false, "changed", "alias %s changed\n")
}

func (c *aliasArguments) put(ctx context.Context, std streams, isNew bool, key, words string) error {
	addr, err := parseAddress("ADDR", c.Address)
	if err != nil {
		return err
	}
	alias := directory.Alias{Address: addr}
	for _, s := range c.Targets {
		target, err := parseAddress("TARGET", s)
		if err != nil {
			return err
		}
		alias.Targets = append(alias.Targets, target)
	}
	return c.with(std, func(a admin, _ config.Config) error {
		if err := a.PutAlias(ctx, alias, isNew); err != nil {
			return err
		}
		return c.say(std, key, addr, words)
	})
}

// aliasListCommand lists aliases.
type aliasListCommand struct {
	Domain string `arg:"" optional:"" help:"Only those of this domain."`
	configFlag
}

func (c *aliasListCommand) Run(ctx context.Context, std streams) error {
	domain, err := domainArg(c.Domain)
	if err != nil {
		return err
	}
	return c.with(std, func(a admin, _ config.Config) error {
		aliases, err := a.Aliases(ctx, domain)
		if err != nil {
			return err
		}
		var rows [][]string
		var values []any
		for _, x := range aliases {
			rows = append(rows, []string{x.Address.String(), addressList(x.Targets)})
			values = append(values, aliasJSON(x))
		}
		return c.table(std, "no aliases", "ALIAS TARGETS", rows, values)
	})
}

func aliasJSON(x directory.Alias) map[string]any {
	return map[string]any{"address": x.Address, "targets": x.Targets, "created": x.Created}
}

func addressList(addrs []mail.Address) string {
	var texts []string
	for _, a := range addrs {
		texts = append(texts, a.String())
	}
	return strings.Join(texts, ", ")
}

// aliasShowCommand shows an alias.
type aliasShowCommand struct {
	Address string `arg:"" placeholder:"ADDR" help:"The alias' address."`
	configFlag
}

func (c *aliasShowCommand) Run(ctx context.Context, std streams) error {
	addr, err := parseAddress("ADDR", c.Address)
	if err != nil {
		return err
	}
	return c.with(std, func(a admin, _ config.Config) error {
		list := func(ctx context.Context) ([]directory.Alias, error) { return a.Aliases(ctx, addr.Domain) }
		alias, ok, err := find(ctx, list, func(x directory.Alias) bool { return x.Address.Key() == addr.Key() })
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("alias %s: %w", addr, directory.ErrNoAlias)
		}
		if c.JSON {
			return json.NewEncoder(std.out).Encode(aliasJSON(alias))
		}
		fmt.Fprintf(std.out, "%s, since %s, leads to\n", alias.Address, alias.Created.Format("2006-01-02 15:04 MST"))
		for _, t := range alias.Targets {
			fmt.Fprintf(std.out, "  %s\n", t)
		}
		return nil
	})
}

// aliasRmCommand removes an alias.
type aliasRmCommand struct {
	Address string `arg:"" placeholder:"ADDR" help:"The alias' address."`
	configFlag
}

func (c *aliasRmCommand) Run(ctx context.Context, std streams) error {
	addr, err := parseAddress("ADDR", c.Address)
	if err != nil {
		return err
	}
	return c.with(std, func(a admin, _ config.Config) error {
		if err := a.RemoveAlias(ctx, addr); err != nil {
			return err
		}
		return c.say(std, "removed", addr, "alias %s removed\n")
	})
}
