package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// do runs a command on the server's node and wants that exit status.
func (s *server) do(status int, args ...string) (out string) {
	s.t.Helper()
	out, errOut, got := waybill(s.t, testPassword+"\n", append(args, "--config", s.config)...)
	if got != status {
		s.t.Fatalf("%v: status %d, want %d; printed %q %q", args, got, status, out, errOut)
	}
	return out + errOut
}

func (s *server) expect(out string, wanted ...string) {
	s.t.Helper()
	for _, want := range wanted {
		if !strings.Contains(out, want) {
			s.t.Errorf("%q is not in:\n%s", want, out)
		}
	}
}

// TestManageDirectory: domains, accounts and aliases, on the store and through the running server.
func TestManageDirectory(t *testing.T) {
	for _, running := range []bool{false, true} {
		t.Run(fmt.Sprintf("running=%v", running), func(t *testing.T) {
			t.Parallel()
			s := newServer(t, "")
			if running {
				s.start()
			}
			s.do(0, "domain", "add", "Zweite.test")
			s.do(1, "domain", "add", "zweite.test")
			s.do(1, "domain", "rm", "example.test")
			s.expect(s.do(0, "domain", "list"), "example.test  1", "zweite.test   0", "configuration", "store")
			s.do(0, "account", "add", "bob@zweite.test", "--password-stdin")
			s.do(0, "domain", "set", "zweite.test", "--postmaster", "bob@zweite.test", "--no-scram")
			s.expect(s.do(0, "domain", "show", "zweite.test"), "postmaster  bob@zweite.test", "SCRAM       not offered", "accounts    1")
			s.do(1, "domain", "rm", "zweite.test")

			s.do(0, "account", "set", "bob@zweite.test", "--disable", "--quota", "1GiB")
			s.expect(s.do(0, "account", "list", "zweite.test"), "bob@zweite.test", "1.0 GiB", "disabled")
			s.do(0, "account", "set", "bob@zweite.test", "--enable", "--quota", "none")
			s.expect(s.do(0, "account", "show", "BOB@zweite.test"), "enabled since", "quota none", "INBOX    0")
			s.do(2, "account", "set", "bob@zweite.test", "--quota", "much")
			s.do(2, "account", "set", "bob@zweite.test")
			s.do(1, "account", "set", "nobody@zweite.test", "--disable")

			s.do(0, "alias", "add", "team@example.test", testUser, "bob@zweite.test", "you@elsewhere.test")
			s.do(1, "alias", "add", "team@example.test", testUser)
			s.do(0, "alias", "set", "team@example.test", testUser, "bob@zweite.test")
			s.do(0, "alias", "add", "*@zweite.test", "team@example.test")
			s.expect(s.do(0, "alias", "list"), "team@example.test  "+testUser+", bob@zweite.test", "*@zweite.test")
			s.expect(s.do(0, "alias", "show", "team@example.test"), "leads to", "bob@zweite.test")
			s.expect(s.do(1, "account", "rm", "bob@zweite.test", "--yes"), "the alias team@example.test leads to it")
			s.do(2, "account", "rm", "bob@zweite.test")
			s.do(0, "alias", "rm", "*@zweite.test")
			s.do(0, "alias", "rm", "team@example.test")
			s.do(1, "alias", "rm", "team@example.test")
			s.expect(s.do(1, "account", "rm", "bob@zweite.test", "--yes"), "the domain zweite.test has it as its postmaster")
			s.do(0, "domain", "set", "zweite.test", "--postmaster", testUser)
			s.do(0, "account", "rm", "bob@zweite.test", "--yes")
			s.do(0, "account", "add", "bob@zweite.test", "--password-stdin")
			s.do(0, "account", "rm", "bob@zweite.test", "--yes")
			s.do(0, "domain", "rm", "zweite.test")
			s.expect(s.do(0, "domain", "list", "--json"), `"name":"example.test"`)
		})
	}
}

// TestManageQueue: what the server could not deliver is listed, held, released, retried, dropped and returned; and route
// tells why without sending anything.
func TestManageQueue(t *testing.T) {
	refusing := refusing(t)
	s := newServer(t, fmt.Sprintf("[[route]]\ndomains = [\"away.test\"]\nvia = [%q]\n", refusing))
	s.start()
	s.expect(s.do(0, "route", testUser, "you@away.test"), refusing, `[[route]] for "away.test"`, "STARTTLS if it is offered")
	s.expect(s.do(1, "route", "<>", "nobody@example.test"), "550 5.1.1")
	s.expect(s.do(0, "route", "<>", testUser), "account "+testUser)
	var ids []string
	for range 3 {
		ids = append(ids, send(t, s, "--to", "you@away.test"))
	}
	for deadline := time.Now().Add(20 * time.Second); strings.Count(s.do(0, "queue", "list"), "connection refused") < 3; {
		if time.Now().After(deadline) {
			t.Fatal(s.do(0, "queue", "list"))
		}
	}
	s.expect(s.do(0, "queue", "hold", "--to", "@away.test", "--from", testUser), "3 messages held")
	s.expect(s.do(0, "queue", "list", "--active"), "no such messages")
	s.expect(s.do(0, "queue", "release", "--all"), "3 messages released")
	s.expect(s.do(0, "queue", "retry", ids[0], ids[1]), "2 messages attempted now")
	s.expect(s.do(0, "queue", "show", ids[0]), "pending", "you@away.test", "451 4.4.1")
	s.do(2, "queue", "drop")
	s.expect(s.do(1, "queue", "drop", ids[0], "0W6TGW001EEYT2"), "1 message dropped", "1 of the messages named are not in the queue")
	s.expect(s.do(0, "queue", "bounce", "--reason", "Connection Refused", "--older", "0s", "--json"), `"messages":2`)
	s.expect(s.do(0, "queue", "list"), "no such messages")
	s.expect(s.do(1, "queue", "show", ids[0]), "is not in the queue")
	s.expect(s.do(0, "explain", ids[0]), "The operator steps in", "dropped")
	reports := 0
	for _, m := range fetch(t, s, 5) {
		if strings.Contains(m, "report-type=delivery-status") {
			reports++
		}
	}
	if reports != 2 {
		t.Errorf("%d reports, want 2: for each message that was returned", reports)
	}
	s.stop()
	var item map[string]any
	if out, _, status := waybill(t, "", "queue", "list", "--json", "--config", s.config); status != 0 || out != "" && json.Unmarshal([]byte(out), &item) != nil {
		t.Errorf("the queue of a server that does not run: %d %q", status, out)
	}
}
