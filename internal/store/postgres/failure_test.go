package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"waybill/internal/store"
	"waybill/internal/store/postgres"
	"waybill/internal/store/postgres/pgtest"
)

var quickPauses = []time.Duration{20 * time.Millisecond, 50 * time.Millisecond, 200 * time.Millisecond}

// node is a store on a server of its own, whose log is kept.
type node struct {
	*postgres.Store
	server *pgtest.Server
	schema string
	log    *lines
	proxy  *proxy
}

// sharedNode is a store on the server that other tests use too.
func sharedNode(t *testing.T, o postgres.Options, parameters ...string) *node {
	t.Helper()
	return nodeOn(t, sharedServer(t), o, parameters...)
}

func newNode(t *testing.T, o postgres.Options, settings ...string) *node {
	t.Helper()
	return nodeOn(t, sharedServer(t).Fork(t, append(settings, "fsync=off")...), o)
}

// nodeOn opens a store in a schema of its own, by way of a proxy.
func nodeOn(t *testing.T, server *pgtest.Server, o postgres.Options, parameters ...string) *node {
	t.Helper()
	n := &node{server: server, log: &lines{}, proxy: newProxy(t, fmt.Sprintf("127.0.0.1:%d", server.Port))}
	n.schema = server.Schema(t)
	o.URL = migrated(t, server.URLAt(n.proxy.address(), pgtest.Password, append(parameters, n.schema)...))
	o.Logger, o.ReopenPauses = n.log.logger(), quickPauses
	n.Store = openStore(t, o)
	return n
}

// down waits until the store says that it has failed, and returns how.
func (n *node) down(t *testing.T) error {
	t.Helper()
	waitFor(t, "the failure", func() bool { return n.Healthy() != nil })
	return n.Healthy()
}

// awaitLocks waits until so many transactions have had their first half, on a server that no other test uses.
func (n *node) awaitLocks(t *testing.T, transactions int) {
	t.Helper()
	waitFor(t, "locks", func() bool {
		return len(n.server.Query(t, "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'waybill writer%' AND state = 'idle in transaction'")) == transactions
	})
}

func (n *node) up(t *testing.T) {
	t.Helper()
	waitFor(t, "the recovery", func() bool { return n.Healthy() == nil })
}

// put commits one key.
func put(s store.Store, key string) error {
	b := &store.Batch{}
	b.Put([]byte(key), []byte("x"))
	_, err := s.Commit(context.Background(), b)
	return err
}

func has(t *testing.T, s store.Store, key string) bool {
	t.Helper()
	sn, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer sn.Close()
	_, _, err = sn.Get([]byte(key))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

// TestKillUnderLoad kills all processes of the server while batches are committed, and starts it again, some times. What
// was acknowledged is there; what failed can be committed again with its id, and is there once.
func TestKillUnderLoad(t *testing.T) {
	t.Parallel()
	n := newNode(t, postgres.Options{})
	reopened, cancel := n.Watch([]byte("no such key"))
	defer cancel()
	l := &ledger{}
	stop := make(chan struct{})
	wait := l.load(t, n, 8, stop)
	for round := 1; round <= 3; round++ {
		l.until(t, round*60)
		n.server.Kill()
		if round == 2 { // so long that everybody hears of it
			if err := n.down(t); !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("healthy: %v", err)
			}
		}
		if err := n.server.Start(); err != nil {
			t.Fatal(err)
		}
	}
	l.until(t, l.moment()+60)
	close(stop)
	wait()
	n.up(t)
	<-reopened
	l.settle(t, n)
	if failed, back := n.log.count("store failed"), n.log.count("store answers again"); failed == 0 || failed != back || failed > 6 {
		t.Errorf("%d lines of failure, %d of recovery:\n%s", failed, back, n.log)
	}
}

