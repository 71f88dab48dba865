package lab

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	"waybill/internal/dns"
	"waybill/internal/store/postgres/pgserver"
	"waybill/internal/trail"
)

// startNodes brings up a lab whose receiving side is so many nodes.
func startNodes(t *testing.T, nodes int) *Lab {
	t.Helper()
	if _, err := pgserver.Find(); err != nil {
		t.Skip("PostgreSQL is not installed:", err)
	}
	dir, remove, err := TempDir() // PostgreSQL's user gets into it; not so into the test's own
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(remove)
	return startWith(t, Options{Dir: dir, Nodes: nodes})
}

// TestNodes: a letter is taken in by one node, read from another, and its waybill is had from the third. Without the one that took it
// in the others go on.
func TestNodes(t *testing.T) {
	t.Parallel()
	l := startNodes(t, 3)
	checkNames(t, l)

	out := run(t, l, "letter")
	checkShares(t, l, out, false)
	if shown := find(t, out.Events, trail.Accepted, out.Shares.AcceptedBy); shown.Message != out.Shares.Message {
		t.Errorf("the waybill from the store has message %s", shown.Message)
	}
	find(t, out.Events, trail.Deleted, out.Shares.ServedBy)

	if out := run(t, l, "unknown-user"); out.Intact || len(out.Bounce) != 1 || out.Shares != nil {
		t.Errorf("unknown user: %d reports, shares %+v", len(out.Bounce), out.Shares)
	}

	out = run(t, l, "node-stops")
	checkShares(t, l, out, true)
	stopped := out.Shares.AcceptedBy
	after := run(t, l, "letter")
	if !after.Intact || after.Shares.AcceptedBy == stopped || after.Shares.ServedBy == stopped {
		t.Errorf("without %s: %q, %+v", stopped, after.Problem, after.Shares)
	}
}

// checkNames: every node is an MX of the domain, has the name that people use for their mailbox server, and its own name both ways.
func checkNames(t *testing.T, l *Lab) {
	t.Helper()
	you := l.users[1]
	names := dns.NewClient(dns.ClientOptions{Servers: []netip.AddrPort{you.names.port(dnsPort)}, Dial: l.dialFrom(you.client.ip()), Logger: l.logger})
	hosts, _, err := names.MX(t.Context(), you.Address.Domain)
	if err != nil || len(hosts) != 3 {
		t.Fatalf("MX: %v, %v", hosts, err)
	}
	shared, _, err := names.Addrs(t.Context(), receiverMail.name)
	if err != nil || len(shared) != 3 {
		t.Fatalf("%s: %v, %v", receiverMail.name, shared, err)
	}
	for i, h := range you.servers {
		if !slices.ContainsFunc(hosts, func(m dns.MX) bool { return m.Host == h.name && m.Preference == 10 }) || !slices.Contains(shared, h.ip()) {
			t.Errorf("%s is not in the DNS: %v, %v", h.name, hosts, shared)
		}
		for _, s := range l.Servers() {
			if s.Name == h.name && s.Node != i+1 {
				t.Errorf("%+v is not said to be node %d", s, i+1)
			}
		}
	}
}

func checkShares(t *testing.T, l *Lab, out Outcome, stopped bool) {
	t.Helper()
	s := out.Shares
	if !out.Intact || s == nil {
		t.Fatalf("the letter did not arrive intact: %q, %+v", out.Problem, s)
	}
	if s.Stopped != stopped || s.AcceptedBy == s.ServedBy || s.ServedBy == s.ShownBy || s.ShownBy == s.AcceptedBy {
		t.Errorf("the nodes' shares are %+v", s)
	}
	for _, name := range []string{s.AcceptedBy, s.ServedBy, s.ShownBy} {
		if !slices.Contains(l.Nodes(), name) {
			t.Errorf("%q is none of the nodes %v", name, l.Nodes())
		}
	}
}

// TestDatabaseEndsWithTheLab: nothing listens where the database was.
func TestDatabaseEndsWithTheLab(t *testing.T) {
	t.Parallel()
	var address string
	t.Run("lab", func(t *testing.T) {
		l := startNodes(t, 1)
		u, err := url.Parse(l.Database())
		if err != nil {
			t.Fatal(err)
		}
		address = u.Host
		if out := run(t, l, "letter"); !out.Intact || out.Shares.ServedBy != out.Shares.AcceptedBy {
			t.Errorf("one node: %q, %+v", out.Problem, out.Shares)
		}
		if _, err := l.Run(t.Context(), scenario(t, l, "node-stops")); !errors.Is(err, ErrOneServer) {
			t.Errorf("a node without another one is stopped: %v", err)
		}
	})
	if address == "" {
		t.Skip("PostgreSQL is not installed")
	}
	if conn, err := net.Dial("tcp", address); err == nil {
		conn.Close()
		t.Errorf("%s still takes connections", address)
	}
}

// TestInterruptedStart: whoever does not want to wait for the database does not get an error of it.
func TestInterruptedStart(t *testing.T) {
	t.Parallel()
	programs, err := pgserver.Find()
	if err != nil {
		t.Skip("PostgreSQL is not installed:", err)
	}
	dir, remove, err := TempDir()
	if err != nil {
		t.Fatal(err)
	}
	defer remove()
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	_, err = Start(ctx, Options{Dir: dir, Nodes: 1, Programs: programs, Tell: func(string) { cancel(enough) }})
	if !errors.Is(err, enough) || err.Error() != enough.Error() {
		t.Errorf("the start ended with %v", err)
	}
}

// TestNoPostgreSQL says what is missing and what goes without it.
func TestNoPostgreSQL(t *testing.T) {
	t.Parallel()
	_, err := Start(t.Context(), Options{Dir: t.TempDir(), Nodes: 3, Programs: t.TempDir()})
	if !errors.Is(err, pgserver.ErrNotInstalled) || !strings.Contains(err.Error(), "apt install postgresql") || !strings.Contains(err.Error(), "without --nodes") {
		t.Errorf("without its programs: %v", err)
	}
}
