package postgres_test

import (
	"fmt"
	"os"
	"testing"

	"waybill/internal/store"
	"waybill/internal/store/postgres"
	"waybill/internal/store/postgres/pgtest"
	"waybill/internal/store/storetest"
)

// shared is a server for the tests that only need a schema of their own; it is nil if PostgreSQL is not installed.
var shared *pgtest.Server

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if programs := pgtest.Find(); programs != "" {
		var err error
		if shared, err = pgtest.Create(programs, "", "fsync=off", "max_connections=400"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer shared.Remove()
	}
	return m.Run()
}

// empty makes an empty store in a schema of its own and returns its URL.
func empty(t testing.TB) string {
	t.Helper()
	if shared == nil {
		t.Skip("postgres is not installed")
	}
	return migrated(t, shared.URL(shared.Schema(t)))
}

func migrated(t testing.TB, url string) string {
	t.Helper()
	if _, err := postgres.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	return url
}

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Opener {
		o := postgres.Options{URL: empty(t)}
		return func() (store.Store, error) { return postgres.Open(o) }
	})
}
