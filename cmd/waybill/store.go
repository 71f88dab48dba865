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
		return c.print(std, "the embedded store is brought up to date whenever it is opened; there is nothing to migrate", migrated{})
	}
	tables, err := postgres.Migrate(ctx, string(conf.Store))
	if err != nil {
		return err
	}
	form, err := node.UpgradeStore(ctx, conf, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	done := migrated{tables.From, tables.To, form, layout.Current}
	return c.print(std, conf.Store.String()+": "+done.inWords(), done)
}

// migrated is what was brought to what: the schema of the tables, 0 if there were none, and the form of the keys in them, 0 if
// there were none.
type migrated struct {
	From     int64 `json:"from"`
	To       int64 `json:"to"`
	FromForm int   `json:"fromForm"`
	ToForm   int   `json:"toForm"`
}

func (m migrated) inWords() string {
	words := fmt.Sprintf("the tables are brought from schema %d to %d", m.From, m.To)
	switch m.From {
	case m.To:
		words = fmt.Sprintf("the tables have schema %d, as this release wants them", m.To)
	case 0:
		words = fmt.Sprintf("the tables are made, with schema %d", m.To)
	}
	switch {
	case m.FromForm != 0 && m.FromForm != m.ToForm:
		return words + fmt.Sprintf("; the keys in them are brought from form %d to %d", m.FromForm, m.ToForm)
	case m.From == m.To:
		return words + "; nothing was changed"
	}
	return words
}

func (c *storeMigrateCommand) print(std streams, words string, m migrated) error {
	if c.JSON {
		return json.NewEncoder(std.out).Encode(m)
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
