package main

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// message is one of PostgreSQL's protocol.
func message(kind byte, rest string) []byte {
	b := binary.BigEndian.AppendUint32([]byte{kind}, uint32(4+len(rest)))
	return append(b, rest...)
}

func TestStatementsAreCountedHoweverTheyArrive(t *testing.T) {
	t.Parallel()
	sent := message(0, "user\x00postgres\x00\x00")[1:] // the first message has no type
	for _, m := range [][]byte{
		message('p', "EEEE"), message('P', "SELECT Q"), message('B', strings.Repeat("E", 300)), message('E', "\x00\x00\x00\x00\x00"),
		message('S', ""), message('Q', "SHOW E\x00"), message('E', ""),
	} {
		sent = append(sent, m...)
	}
	for _, size := range []int{1, 3, 7, len(sent)} {
		f, n := &frames{}, int64(0)
		for b := sent; len(b) > 0; b = b[min(size, len(b)):] {
			n += f.statements(b[:min(size, len(b))])
		}
		if n != 3 {
			t.Errorf("in pieces of %d octets: %d statements, want 3", size, n)
		}
	}
}

func TestTapCountsWhatPasses(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() { // answers each five octets with two
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		for b := make([]byte, 5); ; {
			if _, err := io.ReadFull(conn, b); err != nil {
				return
			}
			conn.Write([]byte("ok"))
		}
	}()
	tap, err := newTap(t.Context(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", "127.0.0.1:"+tap.port)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	for range 3 {
		conn.Write(message('S', "")) // five octets; the tap takes the first for a message without a type
		if _, err := io.ReadFull(conn, make([]byte, 2)); err != nil {
			t.Fatal(err)
		}
	}
	conn.Close()
	if got, want := tap.now(), (counted{there: 15, back: 6, trips: 3}); got.there != want.there || got.back != want.back || got.trips != want.trips {
		t.Errorf("counted %+v, want %+v", got, want)
	}
}

func TestRatesOfTheEnginesBenchmark(t *testing.T) {
	t.Parallel()
	var c commits
	err := c.add(`goos: linux
BenchmarkCommit/store/callers=64/writers=2-2   12000   364526 ns/op   22.47 MB/s   75.51 client-µs/op   2743 commits/s   11110 logB/op
BenchmarkCommit/bare/callers=64/writers=2-2    12000   274678 ns/op   29.82 MB/s   36.48 client-µs/op   3657.5 commits/s   10922 logB/op
PASS`)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.shares(); len(got) != 1 || int(got[0]) != 74 {
		t.Errorf("shares %v of %+v", got, c)
	}
	if err := c.add("--- SKIP: BenchmarkCommit: postgres is not installed"); err == nil {
		t.Error("no rates were taken for some")
	}
}

func TestGoalsAreComparedWith(t *testing.T) {
	t.Parallel()
	table := goalTable([]float64{2100, 1900, 2500}, commits{store: []float64{80}, bare: []float64{100}}, []time.Duration{15 * time.Second, 9 * time.Second})
	for _, line := range []string{
		"| accepted messages/s, one node on PostgreSQL | ≥ 2000 | 2100 (1900–2500) |",
		"| commits of the store as % of those of a bare writer | ≥ 70 % | 80 % (80 %–80 %) |",
		"| kill -9 of a node, until another one first attempts its mail, s; 2 times | ≤ 30 | 15.0 (9.0–15.0) |",
	} {
		if !strings.Contains(table, line+"\n") {
			t.Errorf("no line %q in:\n%s", line, table)
		}
	}
}

func TestNumbersOfStoredMessages(t *testing.T) {
	t.Parallel()
	if got, err := increasing("10000, 100000"); err != nil || len(got) != 2 || got[1] != 100000 {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"many", "0", "200,100"} {
		if _, err := increasing(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// TestHeirHearsOnlyOthersAfterADeath: what the victim still says, or another one before, is no takeover.
func TestHeirHearsOnlyOthersAfterADeath(t *testing.T) {
	t.Parallel()
	h := &heir{victim: nodeName(0), arrived: make(chan struct{})}
	for _, client := range []string{nodeName(0), nodeName(1)} {
		if got := h.hear(client, ""); !strings.HasPrefix(got, "450") {
			t.Errorf("%s, before: %q", client, got)
		}
	}
	h.dead = true
	if got := h.hear(nodeName(0), ""); !strings.HasPrefix(got, "450") || !h.first.IsZero() {
		t.Errorf("the victim, after: %q", got)
	}
	if got := h.hear(nodeName(1), ""); !strings.HasPrefix(got, "250") || h.first.IsZero() {
		t.Errorf("the other one, after: %q", got)
	}
}

// TestDatabaseWithStandby: the server that is measured commits only what its standby has, can be started again, and has the settings that
// are said of it.
func TestDatabaseWithStandby(t *testing.T) {
	t.Parallel()
	programs := findPostgres()
	if programs == "" {
		t.Skip("PostgreSQL is not installed")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	d, err := newDatabase(ctx, programs, "")
	if err != nil {
		t.Fatal(err)
	}
	defer d.remove()
	ask := func(name, sql, want string) {
		t.Helper()
		if got, err := d.query(ctx, name, sql); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", sql, got, err, want)
		}
	}
	if err := d.start(ctx); err != nil {
		t.Fatal(err)
	}
	ask("postgres", "CREATE DATABASE "+prepared, "")
	if err := d.follow(ctx, ""); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := d.stop(); err != nil {
			t.Fatal(err)
		}
		if err := d.start(ctx); err != nil {
			t.Fatal(err)
		}
	}
	name, err := d.create(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, setting := range []string{"fsync", "synchronous_commit", "full_page_writes"} {
		ask(name, "SHOW "+setting, "on")
	}
	ask(name, "SELECT sync_state FROM pg_stat_replication", "sync")
	before, err := statisticsOf(ctx, d)
	if err != nil {
		t.Fatal(err)
	}
	ask(name, "CREATE TABLE t AS SELECT generate_series(1, 1000) AS n", "")
	after, err := statisticsOf(ctx, d)
	if err != nil {
		t.Fatal(err)
	}
	if after["log"] <= before["log"] || after["commits"] == 0 {
		t.Errorf("before a table was made: %v, after: %v", before, after)
	}
	if err := d.drop(ctx, name); err != nil {
		t.Fatal(err)
	}
}
