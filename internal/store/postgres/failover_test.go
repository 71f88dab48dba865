package postgres_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"waybill/internal/store"
	"waybill/internal/store/postgres"
	"waybill/internal/store/postgres/pgtest"
)

// TestFailover kills a server under load and promotes its synchronous standby. The store, whose URL names both, goes on
// there by itself, and nothing that was acknowledged is lost.
func TestFailover(t *testing.T) {
	t.Parallel()
	primary := sharedServer(t).Fork(t, "fsync=off")
	standby := primary.Standby(t, "fsync=off")
	both := fmt.Sprintf("127.0.0.1:%d,127.0.0.1:%d", primary.Port, standby.Port)
	url := migrated(t, primary.URLAt(both, pgtest.Password))
	primary.Exec(t, "ALTER SYSTEM SET synchronous_standby_names = '*'")
	primary.Exec(t, "SELECT pg_reload_conf()")
	waitFor(t, "the standby to have the tables", func() bool {
		state := primary.Query(t, "SELECT sync_state FROM pg_stat_replication WHERE replay_lsn >= pg_current_wal_lsn()")
		return len(state) == 1 && state[0] == "sync"
	})

	if _, err := postgres.Open(postgres.Options{URL: standby.URL()}); err == nil || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("a store on the standby: %v", err)
	}
	if _, err := postgres.Migrate(t.Context(), standby.URL()); err == nil || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("something to be read only, on the standby: %v", err)
	}
	checkFindsPrimary(t, primary, standby)
	log := &lines{}
	s := openStore(t, postgres.Options{URL: url, Logger: log.logger(), ReopenPauses: quickPauses})
	l := &ledger{}
	stop := make(chan struct{})
	wait := l.load(t, s, 8, stop)
	l.until(t, 150)
	primary.Kill()
	waitFor(t, "the failure", func() bool { return s.Healthy() != nil })
	if err := put(s, "meanwhile"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("without a primary: %v", err)
	}
	standby.Promote(t)
	promoted := time.Now()
	l.until(t, l.moment()+150)
	t.Logf("went on within %s", time.Since(promoted))
	close(stop)
	wait()
	l.settle(t, s)
	if failed, back := log.count("store failed"), log.count("store answers again"); failed == 0 || failed != back {
		t.Errorf("%d lines of failure, %d of recovery:\n%s", failed, back, log)
	}
}

// checkFindsPrimary: of several hosts none is used that lags behind, though it is the first and nothing is said of that.
func checkFindsPrimary(t *testing.T, primary, standby *pgtest.Server) {
	t.Helper()
	url := primary.URLAt(fmt.Sprintf("127.0.0.1:%d,127.0.0.1:%d", standby.Port, primary.Port), pgtest.Password)
	if err := put(openStore(t, postgres.Options{URL: url}), "k"); err != nil {
		t.Error(err)
	}
}