// TestLostCommit cuts the connection at a COMMIT, before or after it reached the server. The caller does not notice.
func TestLostCommit(t *testing.T) {
	t.Parallel()
	for what, how := range map[string]cut{"reply": losesReply, "request": losesIt, "stranded": strands} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			n := sharedNode(t, postgres.Options{Writers: 1})
			l := &ledger{}
			for i := range 5 {
				if i > 0 {
					n.proxy.next(how)
				}
				b := l.batch()
				if i%2 == 1 { // so large that it arrives in parts
					b.batch.Put(fmt.Appendf(nil, "large/%d", i), make([]byte, 200<<10))
				}
				if err := l.commit(n, b); err != nil {
					t.Errorf("commit %d: %v", i, err)
				}
				if n.proxy.pending() {
					t.Fatal("the connection was not cut")
				}
			}
			l.settle(t, n)
			if n.log.String() != "" {
				t.Errorf("nothing was to be said: %s", n.log)
			}
		})
	}
}

// TestLostReplyWhileServerIsAway: the reply to a COMMIT is lost, and the server cannot be asked. The outcome is unknown;
// the id tells it later.
func TestLostReplyWhileServerIsAway(t *testing.T) {
	t.Parallel()
	n := sharedNode(t, postgres.Options{Writers: 1, Patience: time.Second})
	l := &ledger{}
	if err := l.commit(n, l.batch()); err != nil {
		t.Fatal(err)
	}
	n.proxy.mu.Lock()
	n.proxy.atCommit = func() cut {
		n.proxy.away.Store(true)
		return losesReply
	}
	n.proxy.mu.Unlock()
	if err := l.commit(n, l.batch()); !errors.Is(err, store.ErrUnknown) {
		t.Errorf("commit: %v, want ErrUnknown", err)
	}
	if err := l.commit(n, l.batch()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("commit: %v, want ErrUnavailable", err)
	}
	n.proxy.away.Store(false)
	n.up(t)
	l.settle(t, n)
}

// TestCutUnderLoad cuts all connections again and again.
func TestCutUnderLoad(t *testing.T) {
	t.Parallel()
	n := sharedNode(t, postgres.Options{Writers: 3})
	l := &ledger{}
	stop := make(chan struct{})
	wait := l.load(t, n, 8, stop)
	for range 12 {
		l.until(t, l.moment()+25)
		n.proxy.cutAll()
	}
	close(stop)
	wait()
	n.up(t)
	l.settle(t, n)
}

// TestStuckBetweenHalves: a node that gets no replies any more, while it holds locks, holds up others for some seconds only.
func TestStuckBetweenHalves(t *testing.T) {
	t.Parallel()
	n := newNode(t, postgres.Options{Writers: 1})
	other := openStore(t, postgres.Options{URL: n.server.URL(n.schema)})
	if err := put(n, "key"); err != nil {
		t.Fatal(err)
	}
	n.proxy.deaf.Lock()
	stuck := make(chan error, 1)
	go func() { stuck <- put(n, "key") }()
	n.awaitLocks(t, 1)
	if err := put(other, "key"); err != nil {
		t.Errorf("another node: %v", err)
	}
	n.proxy.deaf.Unlock()
	if err := <-stuck; err != nil {
		t.Errorf("the node that was stuck: %v", err)
	}
}

