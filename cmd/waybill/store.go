package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"waybill/internal/config"
	"waybill/internal/node"
	"waybill/internal/store/layout"
	"waybill/internal/store/postgres"
)

// storeCommand is what concerns the store as a whole.
type storeCommand struct {
	Copy    storeCopyCommand    `cmd:"" help:"Copy everything into another store, embedded or in PostgreSQL; no server may use the two."`
	Nodes   storeNodesCommand   `cmd:"" help:"List the servers that use a store in PostgreSQL, and whose part of the queue each has taken over."`
	Migrate storeMigrateCommand `cmd:"" help:"Make the tables of a store in PostgreSQL, or bring them up to date; nodes may run."`
}

// storeMigrateCommand makes or changes tables. Nothing else does.
type storeMigrateCommand struct{ configFlag }

func (c *storeMigrateCommand) Run(ctx context.Context, std streams) error {
	conf, err := config.Load(c.Config)
	if err != nil {
		return err
	}
	if conf.Store == "" {
		return c.print(std, "the embedded store has no tables to migrate", postgres.Migration{})
	}
	done, err := postgres.Migrate(ctx, string(conf.Store))
	if err != nil {
		return err
	}
	if _, err := node.UpgradeStore(ctx, conf, slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	return c.print(std, conf.Store.String()+": "+inWords(done), done)
}

func inWords(m postgres.Migration) string {
	switch m.From {
	case m.To:
		return fmt.Sprintf("the tables have schema %d, as this release wants them; nothing was changed", m.To)
	case 0:
		return fmt.Sprintf("the tables are made, with schema %d", m.To)
	}
	return fmt.Sprintf("the tables are brought from schema %d to %d", m.From, m.To)
}

func (c *storeMigrateCommand) print(std streams, words string, m postgres.Migration) error {
	if c.JSON {
		return json.NewEncoder(std.out).Encode(map[string]int64{"from": m.From, "to": m.To})
	}
	_, err := fmt.Fprintln(std.out, words)
	return err
}

// adviseMigration says what to do about tables that are not there or are old.
func adviseMigration(err error, file string) error {
	if errors.Is(err, postgres.ErrNoSchema) || errors.Is(err, postgres.ErrOldSchema) || errors.Is(err, layout.ErrOlder) {
		return fmt.Errorf("%w; run waybill store migrate --config %s", err, file)
	}
	return err
}
