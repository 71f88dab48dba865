package node

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/smtp"
	"os"
	"strings"
	"testing"
	"time"

	"waybill/internal/config"
	"waybill/internal/control"
	"waybill/internal/directory"
	"waybill/internal/mail"
	"waybill/internal/mailbox"
	"waybill/internal/pop3"
	"waybill/internal/store/postgres"
	"waybill/internal/store/postgres/pgtest"
)

// database is a PostgreSQL server for the tests that leave it alone.
var database pgtest.Shared

func TestMain(m *testing.M) {
	status := m.Run()
	database.Remove()
	os.Exit(status)
}

// emptyDatabase returns the URL of an empty store there.
func emptyDatabase(t *testing.T) config.StoreURL {
	t.Helper()
	server := database.Get(t, "max_connections=300")
	c := config.Default()
	c.Store = config.StoreURL(server.URL(server.Schema(t)))
	if _, err := postgres.Migrate(t.Context(), string(c.Store)); err != nil {
		t.Fatal(err)
	}
	if _, err := UpgradeStore(t.Context(), c, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	return c.Store
}

// nodeAt starts a node on a database. Nobody is trusted, and all may log in without TLS.
func nodeAt(t *testing.T, url config.StoreURL, change func(c *config.Config)) *Node {
	t.Helper()
	return startWith(t, slog.New(slog.DiscardHandler), func(c *config.Config) {
		c.Store, c.Relay.Trusted, c.Auth.CleartextFrom = url, nil, loopback
		if change != nil {
			change(c)
		}
	})
}

// submit logs in on the submission port.
func (n *Node) submit(t *testing.T, login, password string) error {
	t.Helper()
	address := addressOf(n, "submission")
	c, err := smtp.Dial(address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	host, _, _ := net.SplitHostPort(address)
	return c.Auth(smtp.PlainAuth("", login, password, host))
}

// fetch logs in by POP3.
func (n *Node) fetch(t *testing.T, login, password string) error {
	t.Helper()
	nc, err := net.Dial("tcp", addressOf(n, "pop3"))
	if err != nil {
		t.Fatal(err)
	}
	c := pop3.NewClient(nc, pop3.ClientOptions{})
	defer c.Close()
	if err := errors.Join(c.Greet(t.Context()), c.Login(t.Context(), login, password)); err != nil {
		return err
	}
	return c.Quit(t.Context())
}

// patience is how long a busy machine may take for what is a matter of a second.
const patience = 30 * time.Second

// soon waits until something is so, and says how long it took.
func soon(t *testing.T, what string, is func() bool) {
	t.Helper()
	began := time.Now()
	for !is() {
		if time.Since(began) > patience {
			t.Errorf("after %v: %s", patience, what)
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Logf("after %v not any more: %s", time.Since(began).Round(time.Millisecond), what)
}

var bob = mail.Address{Local: "bob", Domain: "example.test"}

// TestNodesBanTogether: failed logins at two nodes, over SMTP and POP3, come to one ban, which holds at both and at one that
// begins later; and whoever logged in at one of them is known at all.
func TestNodesBanTogether(t *testing.T) {
	t.Parallel()
	url := emptyDatabase(t)
	rules := func(c *config.Config) { c.Auth.BanAfter, c.Auth.BanTime = 3, time.Hour }
	one, two := nodeAt(t, url, rules), nodeAt(t, url, rules)
	for _, addr := range []mail.Address{alice, bob} {
		if err := one.AddAccount(t.Context(), addr, "secret"); err != nil {
			t.Fatal(err)
		}
	}
	if err := one.submit(t, "alice@example.test", "secret"); err != nil {
		t.Fatal(err)
	}
	for i, n := range []*Node{one, two, one} {
		try := n.fetch
		if i%2 == 1 {
			try = n.submit
		}
		if err := try(t, fmt.Sprintf("nobody%d@example.test", i), "guess"); err == nil || strings.Contains(err.Error(), "Too many") {
			t.Errorf("guess %d: %v", i+1, err)
		}
	}
	banned := func(n *Node, login string) bool {
		err := n.submit(t, login, "secret")
		return err != nil && strings.Contains(err.Error(), "Too many failed logins from your address, try again after 60 minutes")
	}
	soon(t, "the other node does not know of the ban", func() bool { // no login, which would make bob known
		_, is := two.logins.Guard.Banned(loopback[0].Addr().Next(), "bob@example.test")
		return is
	})
	if !banned(two, "bob@example.test") {
		t.Error("the other node lets bob in")
	}
	if err := two.fetch(t, "bob@example.test", "secret"); err == nil {
		t.Error("bob is not banned from POP3")
	}
	three := nodeAt(t, url, rules)
	if !banned(three, "bob@example.test") {
		t.Error("a new node lets bob in")
	}
	for i, n := range []*Node{one, two, three} {
		if err := n.fetch(t, "alice@example.test", "secret"); err != nil {
			t.Errorf("alice, whose network is known, at node %d: %v", i+1, err)
		}
	}
}

// TestNodesKeepOneRateOnTheWire: a client that goes from one node to the other is held to its rate by both.
func TestNodesKeepOneRateOnTheWire(t *testing.T) {
	t.Parallel()
	url := emptyDatabase(t)
	rules := func(c *config.Config) { c.Limits.RatePerAddress = 0.034 } // two at once, and the next one after 29 seconds
	nodes := []*Node{nodeAt(t, url, rules), nodeAt(t, url, rules)}
	send := func(n *Node, from netip.Addr) error {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: from.AsSlice()}}
		conn, err := d.DialContext(t.Context(), "tcp", addressOf(n, "smtp"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		c, err := smtp.NewClient(conn, "")
		if err != nil {
			t.Fatal(err)
		}
		return c.Mail("stranger@elsewhere.test")
	}
	// The nodes know of each other's messages after a second, or later where the machine is busy; then another client tries, who leaves them more time.
	from := loopback[0].Addr().Next()
	for wait := 2 * time.Second; ; wait, from = 2*wait, from.Next() {
		for i, n := range nodes {
			if err := send(n, from); err != nil {
				t.Errorf("message %d of %s: %v", i+1, from, err)
			}
		}
		time.Sleep(wait)
		taken := 0
		for i, n := range nodes {
			switch err := send(n, from); {
			case err == nil:
				taken++
			case !strings.Contains(err.Error(), fmt.Sprintf("Too many messages from %s: 0.034 a second are allowed", from)):
				t.Errorf("one more at node %d: %v", i+1, err)
			}
		}
		if taken == 0 {
			return
		}
		if wait > 10*time.Second {
			t.Fatalf("%v after two messages %d nodes take one more", wait, taken)
		}
	}
}

// TestNodesHearOfChanges: what is changed at one node soon holds at the other, though it remembers what was; and a password that was
// changed at once.
func TestNodesHearOfChanges(t *testing.T) {
	t.Parallel()
	ctx, url := t.Context(), emptyDatabase(t)
	one, two := nodeAt(t, url, nil), nodeAt(t, url, nil)
	leads := func(n *Node, to string) func() bool {
		return func() bool {
			r, err := n.directory.Resolve(ctx, mail.Address{Local: "team", Domain: "example.org"})
			found := ""
			if err == nil && len(r.Targets) > 0 {
				found = r.Targets[0].Path.String()
			}
			return found == to
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	team := directory.Alias{Address: mail.Address{Local: "team", Domain: "example.org"}, Targets: []mail.Address{alice}}
	must(one.AddAccount(ctx, alice, "secret"))
	must(one.AddAccount(ctx, bob, "secret"))
	must(one.PutDomain(ctx, control.DomainChange{Name: "example.org", New: true}))
	must(one.PutAlias(ctx, team, true))
	soon(t, "the new alias leads nowhere", leads(two, "alice@example.test"))
	team.Targets = []mail.Address{bob}
	must(one.PutAlias(ctx, team, false))
	soon(t, "the changed alias leads to the old target", leads(two, "bob@example.test"))
	must(one.RemoveAlias(ctx, team.Address))
	soon(t, "the removed alias leads to somebody", leads(two, ""))
	must(one.RemoveDomain(ctx, "example.org"))
	soon(t, "the removed domain is local", func() bool { return !two.directory.IsLocal("example.org") })

	must(two.submit(t, "alice@example.test", "secret")) // which it remembers now
	must(one.SetPassword(ctx, alice, "another"))
	if err := two.submit(t, "alice@example.test", "secret"); err == nil {
		t.Error("the old password is remembered")
	}
	must(two.submit(t, "alice@example.test", "another"))

	if to, err := two.directory.Resolve(ctx, alice); err != nil || len(to.Targets) != 1 {
		t.Fatal(to, err)
	}
	changed, cancel := two.mailboxes.Watch(alice.Key())
	defer cancel()
	must(submitPlain(addressOf(one, "smtp"), "stranger@elsewhere.test", "alice@example.test", "Subject: x\r\n\r\nx\r\n"))
	soon(t, "nobody is told of the new message", func() bool {
		select {
		case <-changed:
			return true
		default:
			return false
		}
	})
	if l, err := two.mailboxes.List(ctx, alice.Key(), mailbox.Inbox); err != nil || len(l.Entries) != 1 {
		t.Errorf("%d messages, %v", len(l.Entries), err)
	}
	must(one.RemoveAccount(ctx, alice))
	if err := two.submit(t, "alice@example.test", "another"); err == nil {
		t.Error("the password of a removed account is remembered")
	}
	soon(t, "a removed account gets mail", func() bool {
		err := submitPlain(addressOf(two, "smtp"), "stranger@elsewhere.test", "alice@example.test", "Subject: x\r\n\r\nx\r\n")
		return err != nil && strings.HasPrefix(err.Error(), "550 ")
	})
}