// TestServerRefuses: whatever keeps the server from taking a commit is told in one line, and is over by itself.
func TestServerRefuses(t *testing.T) {
	t.Parallel()
	n := newNode(t, postgres.Options{})
	alter := func(sql string, parameters ...string) {
		n.server.Exec(t, sql, parameters...)
		n.server.Exec(t, "SELECT pg_reload_conf()")
	}
	kick := "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'waybill%'"
	for _, c := range []struct {
		what, says string
		is         error
		begin, end func()
	}{
		{
			"read-only", "the server is read-only", nil,
			func() { alter("ALTER SYSTEM SET default_transaction_read_only = on") },
			func() {
				alter("ALTER SYSTEM RESET default_transaction_read_only", "default_transaction_read_only=off")
			},
		},
		{
			"newer schema", "of a newer release", postgres.ErrNewSchema,
			func() { n.server.Exec(t, "UPDATE waybill_meta SET schema = 1000", n.schema) },
			func() { n.server.Exec(t, "UPDATE waybill_meta SET schema = 1", n.schema) },
		},
		{
			"no login", "does not let this user in", nil,
			func() {
				n.server.Exec(t, "CREATE ROLE root2 SUPERUSER LOGIN PASSWORD 'x'")
				n.server.Exec(t, "ALTER ROLE postgres NOLOGIN; "+kick)
			},
			func() { n.server.ExecAs(t, "root2", "x", "ALTER ROLE postgres LOGIN") },
		},
		{
			"wrong password", "refuses the password", nil,
			func() { n.server.Exec(t, "ALTER ROLE postgres PASSWORD 'changed'; "+kick) },
			func() {
				n.server.ExecAs(t, "postgres", "changed", fmt.Sprintf("ALTER ROLE postgres PASSWORD '%s'", pgtest.Password))
			},
		},
		{
			"no table", "a table is missing", nil,
			func() { n.server.Exec(t, "ALTER TABLE waybill_meta RENAME TO away", n.schema) },
			func() { n.server.Exec(t, "ALTER TABLE away RENAME TO waybill_meta", n.schema) },
		},
		{
			"shut down", "", nil,
			func() { n.server.Stop() },
			func() {
				if err := n.server.Start(); err != nil {
					t.Fatal(err)
				}
			},
		},
	} {
		before := n.log.count("store failed")
		key := strings.ReplaceAll(c.what, " ", "-")
		if err := put(n, key+"/before"); err != nil {
			t.Fatalf("%s: before: %v", c.what, err)
		}
		c.begin()
		err := error(nil)
		waitFor(t, "the failure of "+c.what, func() bool { // the server reads its settings when it likes
			err = put(n, key+"/during")
			return err != nil
		})
		if !errors.Is(err, store.ErrUnavailable) || c.is != nil && !errors.Is(n.Healthy(), c.is) {
			t.Errorf("%s: %v, healthy: %v", c.what, err, n.Healthy())
		}
		if _, err := n.Snapshot(); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: snapshot: %v", c.what, err)
		}
		waitFor(t, "the reason of "+c.what, func() bool { return strings.Contains(n.log.String(), c.says) })
		c.end()
		n.up(t)
		if err := put(n, key+"/after"); err != nil {
			t.Errorf("%s: after: %v", c.what, err)
		}
		if !has(t, n, key+"/before") || !has(t, n, key+"/after") {
			t.Errorf("%s: something is lost", c.what)
		}
		if failed := n.log.count("store failed") - before; failed != 1 {
			t.Errorf("%s: %d lines of failure, want 1", c.what, failed)
		}
	}
	if failed, back := n.log.count("store failed"), n.log.count("store answers again"); failed != back {
		t.Errorf("%d failures, %d recoveries", failed, back)
	}
	if strings.Contains(n.log.String(), pgtest.Password) {
		t.Error("the password is in the log")
	}
	if t.Failed() {
		t.Log(n.log)
	}
}

// TestStatementTimeout: a statement that takes longer than the server allows fails its batches; nothing of them stays.
func TestStatementTimeout(t *testing.T) {
	t.Parallel()
	n := sharedNode(t, postgres.Options{}, "statement_timeout=300")
	if err := put(n, "a"); err != nil {
		t.Fatal(err)
	}
	release := n.server.Hold(t, "SET statement_timeout = 0; BEGIN; SELECT key FROM waybill_kv FOR UPDATE", n.schema)
	b := &store.Batch{Deletes: [][]byte{[]byte("a")}}
	b.Put([]byte("b"), nil)
	if _, err := n.Commit(t.Context(), b); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "statement_timeout") {
		t.Errorf("commit: %v", err)
	}
	release()
	n.up(t)
	if !has(t, n, "a") || has(t, n, "b") {
		t.Error("part of the batch was applied")
	}
	if _, err := n.Commit(t.Context(), b); err != nil {
		t.Error(err)
	}
}

