package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var finalID = regexp.MustCompile(`250 2\.0\.0 ([0-9A-Z]{14}) `)

// send submits a letter with `waybill send` and returns the message's id.
func send(t *testing.T, s *server, args ...string) string {
	t.Helper()
	args = append([]string{"send", "--server", s.submission, "--user", testUser, "--password-file", passwordFile(t), "--insecure",
		"--from", testUser, "--to", testUser, "--subject", "Grüße", "--body", "A line.\n.\nAnother after a lone dot."}, args...)
	out, errOut, status := waybill(t, "", args...)
	if status != 0 {
		t.Fatalf("send: %d %s%s\n%s", status, out, errOut, s.log.String())
	}
	m := finalID.FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("no id in %q", out)
	}
	return m[1]
}

func passwordFile(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(testPassword+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// fetch retrieves into a Maildir until n messages are there.
func fetch(t *testing.T, s *server, n int, args ...string) []string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "Maildir")
	args = append([]string{"fetch", "--server", s.pop3s, "--tls", "tls", "--insecure", "--user", strings.ToUpper(testUser),
		"--password-file", passwordFile(t), "--out", dir}, args...)
	for deadline := time.Now().Add(30 * time.Second); ; {
		if _, errOut, status := waybill(t, "", args...); status != 0 {
			t.Fatalf("fetch: %s\n%s", errOut, s.log.String())
		}
		files, err := filepath.Glob(filepath.Join(dir, "new", "*"))
		if err != nil {
			t.Fatal(err)
		}
		if len(files) >= n || time.Now().After(deadline) {
			var messages []string
			for _, f := range files {
				b, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				messages = append(messages, strings.ReplaceAll(string(b), "\n", "\r\n")) // as it was on the wire
			}
			return messages
		}
	}
}

// TestServeSendFetchExplain: the commands work together against one running server.
func TestServeSendFetchExplain(t *testing.T) {
	s := newServer(t, "")
	s.setPassword(testUser, "a first one") // the store is free
	s.start()
	s.addAccount("bob@example.test") // while it runs
	s.setPassword(testUser, testPassword)
	ids := []string{send(t, s), send(t, s, "--tls", "starttls"), send(t, s, "--server", s.submissions, "--tls", "tls")}

	messages := fetch(t, s, len(ids))
	if len(messages) != len(ids) {
		t.Fatalf("%d messages, want %d", len(messages), len(ids))
	}
	for _, m := range messages {
		if !strings.Contains(m, "A line.\r\n.\r\nAnother after a lone dot.\r\n") || !strings.Contains(m, "Subject: =?utf-8?") {
			t.Errorf("the message is not what was sent:\n%s", m)
		}
		if !strings.Contains(m, "with ESMTPSA id ") || !strings.HasPrefix(m, "Return-Path: <alice@example.test>\r\n") {
			t.Errorf("trace fields:\n%s", m)
		}
	}
	if left := fetch(t, s, 0); len(left) != 0 {
		t.Errorf("%d messages are still on the server", len(left))
	}

	running, errOut, status := waybill(t, "", "explain", strings.ToLower(ids[0]), "--config", s.config)
	if status != 0 || !strings.Contains(running, ids[0]) || !strings.Contains(running, "alice@example.test") {
		t.Errorf("explain while running: %d %s%s", status, running, errOut)
	}
	if strings.Contains(running, testPassword) || strings.Contains(s.log.String(), testPassword) {
		t.Error("the password is in the waybill or the log")
	}
	if status := s.stop(); status != 0 {
		t.Errorf("exit status %d after SIGTERM\n%s", status, s.log.String())
	}
	stopped, errOut, status := waybill(t, "", "explain", ids[0], "--config", s.config, "--json")
	if status != 0 {
		t.Fatalf("explain while stopped: %s", errOut)
	}
	kinds := map[string]bool{}
	for line := range strings.Lines(stopped) {
		var e struct{ Kind string }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		kinds[e.Kind] = true
	}
	for _, want := range []string{"smtp.received", "spool.accepted", "policy.decided", "mailbox.filed", "pop3.fetched", "pop3.deleted"} {
		if !kinds[want] {
			t.Errorf("the waybill lacks %s; it has %v", want, kinds)
		}
	}
}

