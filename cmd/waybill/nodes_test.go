package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"waybill/internal/store/objects/s3test"
	"waybill/internal/store/postgres/pgtest"
)

// takeoverTime is how long the mail of a node may wait after its death until another one takes it on: 20 seconds, and more on a busy machine.
const takeoverTime = time.Minute

// nodes are real servers that share a database, which each of them reaches by a line of its own, and a sink.
type nodes struct {
	t   *testing.T
	out *sink
	all []*member
}

// member is one of the nodes.
type member struct {
	*server
	name  string
	lines []*line // to the hosts of the database
}

// settings are what nodes have in common.
type settings struct {
	retry      string // after how long what could not be delivered is tried again; "": 1s
	routes     string // further lines of the configuration
	hosts      []*pgtest.Server
	parameters []string        // of the database's URL
	bodies     *s3test.Server  // where large bodies lie, in the bucket "mail"; nil: in the database
	clocks     []time.Duration // how far those of the nodes are ahead; nil: they are right
}

// newNodes starts n nodes, on an empty schema, and makes an account. The database has several hosts where it has a standby.
func newNodes(t *testing.T, n int, s settings) *nodes {
	t.Helper()
	c := &nodes{t: t, out: newSink(t)}
	further := fmt.Sprintf("[queue]\nretry = [%q]\nconnections = %d\n[relay]\ntrusted = [\"127.0.0.1/32\"]\n[[route]]\ndomains = [%q]\nvia = [%q]\n%s",
		cmp.Or(s.retry, "1s"), connectionsToSink, sinkDomain, c.out.address, s.routes)
	program := ""
	if s.clocks != nil {
		program = wrongClocked(t)
	}
	for i := range n {
		m := &member{name: fmt.Sprintf("node %d", i)}
		var addresses []string
		for _, host := range s.hosts {
			l := newLine(t, fmt.Sprintf("127.0.0.1:%d", host.Port))
			m.lines, addresses = append(m.lines, l), append(addresses, l.address())
		}
		m.server = configure(t, s.hosts[0].URLAt(strings.Join(addresses, ","), pgtest.Password, s.parameters...), further)
		if s.bodies != nil {
			m.keepBodies(s.bodies)
		}
		if s.clocks != nil {
			m.program, m.env = program, []string{clockSetting(s.clocks[i])}
		}
		c.all = append(c.all, m)
	}
	t.Cleanup(func() {
		if t.Failed() {
			c.logs()
		}
	})
	c.all[0].do(0, "store", "migrate")
	for _, m := range c.all {
		m.start()
	}
	c.all[0].addAccount(testUser)
	return c
}

// keepBodies has a node keep large bodies in the bucket.
func (m *member) keepBodies(in *s3test.Server) {
	m.t.Helper()
	keys := m.dir + "/keys"
	text, err := os.ReadFile(m.config)
	if err != nil {
		m.t.Fatal(err)
	}
	with := fmt.Sprintf("bodies = \"s3://mail/bodies?endpoint=%s&credentials=%s\"\n[listen]\n", in.Endpoint(), keys)
	err = errors.Join(os.WriteFile(m.config, []byte(strings.Replace(string(text), "[listen]\n", with, 1)), 0o600),
		os.WriteFile(keys, fmt.Appendf(nil, "aws_access_key_id = %s\naws_secret_access_key = %s\n", s3test.Access, s3test.Secret), 0o600))
	if err != nil {
		m.t.Fatal(err)
	}
}

// onSharedDatabase is newNodes on the tests' own database, which they leave alone.
func onSharedDatabase(t *testing.T, n int, s settings) *nodes {
	t.Helper()
	server := databases.Get(t)
	s.hosts, s.parameters = []*pgtest.Server{server}, []string{server.Schema(t)}
	return newNodes(t, n, s)
}

// line sets the lines of a node to the database.
func (m *member) line(state lineState) {
	for _, l := range m.lines {
		l.set(state)
	}
}

// forget deletes a node's data, while it does not run: what is of value is in the database.
func (m *member) forget() {
	if err := os.RemoveAll(m.dir + "/data"); err != nil {
		m.t.Fatal(err)
	}
}

// until waits for something to become true, and returns how long that took.
func (c *nodes) until(what string, within time.Duration, is func() bool) time.Duration {
	c.t.Helper()
	began := time.Now()
	for !is() {
		if time.Since(began) > within {
			c.t.Fatalf("not within %s: %s", within, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return time.Since(began)
}

// logs shows what the nodes had to say besides the steps of each message.
func (c *nodes) logs() {
	c.t.Helper()
	for _, m := range c.all {
		if m.log == nil { // it never ran
			continue
		}
		c.t.Logf("%s (SMTP at %s):\n%s", m.name, m.smtp, m.complaints())
	}
}

// mostComplaints is how many lines of a log are shown.
const mostComplaints = 40

// complaints returns the lines of a node's log that are not of level INFO, but the first and the last ones only.
func (m *member) complaints() string {
	var lines []string
	for l := range strings.Lines(m.log.String()) {
		if !strings.Contains(l, " level=INFO ") {
			lines = append(lines, l)
		}
	}
	if n := len(lines); n > mostComplaints {
		lines = append(append(lines[:mostComplaints/2:mostComplaints/2], fmt.Sprintf("… %d lines …\n", n-mostComplaints)), lines[n-mostComplaints/2:]...)
	}
	return strings.Join(lines, "")
}