// TestConflictFailsOneBatch: of batches that are committed together, only the one that does not fit fails, be it for a
// check of its own or because the server does not take it.
func TestConflictFailsOneBatch(t *testing.T) {
	t.Parallel()
	s := sharedNode(t, postgres.Options{Writers: 1})
	sharedServer(t).Exec(t, "ALTER TABLE waybill_kv ADD CHECK (octet_length(value) <> 13)", s.schema)
	var wg sync.WaitGroup
	errs := make([]error, 60)
	for i := range errs {
		wg.Go(func() {
			b := &store.Batch{}
			b.Put(fmt.Appendf(nil, "k%d", i), make([]byte, 20))
			switch i % 20 {
			case 7:
				b.Check([]byte("nothing"), 7)
			case 13:
				b.Puts[0].Value = make([]byte, 13)
			}
			_, errs[i] = s.Commit(context.Background(), b)
		})
	}
	wg.Wait()
	for i, err := range errs {
		switch {
		case i%20 == 7 && !errors.Is(err, store.ErrConflict), i%20 == 13 && err == nil, i%20 != 7 && i%20 != 13 && err != nil:
			t.Errorf("batch %d: %v", i, err)
		}
		if present := has(t, s, fmt.Sprintf("k%d", i)); present != (err == nil) {
			t.Errorf("batch %d (%v) is there: %t", i, err, present)
		}
	}
	if err := s.Healthy(); err != nil {
		t.Errorf("healthy: %v", err)
	}
}