func TestFetchKeeps(t *testing.T) {
	s := newServer(t, "")
	s.start()
	send(t, s)
	for range 2 {
		if n := len(fetch(t, s, 1, "--keep")); n != 1 {
			t.Fatalf("%d messages, want 1", n)
		}
	}
}

func TestUsageErrors(t *testing.T) {
	for _, args := range [][]string{{"nonsense"}, {"serve"}, {"lab", "--jsn"}, {"explain", "--config", "/nonexistent/file"}} {
		if out, errOut, status := waybill(t, "", args...); status != 2 || errOut == "" {
			t.Errorf("%v: status %d, printed %q %q", args, status, out, errOut)
		}
	}
}

// TestConfigErrors: every mistake at once, with its place.
func TestConfigErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bad.toml")
	os.WriteFile(file, []byte("hostnam = \"x\"\nstore = \"postgres://x\"\n[listen]\nsmtp = [\"0.0.0.0\"]\ndns = [\"127.0.0.1:53\"]\n"), 0o600)
	_, errOut, status := waybill(t, "", "serve", "--config", file)
	if status != 1 {
		t.Errorf("status %d", status)
	}
	for _, want := range []string{file + ":1:", file + ":2:", file + ":4:", file + ":5:", "hostname"} {
		if !strings.Contains(errOut, want) {
			t.Errorf("no %q in:\n%s", want, errOut)
		}
	}
}

// TestLab: the main job.
func TestLab(t *testing.T) {
	out, errOut, status := waybill(t, "", "lab")
	if status != 0 {
		t.Fatalf("status %d\n%s\n%s", status, out, errOut)
	}
	for _, want := range []string{"me@sendingemail.com", "mail.receivingemail.com", "RCPT TO:<you@receivingemail.com>", "[relay] trusted: 127.0.0.24/32", "DELE 1", "Subject: Test Email", "intact"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in the waybill", want)
		}
	}
	if strings.Contains(out, "\x1b") {
		t.Error("coloured although it is no terminal")
	}
	for _, name := range []string{"unknown-user", "stranger"} {
		if out, _, status := waybill(t, "", "lab", "--scenario", name); status != 1 || !strings.Contains(out, "550 5.") {
			t.Errorf("%s: status %d\n%s", name, status, out)
		}
	}
}

// TestLabJSON: the first line tells what a script needs to use the lab.
func TestLabJSON(t *testing.T) {
	out, errOut, status := waybill(t, "", "lab", "--json")
	if status != 0 {
		t.Fatalf("status %d %s", status, errOut)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var settings struct {
		Kind    string
		Servers []struct{ Role, Name, Address string }
		Users   []struct{ User, Password, POP3 string }
	}
	if err := json.Unmarshal([]byte(lines[0]), &settings); err != nil || settings.Kind != "lab.settings" || len(settings.Users) != 2 || settings.Users[1].Password == "" {
		t.Errorf("first line: %s (%v)", lines[0], err)
	}
	for _, line := range lines {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
	if !strings.Contains(lines[len(lines)-1], `"intact":true`) {
		t.Errorf("last line: %s", lines[len(lines)-1])
	}
}

// TestCertificateFromFiles: the certificate that [tls] names is the one that a client sees, on every port with TLS.
func TestCertificateFromFiles(t *testing.T) {
	maker := newServer(t, "") // makes a certificate at its first start
	maker.start()
	maker.kill()
	cert := filepath.Join(maker.dir, "data", "self-signed-cert.pem")
	key := filepath.Join(maker.dir, "data", "self-signed-key.pem")
	pem, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(pem)

	s := newServer(t, fmt.Sprintf("[tls]\ncert = %q\nkey = %q\n", cert, key))
	s.start()
	for _, address := range []string{s.submissions, s.pop3s} {
		conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: trusted, ServerName: "mail.example.test"})
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		conn.Close()
	}
}
