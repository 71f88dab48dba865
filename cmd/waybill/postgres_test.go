package main

import (
	"errors"
	"fmt"
	"net/smtp"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"waybill/internal/store/postgres/pgtest"
)

// databases is a PostgreSQL server for the tests that leave it alone.
var databases pgtest.Shared

// emptyDatabase returns the URL of an empty schema there.
func emptyDatabase(t *testing.T) string {
	t.Helper()
	server := databases.Get(t)
	return server.URL(server.Schema(t))
}

// newServerOn is newServer on a database, whose tables it makes.
func newServerOn(t *testing.T, url string) *server {
	t.Helper()
	s := configure(t, url, patient)
	if out := s.do(0, "store", "migrate"); !strings.Contains(out, "the tables are made, with schema 1\n") || strings.Contains(out, secretInURL) {
		t.Fatal(out)
	}
	s.addAccount(testUser)
	return s
}

// secretInURL is how the password of the tests' database is written in its URL.
var secretInURL = strings.ReplaceAll(pgtest.Password, " ", "%20")

// TestServeOnPostgres: one line of the configuration moves the server into a database. All commands work, whether it runs or not.
func TestServeOnPostgres(t *testing.T) {
	t.Parallel()
	s := newServerOn(t, emptyDatabase(t))
	s.setPassword(testUser, testPassword)
	s.start()
	await(t, s.log, fmt.Sprintf("mail.example.test: store postgres://postgres@127.0.0.1:%d/postgres\n", databases.Get(t).Port))
	id := send(t, s)
	if messages := fetch(t, s, 1, "--keep"); len(messages) != 1 || !strings.Contains(messages[0], id) {
		t.Errorf("%d messages: %q", len(messages), messages)
	}
	for _, running := range []bool{true, false} {
		s.expect(s.do(0, "explain", id), id, "rule          account "+testUser)
		s.expect(s.do(0, "verify"), "no damage found (1 messages in mailboxes, 0 in the queue, 1 contents")
		s.expect(s.do(1, "backup", filepath.Join(s.dir, "backup")), "pg_dump", "waybill store copy")
		s.expect(s.do(0, "store", "migrate"), "nothing was changed")
		if running && s.stop() != 0 {
			t.Error(s.log)
		}
	}
	s.expect(s.do(1, "restore", s.dir), "a backup is one of the embedded store")
	if entries, _ := os.ReadDir(filepath.Join(s.dir, "data")); len(entries) != 3 {
		t.Errorf("the data directory has %v, want the lock and the certificate", entries)
	}
	if strings.Contains(s.log.String(), secretInURL) || strings.Contains(s.log.String(), pgtest.Password) {
		t.Error("the password is in the log")
	}
}

// TestOneServerEachDataDirectory: two servers cannot share a control socket by mistake, whatever stores they have; on one database
// each has a directory of its own.
func TestOneServerEachDataDirectory(t *testing.T) {
	t.Parallel()
	embedded := newServer(t, "")
	embedded.start()
	second := configure(t, emptyDatabase(t), patient)
	text, err := os.ReadFile(second.config)
	if err != nil {
		t.Fatal(err)
	}
	shared := strings.Replace(string(text), second.dir, embedded.dir, 1)
	if err := os.WriteFile(second.config, []byte(shared), 0o600); err != nil {
		t.Fatal(err)
	}
	second.do(0, "store", "migrate")
	second.expect(second.do(1, "serve"), "another server or command works with it", filepath.Join(embedded.dir, "data"))
	embedded.stop()
	second.start()
	embedded.expect(embedded.do(1, "serve"), "another server or command works with it")
}

// TestRootAndDatabase: for root too a process of the data directory's owner speaks to the database, who may be let in by name; and what
// it leaves the server can use.
func TestRootAndDatabase(t *testing.T) {
	t.Parallel()
	as := another(t)
	s := newServerOn(t, emptyDatabase(t))
	s.giveTo(as)
	s.expect(s.do(0, "account", "list"), testUser)
	s.checkOwner()
	s.expect(s.do(1, "serve"), "run this as that user")
	s.start()
	s.expect(s.do(0, "account", "list"), testUser)
	s.checkOwner()
}

// TestServeWithoutTables: nothing but the migration makes them, and whoever needs them is told.
func TestServeWithoutTables(t *testing.T) {
	t.Parallel()
	s := configure(t, emptyDatabase(t), "")
	for _, command := range []string{"serve", "verify"} {
		s.expect(s.do(1, command), "holds no store yet", "run waybill store migrate --config "+s.config+"\n")
	}
	if out := s.do(0, "store", "migrate", "--json"); out != `{"from":0,"to":1,"fromForm":0,"toForm":2}`+"\n" {
		t.Error(out)
	}
	s.do(0, "verify")
}

// TestDatabaseGoesAway: while the database is away or read-only peers get 451 and the operator one line; it is over by itself, and
// nothing is lost.
func TestDatabaseGoesAway(t *testing.T) {
	t.Parallel()
	database := pgtest.New(t, "")
	s := newServerOn(t, database.URL())
	s.start()
	ids := []string{send(t, s)}
	for name, trouble := range map[string]struct {
		begin, end func()
		says       string
	}{
		"stopped": {database.Stop, func() {
			if err := database.Start(); err != nil {
				t.Fatal(err)
			}
		}, "failed to connect to"}, // it refuses connections, or says still that it is shutting down
		"read-only": {func() {
			database.Exec(t, "ALTER SYSTEM SET default_transaction_read_only = on")
			database.Exec(t, "SELECT pg_reload_conf()")
		}, func() {
			database.Exec(t, "ALTER SYSTEM RESET default_transaction_read_only", "default_transaction_read_only=off")
			database.Exec(t, "SELECT pg_reload_conf()")
		}, "the server is read-only"},
	} {
		failures, recoveries := s.count("store failed"), s.count("store answers again")
		trouble.begin()
		if reply := s.awaitReply(451, "4.3.0"); reply != nil {
			t.Errorf("%s: %v", name, reply)
		}
		trouble.end()
		if reply := s.awaitReply(250, ""); reply != nil {
			t.Errorf("%s, and back again: %v", name, reply)
		}
		if !strings.Contains(s.log.String(), trouble.says) || s.count("store failed") != failures+1 || s.count("store answers again") != recoveries+1 {
			t.Errorf("%s: want one line of trouble (%s) and one of recovery:\n%s", name, trouble.says, s.log)
		}
		ids = append(ids, send(t, s))
	}
	messages := strings.Join(fetch(t, s, len(ids)), "")
	for _, id := range ids {
		if !strings.Contains(messages, id) {
			t.Errorf("%s is lost", id)
		}
	}
}

func (s *server) count(text string) int { return strings.Count(s.log.String(), text) }

// awaitReply hands in messages to nobody in particular until the reply to MAIL has that code, and returns the last one that had not.
func (s *server) awaitReply(code int, text string) (reply error) {
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		reply = s.begin()
		refused := &textproto.Error{Code: 250}
		if reply != nil && !errors.As(reply, &refused) {
			return reply
		}
		if refused.Code == code && strings.Contains(refused.Msg, text) {
			return nil
		}
	}
	return reply
}

// begin begins a message and returns how that is refused.
func (s *server) begin() error {
	c, err := smtp.Dial(s.smtp)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Mail("a@b.test"); err != nil {
		return err
	}
	return c.Rcpt(testUser)
}
