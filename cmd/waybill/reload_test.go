package main

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// awaitLog waits until the server's log has a text that it did not have before.
func (s *server) awaitLog(before int, text string) {
	s.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(s.log.String()[before:], text); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("no %q in the log:\n%s", text, s.log.String())
		}
	}
}

// TestReload: SIGHUP takes over domains and routes, says what waits for a restart, and does nothing with a wrong file.
func TestReload(t *testing.T) {
	s := newServer(t, "")
	s.start()
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	reload := func(config, want string) {
		t.Helper()
		if err := os.WriteFile(s.config, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		before := len(s.log.String())
		s.process.Process.Signal(syscall.SIGHUP)
		s.awaitLog(before, want)
	}
	further := string(text) + "[[domain]]\nname = \"second.test\"\n[[route]]\ndomains = [\"*\"]\nvia = [\"127.0.0.1:9\"]\n"
	reload(further, "the configuration is reloaded\"")
	s.expect(s.do(0, "domain", "list"), "second.test")
	s.expect(s.do(0, "route", testUser, "you@elsewhere.test"), "127.0.0.1:9")
	s.do(0, "account", "add", "bob@second.test", "--password-stdin")
	reload(strings.Replace(further, "[limits]\n", "[limits]\nrecipients = 5\n", 1), "changed=[limits]")
	reload(further+"nonsense = 1\n", "it has mistakes")
	s.expect(s.do(1, "domain", "list"), "there is no such key") // the commands read the file too
	reload(string(text), "the configuration is reloaded\"")
	s.expect(s.do(0, "domain", "list"), "example.test")
	if strings.Contains(s.do(0, "domain", "list"), "second.test") {
		t.Error("a domain that was removed is still taken")
	}
}
