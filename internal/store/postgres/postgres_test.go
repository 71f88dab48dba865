package postgres_test

import (
	"os"
	"testing"

	"waybill/internal/store"
	"waybill/internal/store/postgres"
	"waybill/internal/store/postgres/pgtest"
	"waybill/internal/store/storetest"
)

// shared is a server for the tests that only need a schema of their own.
var shared pgtest.Shared

func TestMain(m *testing.M) {
	status := m.Run()
	shared.Remove()
	os.Exit(status)
}

func sharedServer(t testing.TB) *pgtest.Server {
	t.Helper()
	return shared.Get(t, "max_connections=400")
}

// empty makes an empty store in a schema of its own and returns its URL.
func empty(t testing.TB) string {
	t.Helper()
	server := sharedServer(t)
	return migrated(t, server.URL(server.Schema(t)))
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
