package main

import (
	"testing"
	"time"

	"waybill/internal/store/postgres/pgtest"
)

// TestNodesSurviveTheirDatabase: the database restarts, crashes and is restarted, and crashes for good so that its synchronous standby is
// promoted, all under load. The nodes go on by themselves, nobody is taken for dead, and nothing that was acknowledged is lost.
func TestNodesSurviveTheirDatabase(t *testing.T) {
	t.Parallel()
	primary := pgtest.New(t, "", "fsync=off")
	standby := primary.Standby(t, "fsync=off")
	c := newNodes(t, 2, settings{hosts: []*pgtest.Server{primary, standby}, parameters: []string{"target_session_attrs=read-write"}})
	primary.Exec(t, "ALTER SYSTEM SET synchronous_standby_names = '*'")
	primary.Exec(t, "SELECT pg_reload_conf()")
	c.until("the standby", 20*time.Second, func() bool {
		state := primary.Query(t, "SELECT sync_state FROM pg_stat_replication")
		return len(state) == 1 && state[0] == "sync"
	})
	load := c.load("d", 2)
	restart := func() {
		if err := primary.Start(); err != nil {
			t.Fatal(err)
		}
	}
	for _, trouble := range []struct {
		what       string
		begin, end func()
	}{
		{"restarted", primary.Stop, restart},
		{"killed and started again", primary.Kill, restart},
		{"killed, and its standby promoted", primary.Kill, func() { standby.Promote(t) }},
	} {
		load.await(c, 50)
		trouble.begin()
		for _, m := range c.all {
			if reply := m.awaitReply(451, ""); reply != nil {
				t.Errorf("%s: %v", m.name, reply)
			}
		}
		trouble.end()
		began := time.Now()
		for _, m := range c.all {
			if reply := m.awaitReply(250, ""); reply != nil {
				t.Errorf("%s, with the database %s: %v", m.name, trouble.what, reply)
			}
		}
		t.Logf("with the database %s: all nodes took mail again after %s", trouble.what, time.Since(began).Round(10*time.Millisecond))
	}
	load.await(c, 50)
	load.end()
	load.check(c)
	for _, m := range c.all {
		m.expectFewLines()
		if dead := m.count("for dead") + m.count("has died"); dead > 0 {
			t.Errorf("%s took a node for dead, or was taken:\n%s", m.name, m.complaints())
		}
	}
}
