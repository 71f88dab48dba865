package postgres

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// code is the SQLSTATE of an error of the server, or "".
func code(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// retryable tells whether a transaction failed only because another one came in between.
func retryable(err error) bool {
	switch code(err) {
	case "40001", // serialization_failure
		"40P01", // deadlock_detected
		"23505", // unique_violation: another node has created a key that was absent
		"22012": // division_by_zero: a statement of ours that is to fail then
		return true
	}
	return false
}

// atFault tells whether the server does not like what a batch says, rather than being in trouble itself.
func atFault(err error) bool {
	c := code(err)
	return strings.HasPrefix(c, "22") || strings.HasPrefix(c, "23") || strings.HasPrefix(c, "54")
}

// pause is how long to wait before the next attempt: longer each time, and never the same for two nodes.
func pause(attempt int) time.Duration {
	longest := 2 * time.Millisecond << min(attempt, 6)
	return longest/2 + rand.N(longest)
}

// advice is what to do about an error of the server.
var advice = map[string]string{
	"25006": "the server is read-only: a standby, or default_transaction_read_only; name the primary in the URL, or all hosts",
	"28000": "the server does not let this user in: see user and sslmode in the URL, and the server's pg_hba.conf",
	"28P01": "the server refuses the password: see user and password in the URL, PGPASSWORD and the password file",
	"3D000": "there is no such database: see the URL's path",
	"42501": "the user lacks a privilege on waybill's tables: let their owner run waybill, or GRANT it",
	"42704": "the server does not know a setting that the URL names: see its parameters",
	"42P01": "a table is missing: migrate the store, and see search_path in the URL",
	"53100": "the server's disk is full",
	"53200": "the server is out of memory",
	"53300": "the server has no connection left: raise max_connections, or lower the number in the options",
	"55P03": "a lock was not to be had in time: some other client of the database holds it",
	"57014": "a statement was cancelled: statement_timeout of the user or the database is too short, or somebody cancelled it",
	"57P01": "the server is being shut down, or somebody ended the connection",
	"57P02": "the server has crashed and is restarting",
	"57P03": "the server is starting up, or is a standby that takes no connections",
}

// explain puts an error into one line, with what to do about it. It never holds a password: neither pgconn's errors
// about connections nor the server's do.
func explain(err error) error {
	if err == nil {
		return nil
	}
	line := strings.Join(strings.Fields(err.Error()), " ")
	if a := advice[code(err)]; a != "" {
		line = a + " (" + line + ")"
	}
	return &explained{line: line, err: err}
}

// explained is an error with a better text.
type explained struct {
	line string
	err  error
}

func (e *explained) Error() string { return e.line }

func (e *explained) Unwrap() error { return e.err }

// unavailable wraps an error into one of package store's.
func unavailable(sentinel, err error) error { return fmt.Errorf("%w: %w", sentinel, explain(err)) }