// TestStandbyWaitCancelled: a COMMIT that waits for a synchronous standby, until somebody cancels the wait, is not
// reported as durable. When the standby is no longer asked for, the batch's id tells that it was applied.
func TestStandbyWaitCancelled(t *testing.T) {
	t.Parallel()
	n := newNode(t, postgres.Options{Writers: 1, Patience: 2 * time.Second})
	l := &ledger{}
	if err := l.commit(n, l.batch()); err != nil {
		t.Fatal(err)
	}
	n.server.Exec(t, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
	n.server.Exec(t, "SELECT pg_reload_conf()")
	waitFor(t, "the setting", func() bool { return n.server.Query(t, "SHOW synchronous_standby_names")[0] == "nobody" })
	done := make(chan error, 1)
	go func() { done <- l.commit(n, l.batch()) }()
	waiting := "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name LIKE 'waybill writer%'"
	waitFor(t, "the wait", func() bool { return len(n.server.Query(t, waiting)) > 0 })
	if err := <-done; !errors.Is(err, store.ErrUnknown) {
		t.Errorf("commit: %v, want ErrUnknown", err)
	}
	n.server.Exec(t, "ALTER SYSTEM RESET synchronous_standby_names", "synchronous_commit=local")
	n.server.Exec(t, "SELECT pg_reload_conf()")
	n.up(t)
	if err := put(n, "after"); err != nil {
		t.Error(err)
	}
	l.settle(t, n)
}

// TestBarrierWaitsForStandby: with a synchronous standby, what can be read may not be there yet, so Barrier waits.
func TestBarrierWaitsForStandby(t *testing.T) {
	t.Parallel()
	n := newNode(t, postgres.Options{Patience: time.Second})
	if err := n.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	n.server.Exec(t, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
	n.server.Exec(t, "SELECT pg_reload_conf()")
	waitFor(t, "a barrier that waits", func() bool { return n.Barrier(t.Context()) != nil })
}

// TestOpenRefused: what is wrong is told, and the password is not.
func TestOpenRefused(t *testing.T) {
	t.Parallel()
	server := sharedServer(t)
	schema := server.Schema(t)
	newer := migrated(t, server.URL(schema))
	server.Exec(t, "UPDATE waybill_meta SET schema = 9", schema)
	for _, c := range []struct {
		url, says string
		is        error
	}{
		{"postgres://u:top-secret@[::1", "cannot be read", nil},
		{"postgres://u:top-secret@host:pörrt/x", "cannot be read", nil},
		{server.URLAt(fmt.Sprintf("127.0.0.1:%d", server.Port), "top-secret"), "refuses the password", nil},
		{strings.Replace(server.URL(), "/postgres?", "/nowhere?", 1), "no such database", nil},
		{server.URLAt("127.0.0.1:1", "top-secret"), "refused", nil},
		{server.URL("sslmode=verify-full", "sslrootcert=/nowhere/ca.pem"), "open /nowhere/ca.pem: no such file", nil},
		{server.URL("sslmode=require"), "refused TLS", nil},
		{server.URL("colour=blue"), "does not know a setting", nil},
		{server.URL(server.Schema(t)), "to be migrated", postgres.ErrNoSchema},
		{newer, "newer release", postgres.ErrNewSchema},
	} {
		s, err := postgres.Open(postgres.Options{URL: c.url, Patience: 5 * time.Second})
		if err == nil {
			_ = s.Close()
			t.Errorf("%s: opened", c.says)
			continue
		}
		if text := err.Error(); !strings.Contains(text, c.says) || strings.ContainsAny(text, "\n") ||
			strings.Contains(text, "top-secret") || strings.Contains(text, pgtest.Password) {
			t.Errorf("%q, want %q, in one line without the password", text, c.says)
		}
		if c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%v is not %v", err, c.is)
		}
	}
	if _, err := postgres.Migrate(t.Context(), newer); !errors.Is(err, postgres.ErrNewSchema) {
		t.Errorf("migrate: %v", err)
	}
}

// TestTooLarge: what the server could not take is refused before it is sent, and disturbs nobody.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	s := openStore(t, postgres.Options{URL: empty(t)})
	long := make([]byte, 2601)
	for i := range long {
		long[i] = byte(rand.IntN(256)) // the server compresses what it can
	}
	huge := make([]byte, 64<<20)
	var large store.Batch
	for i := range 9 {
		large.Put([]byte{byte(i)}, huge)
	}
	for what, b := range map[string]*store.Batch{
		"put": {Puts: []store.Put{{Key: long}}}, "check": {Checks: []store.Check{{Key: long}}},
		"delete": {Deletes: [][]byte{long}}, "counter": {Counters: []store.Counter{{Key: long}}}, "batch": &large,
	} {
		if _, err := s.Commit(t.Context(), b); err == nil || !strings.Contains(err.Error(), "at most") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := s.Commit(t.Context(), &store.Batch{Puts: []store.Put{{Key: long[:2600]}}}); err != nil {
		t.Errorf("the longest key: %v", err)
	}
	if err := s.Healthy(); err != nil {
		t.Error(err)
	}
}

// TestMigrateAtTheSameTime: several nodes may migrate at once; the tables are made once, and again is nothing.
func TestMigrateAtTheSameTime(t *testing.T) {
	t.Parallel()
	server := sharedServer(t)
	url := server.URL(server.Schema(t))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if _, err := postgres.Migrate(context.Background(), url); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := put(openStore(t, postgres.Options{URL: url}), "k"); err != nil {
		t.Error(err)
	}
}

// TestSnapshotsAreBounded: there are only so many, and none is kept for ever.
func TestSnapshotsAreBounded(t *testing.T) {
	t.Parallel()
	s := openStore(t, postgres.Options{URL: empty(t), Readers: 1, Patience: 5 * time.Second})
	sn, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Snapshot(); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a second snapshot: %v, want ErrUnavailable", err)
	}
	if err := put(s, "k"); err != nil {
		t.Errorf("a commit beside it: %v", err)
	}
	if err := sn.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Healthy(); err != nil {
		t.Errorf("healthy: %v", err)
	}
	waitFor(t, "a connection", func() bool {
		sn, err := s.Snapshot()
		if err == nil {
			err = sn.Close()
		}
		return err == nil
	})
	aging := openStore(t, postgres.Options{URL: empty(t), SnapshotAge: time.Millisecond, Patience: time.Minute})
	if sn, err = aging.Snapshot(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "its end", func() bool {
		_, _, err := sn.Get([]byte("k"))
		return !errors.Is(err, store.ErrNotFound) && strings.Contains(err.Error(), "too old")
	})
	_ = sn.Close()
}

// TestSynchronousCommitIsNeverOff, whatever the server's default.
func TestSynchronousCommitIsNeverOff(t *testing.T) {
	t.Parallel()
	n := newNode(t, postgres.Options{Writers: 1}, "synchronous_commit=off", "wal_writer_delay=10s")
	for i := range 20 {
		if err := put(n, fmt.Sprintf("k%d", i)); err != nil {
			t.Fatal(err)
		}
		// What the server has not written to its log when a batch is acknowledged is lost now.
		if i%10 == 9 {
			n.server.Kill()
			if err := n.server.Start(); err != nil {
				t.Fatal(err)
			}
			waitFor(t, "the server", func() bool { return put(n, "probe") == nil })
			if !has(t, n, fmt.Sprintf("k%d", i)) {
				t.Errorf("k%d is lost", i)
			}
		}
	}
}
