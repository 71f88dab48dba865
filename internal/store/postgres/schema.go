package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// schemaVersion is that of the tables below. A step to the next one is a list of statements in migrations.
const schemaVersion = 1

// versionsOfGroup is how many versions one number of the sequence stands for, and so how many batches a group may have.
const versionsOfGroup = 1024

var (
	// ErrNoSchema: the database has no tables of waybill's; Migrate makes them.
	ErrNoSchema = errors.New("the database holds no store yet: it has to be migrated")
	// ErrOldSchema: the tables are of an older release; Migrate brings them up to date.
	ErrOldSchema = errors.New("the store in the database is of an older release: it has to be migrated")
	// ErrNewSchema: the tables are of a newer release, which alone may use them.
	ErrNewSchema = errors.New("the store in the database is of a newer release, this program must not touch it")
)

// migrations are the steps from each version of the schema to the next, the first one from nothing.
var migrations = [][]string{{
	`CREATE TABLE waybill_meta (one boolean PRIMARY KEY DEFAULT true CHECK (one), schema bigint NOT NULL, bucket bigint NOT NULL)`,
	`INSERT INTO waybill_meta (schema, bucket) VALUES (0, 1)`,
	`CREATE SEQUENCE waybill_version INCREMENT BY 1024 MINVALUE 1024 START WITH 1024 CACHE 1`,
	`CREATE TABLE waybill_kv (key bytea PRIMARY KEY, version bigint NOT NULL, value bytea NOT NULL)`,
	`ALTER TABLE waybill_kv ALTER COLUMN value SET STORAGE EXTERNAL`,
	`CREATE TABLE waybill_batch (id bytea PRIMARY KEY, bucket bigint NOT NULL, result bytea NOT NULL)`,
	`CREATE INDEX waybill_batch_bucket ON waybill_batch (bucket)`,
	`CREATE TABLE waybill_writer (id bigint PRIMARY KEY, ended timestamptz)`,
	`CREATE TABLE waybill_change (writer bigint, seq bigint, version bigint NOT NULL, keys bytea NOT NULL, absent bytea[] NOT NULL,
		range_starts bytea[] NOT NULL, range_ends bytea[] NOT NULL, PRIMARY KEY (writer, seq))`,
	`ALTER TABLE waybill_change ALTER COLUMN keys SET STORAGE EXTERNAL`,
	`CREATE INDEX waybill_change_version ON waybill_change (version)`,
}}

// wishes are what not every server can do. Text comes to half its size in the server's log with LZ4, at less cost in
// all than the octets that it saves; what cannot be compressed costs a tenth more. The server's older compression is slow.
var wishes = []string{
	`ALTER TABLE waybill_kv ALTER COLUMN value SET STORAGE EXTENDED, ALTER COLUMN value SET COMPRESSION lz4`,
}

// Migrate makes the tables of the store, or brings them up to date, in one transaction. It changes nothing if they are
// of this version already. Errors: ErrNewSchema, and those of the server.
func Migrate(ctx context.Context, url string) error {
	cfg, err := parse(url)
	if err != nil {
		return err
	}
	l, err := dial(ctx, cfg)
	if err != nil {
		return fmt.Errorf("migrate the store in %s: %w", place(cfg), explain(err))
	}
	defer l.close()
	for attempt := 0; ; attempt++ {
		err := l.migrate(ctx)
		if err == nil {
			return nil
		}
		// Two that migrate at the same time disturb each other once.
		if attempt == 3 || !retryable(err) && code(err) != "42P07" {
			return fmt.Errorf("migrate the store in %s: %w", place(cfg), explain(err))
		}
		time.Sleep(pause(attempt))
	}
}

func (l *link) migrate(ctx context.Context) error {
	have, err := l.schema(ctx)
	if err != nil && !errors.Is(err, ErrNoSchema) {
		return err
	}
	if have > schemaVersion {
		return fmt.Errorf("%w (schema %d, known here: %d)", ErrNewSchema, have, schemaVersion)
	}
	if have == schemaVersion {
		return nil
	}
	sql := "BEGIN;"
	for _, step := range migrations[have:] {
		for _, s := range step {
			sql += s + ";"
		}
	}
	sql += fmt.Sprintf("UPDATE waybill_meta SET schema = %d; COMMIT", schemaVersion)
	if err = l.exec(ctx, sql); err != nil {
		_ = l.exec(ctx, "ROLLBACK")
		return err
	}
	for _, wish := range wishes {
		if err := l.exec(ctx, wish); err != nil && code(err) == "" {
			return err
		}
	}
	return nil
}

// schema returns the version of the tables, or 0 and ErrNoSchema.
func (l *link) schema(ctx context.Context) (int64, error) {
	results, err := l.conn.Exec(ctx, "SELECT schema::text FROM waybill_meta").ReadAll()
	if code(err) == "42P01" { // undefined_table
		return 0, ErrNoSchema
	}
	if err != nil {
		return 0, err
	}
	var v int64
	if len(results) != 1 || len(results[0].Rows) != 1 {
		return 0, errShortAnswer
	}
	if _, err := fmt.Sscan(string(results[0].Rows[0][0]), &v); err != nil {
		return 0, fmt.Errorf("%w: %w", errShortAnswer, err)
	}
	return v, nil
}

// checkSchema tells whether this program may use the tables.
func (l *link) checkSchema(ctx context.Context) error {
	have, err := l.schema(ctx)
	if err != nil {
		return err
	}
	return suits(have)
}

// schemaRow checks the schema in an answer: another release may have changed it while this one runs.
func schemaRow(v [][]byte) error {
	have, err := readInt8(v[0])
	if err != nil {
		return err
	}
	return suits(have)
}

func suits(have int64) error {
	switch {
	case have > schemaVersion:
		return fmt.Errorf("%w (schema %d, known here: %d)", ErrNewSchema, have, schemaVersion)
	case have < schemaVersion:
		return fmt.Errorf("%w (schema %d, needed: %d)", ErrOldSchema, have, schemaVersion)
	}
	return nil
}

// exec executes statements without parameters, which may be many, by the simple protocol.
func (l *link) exec(ctx context.Context, sql string) error {
	_, err := l.conn.Exec(ctx, sql).ReadAll()
	return err
}
