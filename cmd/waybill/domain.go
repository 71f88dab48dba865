package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"waybill/internal/config"
	"waybill/internal/control"
	"waybill/internal/directory"
)

// domainCommand manages the domains that are not in the configuration.
type domainCommand struct {
	Add  domainAddCommand  `cmd:"" help:"Take mail for a further domain."`
	Set  domainSetCommand  `cmd:"" help:"Change a domain."`
	List domainListCommand `cmd:"" help:"List the domains, those of the configuration too."`
	Show domainShowCommand `cmd:"" help:"Show a domain."`
	Rm   domainRmCommand   `cmd:"" help:"Take no mail for a domain any more. It must have no accounts and aliases."`
}

type domainArguments struct {
	Name       string  `arg:"" placeholder:"DOMAIN" help:"The domain's name."`
	Postmaster *string `placeholder:"ADDR" help:"Who gets the mail for postmaster there; empty: the domain's first account."`
	SCRAM      *bool   `name:"scram" negatable:"" help:"Whether its accounts can log in by SCRAM (with passwords that are set from now on)."`
	configFlag
}

type (
	domainAddCommand struct{ domainArguments }
	domainSetCommand struct{ domainArguments }
)

func (c *domainAddCommand) Run(ctx context.Context, std streams) error {
	return c.put(ctx, std, true, "created", "mail for %s is taken from now on\n")
}

func (c *domainSetCommand) Run(ctx context.Context, std streams) error {
	return c.put(ctx, std, false, "changed", "domain %s changed\n")
}

func (c *domainArguments) put(ctx context.Context, std streams, isNew bool, key, words string) error {
	name, err := domainArg(c.Name)
	if err != nil {
		return err
	}
	return c.with(std, func(a admin, _ config.Config) error {
		change := control.DomainChange{Name: name, New: isNew, Postmaster: c.Postmaster, SCRAM: c.SCRAM}
		if err := a.PutDomain(ctx, change); err != nil {
			return err
		}
		return c.say(std, key, name, words)
	})
}

// domainListCommand lists domains.
type domainListCommand struct{ configFlag }

func (c *domainListCommand) Run(ctx context.Context, std streams) error {
	return c.with(std, func(a admin, _ config.Config) error {
		domains, err := a.Domains(ctx)
		if err != nil {
			return err
		}
		var rows [][]string
		var values []any
		for _, x := range domains {
			rows = append(rows, []string{x.Name, strconv.Itoa(x.Accounts), strconv.Itoa(x.Aliases), postmasterWords(x), placeWords(x)})
			values = append(values, x)
		}
		return c.table(std, "no domains", "DOMAIN ACCOUNTS ALIASES POSTMASTER WHERE", rows, values)
	})
}

func postmasterWords(x control.Domain) string {
	if x.Postmaster == "" {
		return "first account"
	}
	return x.Postmaster
}

func placeWords(x control.Domain) string {
	if x.Configured {
		return "configuration"
	}
	return "store"
}

// domainShowCommand shows a domain.
type domainShowCommand struct {
	Name string `arg:"" placeholder:"DOMAIN" help:"The domain's name."`
	configFlag
}

func (c *domainShowCommand) Run(ctx context.Context, std streams) error {
	name, err := domainArg(c.Name)
	if err != nil {
		return err
	}
	return c.with(std, func(a admin, _ config.Config) error {
		x, ok, err := find(ctx, a.Domains, func(x control.Domain) bool { return x.Name == name })
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("domain %s: %w", name, directory.ErrNoDomain)
		}
		if c.JSON {
			return json.NewEncoder(std.out).Encode(x)
		}
		scram := "offered"
		if !x.SCRAM {
			scram = "not offered"
		}
		_, err = fmt.Fprintf(std.out, "%s (from the %s)\naccounts    %d\naliases     %d\npostmaster  %s\nSCRAM       %s\n",
			x.Name, placeWords(x), x.Accounts, x.Aliases, postmasterWords(x), scram)
		return err
	})
}

// domainRmCommand removes a domain.
type domainRmCommand struct {
	Name string `arg:"" placeholder:"DOMAIN" help:"The domain's name."`
	configFlag
}

func (c *domainRmCommand) Run(ctx context.Context, std streams) error {
	name, err := domainArg(c.Name)
	if err != nil {
		return err
	}
	return c.with(std, func(a admin, _ config.Config) error {
		if err := a.RemoveDomain(ctx, name); err != nil {
			return err
		}
		return c.say(std, "removed", name, "mail for %s is taken no more\n")
	})
}
