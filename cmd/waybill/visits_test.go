package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestExplainPeer: a session that was refused is found by its address, while the server runs and when it does not.
func TestExplainPeer(t *testing.T) {
	s := newServer(t, "")
	s.start()
	conn, err := net.Dial("tcp", s.smtp)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	fmt.Fprint(conn, "EHLO x.test\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<b@elsewhere.test>\r\nQUIT\r\n")
	if said, _ := io.ReadAll(conn); !strings.Contains(string(said), "550 5.7.1") {
		t.Fatalf("%s", said)
	}
	conn.Close()
	id := send(t, s)
	await(t, s.log, "msg=refused")

	list := func(args ...string) string {
		t.Helper()
		out, errOut, status := waybill(t, "", append([]string{"explain", "--config", s.config}, args...)...)
		if status != 0 {
			t.Fatalf("%v: %d %s%s", args, status, out, errOut)
		}
		return out
	}
	running := list("--peer", "127.0.0.1", "--since", "1h")
	for _, want := range []string{"refused", "b@elsewhere.test", "550 5.7.1", "accepted", id, testUser} {
		if !strings.Contains(running, want) {
			t.Errorf("no %s in\n%s", want, running)
		}
	}
	var refused struct{ Session, Rule, Outcome, Peer string }
	for line := range strings.Lines(list("--peer", "127.0.0.0/8", "--json")) {
		if err := json.Unmarshal([]byte(line), &refused); err != nil {
			t.Fatal(err)
		}
		if refused.Outcome == "refused" {
			break
		}
	}
	if refused.Rule == "" || !strings.HasPrefix(refused.Peer, "127.0.0.1:") {
		t.Errorf("as JSON: %+v", refused)
	}
	if session := list(refused.Session); !strings.Contains(session, "RCPT TO:<b@elsewhere.test>") {
		t.Errorf("the session:\n%s", session)
	}
	if status := s.stop(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	if stopped := list("--peer", "127.0.0.1"); !strings.Contains(stopped, "b@elsewhere.test") || !strings.Contains(stopped, id) {
		t.Errorf("when it does not run:\n%s", stopped)
	}
	if _, errOut, status := waybill(t, "", "explain", "--config", s.config, "--peer", "198.51.100.1"); status != 1 || !strings.Contains(errOut, "saw nothing") {
		t.Errorf("of a stranger: %d %s", status, errOut)
	}
	for _, args := range [][]string{{}, {id, "--peer", "127.0.0.1"}, {"--peer", "somewhere"}, {"--peer", "127.0.0.1", "--since", "yesterday"}} {
		if _, errOut, status := waybill(t, "", append([]string{"explain", "--config", s.config}, args...)...); status != 2 {
			t.Errorf("%v: status %d %s", args, status, errOut)
		}
	}
}

// TestLogFormat: lines carry the message's id, as text or JSON; SIGHUP reads the certificate again.
func TestLogFormat(t *testing.T) {
	s := newServer(t, "")
	s.flags = []string{"--log-format", "json"}
	s.start()
	id := send(t, s)
	await(t, s.log, `"msg":"filed","message":"`+id+`"`)
	await(t, s.log, `"msg":"accepted","message":"`+id+`"`)
	cert := filepath.Join(s.dir, "data", "self-signed-cert.pem")
	pem, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cert, pem[:100], 0o600); err != nil {
		t.Fatal(err)
	}
	s.process.Process.Signal(syscall.SIGHUP)
	await(t, s.log, "self-signed-cert.pem holds no certificate")
	if err := os.WriteFile(cert, pem, 0o600); err != nil {
		t.Fatal(err)
	}
	s.process.Process.Signal(syscall.SIGHUP)
	await(t, s.log, `"msg":"certificate read"`)
	send(t, s) // with TLS
	s.stop()

	s.flags = []string{"--log-level", "warn"}
	s.start()
	quiet := send(t, s)
	s.stop()
	if strings.Contains(s.log.String(), quiet) {
		t.Errorf("at the level warn:\n%s", s.log.String())
	}
}
