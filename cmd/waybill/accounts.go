package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"waybill/internal/config"
	"waybill/internal/control"
	"waybill/internal/directory"
	"waybill/internal/mailbox"
)

// accountListCommand lists accounts.
type accountListCommand struct {
	Domain string `arg:"" optional:"" help:"Only those of this domain."`
	configFlag
}

func (c *accountListCommand) Run(ctx context.Context, std streams) error {
	domain, err := domainArg(c.Domain)
	if err != nil {
		return err
	}
	return c.with(std, func(a admin, _ config.Config) error {
		accounts, err := a.Accounts(ctx, domain)
		if err != nil {
			return err
		}
		var rows [][]string
		var values []any
		for _, x := range accounts {
			rows = append(rows, []string{x.Address.String(), octets(x.Used), quotaWords(x), stateWords(x), x.Created.Format("2006-01-02")})
			values = append(values, x)
		}
		return c.table(std, "no accounts", "ADDRESS USED QUOTA STATE CREATED", rows, values)
	})
}

func quotaWords(x control.Account) string {
	words := "none"
	if x.Quota > 0 {
		words = octets(x.Quota)
	}
	if !x.OwnQuota {
		words += " (default)"
	}
	return words
}

func stateWords(x control.Account) string {
	if x.Disabled {
		return "disabled"
	}
	return "enabled"
}

// accountShowCommand shows one account.
type accountShowCommand struct {
	Address string `arg:"" placeholder:"ADDR" help:"The account's address."`
	configFlag
}

func (c *accountShowCommand) Run(ctx context.Context, std streams) error {
	addr, err := parseAddress("ADDR", c.Address)
	if err != nil {
		return err
	}
	return c.with(std, func(a admin, _ config.Config) error {
		list := func(ctx context.Context) ([]control.Account, error) { return a.Accounts(ctx, addr.Domain) }
		account, ok, err := find(ctx, list, func(x control.Account) bool { return x.Address.Key() == addr.Key() })
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("account %s: %w", addr, directory.ErrNoAccount)
		}
		boxes, err := a.Mailboxes(ctx, addr)
		if err != nil {
			return err
		}
		if c.JSON {
			return json.NewEncoder(std.out).Encode(map[string]any{"account": account, "mailboxes": boxes})
		}
		return c.print(std, account, boxes)
	})
}

func (c *accountShowCommand) print(std streams, x control.Account, boxes []mailbox.Info) error {
	fmt.Fprintf(std.out, "%s, %s since %s\nused %s, quota %s\n\n", x.Address, stateWords(x), x.Created.Format("2006-01-02 15:04 MST"),
		octets(x.Used), quotaWords(x))
	var rows [][]string
	for _, b := range boxes {
		rows = append(rows, []string{b.Name, strconv.FormatInt(b.Messages, 10)})
	}
	return printTable(std.out, "MAILBOX MESSAGES", rows)
}

// accountSetCommand changes an account.
type accountSetCommand struct {
	Address string `arg:"" placeholder:"ADDR" help:"The account's address."`
	Disable bool   `xor:"state" help:"Nobody logs in any more, and its mail is refused with 550 5.2.1. What it has stays."`
	Enable  bool   `xor:"state" help:"The opposite."`
	Quota   string `placeholder:"SIZE" help:"Octets of all its mail, with KiB, MiB or GiB; none; or default: as [limits] mailbox_size says."`
	configFlag
}

func (c *accountSetCommand) Run(ctx context.Context, std streams) error {
	addr, err := parseAddress("ADDR", c.Address)
	if err != nil {
		return err
	}
	var change directory.Change
	if c.Disable || c.Enable {
		change.Disabled = &c.Disable
	}
	if c.Quota != "" {
		quota, err := parseQuota(c.Quota)
		if err != nil {
			return err
		}
		change.Quota = &quota
	}
	if change == (directory.Change{}) {
		return usageErrorf("nothing to change: name --disable, --enable or --quota")
	}
	return c.with(std, func(a admin, _ config.Config) error {
		if err := a.UpdateAccount(ctx, addr, change); err != nil {
			return err
		}
		return c.say(std, "changed", addr, "account %s changed\n")
	})
}

func parseQuota(s string) (int64, error) {
	switch s {
	case "none":
		return directory.NoQuota, nil
	case "default":
		return 0, nil
	}
	for i, unit := range []string{"KiB", "MiB", "GiB", "TiB"} {
		digits, ok := strings.CutSuffix(s, unit)
		n, err := strconv.ParseInt(digits, 10, 64)
		if ok && err == nil && n > 0 && n <= math.MaxInt64>>(10*(i+1)) {
			return n << (10 * (i + 1)), nil
		}
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n > 0 {
		return n, nil
	}
	return 0, usageErrorf("--quota %s: write a size like 500MiB or 2GiB, none, or default", s)
}

// accountRmCommand removes an account.
type accountRmCommand struct {
	Address string `arg:"" placeholder:"ADDR" help:"The account's address."`
	Yes     bool   `help:"Delete its mail without a question."`
	configFlag
}

func (c *accountRmCommand) Run(ctx context.Context, std streams) error {
	addr, err := parseAddress("ADDR", c.Address)
	if err != nil {
		return err
	}
	if !c.Yes {
		return usageErrorf("that deletes all mail of %s for good; --yes does it", addr)
	}
	return c.with(std, func(a admin, _ config.Config) error {
		if err := a.RemoveAccount(ctx, addr); err != nil {
			return err
		}
		return c.say(std, "removed", addr, "account %s and its mail removed\n")
	})
}
