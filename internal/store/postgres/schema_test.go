package postgres_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"waybill/internal/store/postgres"
)

// TestAdjacentReleasesShareTables: the next release runs on the tables of this one, beside it, until somebody migrates them,
// which may happen while both run. Then this one refuses them, and the one after that which needs them takes them.
func TestAdjacentReleasesShareTables(t *testing.T) {
	t.Parallel()
	url := empty(t)
	next := postgres.NewRelease(1, []string{"CREATE TABLE waybill_next (id bigint)"})
	afterNext := postgres.NewRelease(2, []string{"CREATE TABLE waybill_next (id bigint)"})
	o := postgres.Options{URL: url, ReopenPauses: []time.Duration{20 * time.Millisecond}}
	if s, err := afterNext.Open(o); !errors.Is(err, postgres.ErrOldSchema) {
		t.Fatalf("a release that needs a newer schema: %v, %v", s, err)
	}
	mine := openStore(t, o)
	theirs, err := next.Open(o)
	if err != nil {
		t.Fatal("the next release on tables of this one:", err)
	}
	t.Cleanup(func() { theirs.Close() })
	for name, s := range map[string]*postgres.Store{"mine": mine, "theirs": theirs} {
		if err := put(s, name); err != nil {
			t.Fatal(name, err)
		}
	}
	if !has(t, mine, "theirs") || !has(t, theirs, "mine") {
		t.Error("they do not see each other's")
	}
	migrateTogether(t, next, url)
	if err := put(theirs, "after"); err != nil {
		t.Error("the next release, once it has migrated:", err)
	}
	waitFor(t, "refusal of the new tables", func() bool { return errors.Is(put(mine, "late"), postgres.ErrNewSchema) })
	if has(t, theirs, "late") {
		t.Error("the older release has written to newer tables")
	}
	if s, err := postgres.Open(o); !errors.Is(err, postgres.ErrNewSchema) {
		t.Errorf("this release on newer tables: %v, %v", s, err)
	}
	last, err := afterNext.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer last.Close()
	if !has(t, last, "mine") || !has(t, last, "theirs") || !has(t, last, "after") {
		t.Error("something is lost")
	}
}

// migrateTogether migrates from schema 1 to 2, several times at once: it happens once.
func migrateTogether(t *testing.T, r *postgres.Release, url string) {
	t.Helper()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			done, err := r.Migrate(context.Background(), url)
			if err != nil || done.To != 2 || done.From != 1 && done.From != 2 {
				t.Errorf("%+v, %v", done, err)
			}
		})
	}
	wg.Wait()
	if done, err := r.Migrate(t.Context(), url); err != nil || done != (postgres.Migration{From: 2, To: 2}) {
		t.Errorf("once more: %+v, %v", done, err)
	}
}

// TestMigrationIsWhole: a step that fails leaves the tables as they were.
func TestMigrationIsWhole(t *testing.T) {
	t.Parallel()
	url := empty(t)
	bad := postgres.NewRelease(1, []string{"CREATE TABLE waybill_next (id bigint)", "CREATE TABLE waybill_kv (id bigint)"})
	if _, err := bad.Migrate(t.Context(), url); err == nil || !strings.Contains(err.Error(), "already exists") {
		t.Fatal(err)
	}
	good := postgres.NewRelease(2, []string{"CREATE TABLE waybill_next (id bigint)"})
	if done, err := good.Migrate(t.Context(), url); err != nil || done != (postgres.Migration{From: 1, To: 2}) {
		t.Errorf("%+v, %v", done, err)
	}
}
