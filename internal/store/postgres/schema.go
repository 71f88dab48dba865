package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// schemas are the versions of the tables that a release can use, and how it makes the newest of them.
//
// A release that changes the tables adds a step to migrations, so that newest grows by one, and must still run on tables of the
// version before, oldest, until somebody migrates: so nodes are upgraded one after another, with their store in use, and the
// tables when the last of them is. Nothing of the step may be relied on before. The release after that may raise oldest.
type schemas struct {
	oldest, newest int64
	migrations     [][]string // the step from each version to the next, the first one from nothing
}

// ours are those of this release.
func ours() *schemas {
	return &schemas{oldest: 1, newest: int64(len(migrations)), migrations: migrations}
}

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

// migrations are the steps of this release.
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

// Migration is what Migrate has done: it brought the tables from one version of the schema, 0 if there were none, to another.
type Migration struct{ From, To int64 }

// Migrate makes the tables of the store, or brings them up to date, in one transaction. It changes nothing if they are
// of this version already. Errors: ErrNewSchema, and those of the server.
func Migrate(ctx context.Context, url string) (Migration, error) { return ours().migrate(ctx, url) }

func (k *schemas) migrate(ctx context.Context, url string) (Migration, error) {
	cfg, err := parse(url)
	if err != nil {
		return Migration{}, err
	}
	l, err := dial(ctx, cfg)
	if err != nil {
		return Migration{}, fmt.Errorf("migrate the store in %s: %w", place(cfg), explain(err))
	}
	defer l.close()
	for attempt := 0; ; attempt++ {
		done, err := l.migrate(ctx, k)
		if err == nil {
			return done, nil
		}
		if attempt == 3 || !retryable(err) && !madeMeanwhile(err) {
			return Migration{}, fmt.Errorf("migrate the store in %s: %w", place(cfg), explain(err))
		}
		time.Sleep(pause(attempt))
	}
}

// madeMeanwhile tells whether somebody else, who migrates at the same time, was the first to make a table: of a row of the
// server's own catalogue that is there twice it depends on the moment which one it complains of.
func madeMeanwhile(err error) bool {
	switch code(err) {
	case "42P07", // duplicate_table, and of an index or a sequence too
		"42710": // duplicate_object: the type that each table has
		return true
	}
	return false
}

func (l *link) migrate(ctx context.Context, k *schemas) (Migration, error) {
	have, err := l.schema(ctx)
	if err != nil && !errors.Is(err, ErrNoSchema) {
		return Migration{}, err
	}
	done := Migration{From: have, To: k.newest}
	if have > k.newest {
		return done, k.suits(have)
	}
	if have == k.newest {
		return done, nil
	}
	sql := "BEGIN;"
	if have > 0 { // whoever migrates besides waits here, and then divides by zero
		sql += fmt.Sprintf("UPDATE waybill_meta SET schema = schema / (schema = %d)::int;", have)
	}
	for _, step := range k.migrations[have:] {
		for _, s := range step {
			sql += s + ";"
		}
	}
	sql += fmt.Sprintf("UPDATE waybill_meta SET schema = %d; COMMIT", k.newest)
	if err = l.exec(ctx, sql); err != nil {
		_ = l.exec(ctx, "ROLLBACK")
		return done, err
	}
	if have > 0 {
		return done, nil
	}
	for _, wish := range wishes {
		if err := l.exec(ctx, wish); err != nil && code(err) == "" {
			return done, err
		}
	}
	return done, nil
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
func (l *link) checkSchema(ctx context.Context, k *schemas) error {
	have, err := l.schema(ctx)
	if err != nil {
		return err
	}
	return k.suits(have)
}

// row checks the schema in an answer: somebody may have changed it while this one runs.
func (k *schemas) row(v [][]byte) error {
	have, err := readInt8(v[0])
	if err != nil {
		return err
	}
	return k.suits(have)
}

func (k *schemas) suits(have int64) error {
	switch {
	case have > k.newest:
		return fmt.Errorf("%w (schema %d, known here: up to %d)", ErrNewSchema, have, k.newest)
	case have < k.oldest:
		return fmt.Errorf("%w (schema %d, needed: %d)", ErrOldSchema, have, k.oldest)
	}
	return nil
}

// exec executes statements without parameters, which may be many, by the simple protocol.
func (l *link) exec(ctx context.Context, sql string) error {
	_, err := l.conn.Exec(ctx, sql).ReadAll()
	return err
}
