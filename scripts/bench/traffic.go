package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"time"
)

// statisticsDelay is how long sessions of PostgreSQL that have become idle may keep their numbers to themselves (PGSTAT_IDLE_INTERVAL), and a little.
const statisticsDelay = 11 * time.Second

// statistics are the database's own counters. Which there are depends on its version.
type statistics map[string]float64

// statisticsOf asks for them. A view that this version lacks has no rows.
func statisticsOf(ctx context.Context, d *database) (statistics, error) {
	all := statistics{}
	for _, sql := range []string{
		"SELECT to_json(w) FROM pg_stat_wal AS w",
		"SELECT json_build_object('commits', sum(xact_commit), 'inserted', sum(tup_inserted), 'updated', sum(tup_updated), 'deleted', sum(tup_deleted))" +
			" FROM pg_stat_database",
		"SELECT json_build_object('log', pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0'))",
	} {
		answer, err := d.query(ctx, "postgres", sql)
		if err != nil {
			return nil, err
		}
		all.add(answer)
	}
	there, err := d.query(ctx, "postgres", "SELECT to_regclass('pg_stat_io') IS NOT NULL")
	if err != nil || there != "t" {
		return all, err
	}
	answer, err := d.query(ctx, "postgres", "SELECT json_build_object('io_writes', sum(writes), 'io_extends', sum(extends), 'io_fsyncs', sum(fsyncs))"+
		" FROM pg_stat_io")
	all.add(answer)
	return all, err
}

// add takes the numbers of a JSON object.
func (s statistics) add(object string) {
	var values map[string]any
	if json.Unmarshal([]byte(object), &values) != nil {
		return
	}
	for name, v := range values {
		if number, ok := v.(float64); ok {
			s[name] = number
		}
	}
}

// trafficRow is a row of the table of what a message costs.
type trafficRow struct {
	title, unit string
	name        string // of the statistics
}

var trafficRows = []trafficRow{
	{"transactions that the database committed", "", "commits"},
	{"rows inserted", "", "inserted"},
	{"rows updated", "", "updated"},
	{"rows deleted", "", "deleted"},
	{"its log (WAL)", "octets", "log"},
	{"– records", "", "wal_records"},
	{"– whole pages in it", "", "wal_fpi"},
	{"– writes", "", "wal_write"},
	{"– syncs", "", "wal_sync"},
	{"writes of its processes (pg_stat_io)", "", "io_writes"},
	{"– pages that files grow by", "", "io_extends"},
	{"– syncs", "", "io_fsyncs"},
}

// trafficMeter looks at the database and the tap before a load and after.
type trafficMeter struct {
	ctx       context.Context
	db        *database
	tap       *tap
	wire      counted
	own       statistics
	wireAfter counted
	ownAfter  statistics
}

func (m *trafficMeter) before(int) (err error) {
	time.Sleep(statisticsDelay)
	m.own, err = statisticsOf(m.ctx, m.db)
	m.wire = m.tap.now()
	return err
}

func (m *trafficMeter) after(int) (err error) {
	m.wireAfter = m.tap.now()
	time.Sleep(statisticsDelay)
	m.ownAfter, err = statisticsOf(m.ctx, m.db)
	return err
}

// trafficTable runs a smaller load through the tap, which slows it, and returns what each message costs the line and the database.
func trafficTable(ctx context.Context, o options, w waybill, db *database) (string, error) {
	t, err := newTap(ctx, net.JoinHostPort("127.0.0.1", db.port))
	if err != nil {
		return "", err
	}
	n := max(1, o.nodes.messages/4)
	m := &trafficMeter{ctx: ctx, db: db, tap: t}
	c := &cluster{waybill: w, title: oneNode, nodes: 1, db: db, port: t.port}
	if _, err := load(ctx, o, c, launch{}, n, m); err != nil {
		return "", fmt.Errorf("traffic: %w", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "| a message to a mailbox costs, one node, %d messages over %d sessions | |\n|---|---:|\n", n, o.sessions)
	line := func(title string, amount float64, unit string) {
		fmt.Fprintf(&b, "| %s | %s |\n", title, value{amount: amount / float64(n), unit: unit})
	}
	line("statements", m.wireAfter.statements-m.wire.statements, "")
	line("round trips", m.wireAfter.trips-m.wire.trips, "")
	line("octets to the database", m.wireAfter.there-m.wire.there, "")
	line("octets from the database", m.wireAfter.back-m.wire.back, "")
	for _, r := range trafficRows {
		if after, ok := m.ownAfter[r.name]; ok {
			line(r.title, after-m.own[r.name], r.unit)
		}
	}
	return b.String(), nil
}
