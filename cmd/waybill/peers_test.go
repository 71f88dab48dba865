package main

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// peer runs an independent program against the server and returns what it printed; it must succeed.
func peer(t *testing.T, name string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = append(os.Environ(), "NO_PROXY=*", "no_proxy=*")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

func TestSwaks(t *testing.T) {
	s := newServer(t, "")
	s.start()
	for _, args := range [][]string{
		{"--server", s.smtp},
		{"--server", s.smtp, "--tls"},
		{"--server", s.smtp, "--pipeline"},
		{"--server", s.submission, "--tls", "--auth", "PLAIN", "--auth-user", testUser, "--auth-password", testPassword},
		{"--server", s.submission, "--tls", "--auth", "LOGIN", "--auth-user", testUser, "--auth-password", testPassword},
		{"--server", s.submissions, "--tls-on-connect", "--auth", "PLAIN", "--auth-user", testUser, "--auth-password", testPassword},
	} {
		out := peer(t, "swaks", append(args, "--from", testUser, "--to", testUser)...)
		if !finalID.MatchString(out) {
			t.Errorf("swaks %q got no id:\n%s", args, out)
		}
	}
	if n := len(fetch(t, s, 6)); n != 6 {
		t.Errorf("%d messages, want 6", n)
	}
}

func TestCurl(t *testing.T) {
	s := newServer(t, "")
	s.start()
	letter := s.dir + "/letter.eml"
	if err := os.WriteFile(letter, []byte("Subject: by curl\r\n\r\n.a line that begins with a dot\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	login := testUser + ":" + testPassword
	for _, url := range []string{"smtp://" + s.submission, "smtps://" + s.submissions} {
		peer(t, "curl", "-sS", "--insecure", "--ssl-reqd", "--url", url, "--user", login,
			"--mail-from", testUser, "--mail-rcpt", testUser, "--upload-file", letter)
	}
	if n := len(fetch(t, s, 2, "--keep")); n != 2 {
		t.Fatalf("%d messages, want 2", n)
	}
	for _, url := range []string{"pop3://" + s.pop3 + "/1", "pop3s://" + s.pop3s + "/2"} {
		out := peer(t, "curl", "-sS", "--insecure", "--ssl-reqd", "--user", login, url)
		if !strings.Contains(out, "Subject: by curl") || !strings.Contains(out, "\n.a line that begins with a dot") {
			t.Errorf("%s gives\n%s", url, out)
		}
	}
}

const pythonScript = `
import poplib, smtplib, ssl, sys, time
submission, pop3, user, password = sys.argv[1:]
host, port = submission.split(":")
insecure = ssl.create_default_context()
insecure.check_hostname, insecure.verify_mode = False, ssl.CERT_NONE
with smtplib.SMTP(host, int(port)) as s:
    s.starttls(context=insecure)
    s.login(user, password)
    s.sendmail(user, [user], "Subject: by smtplib\n\n.\n..\nend\n")
    try:
        s.sendmail(user, ["nobody@example.test"], "Subject: x\n\nx\n")
        sys.exit("an unknown user was accepted")
    except smtplib.SMTPRecipientsRefused as e:
        assert e.recipients["nobody@example.test"][0] == 550, e.recipients
host, port = pop3.split(":")
for attempt in range(200):
    p = poplib.POP3(host, int(port))
    p.stls(context=insecure)
    p.user(user); p.pass_(password)
    if p.stat()[0]: break
    p.quit(); time.sleep(0.05)
number, size = p.stat()
_, lines, octets = p.retr(1)
assert number == 1 and size == octets == sum(len(l) + 2 for l in lines), (number, size, octets)
assert lines[-3:] == [b".", b"..", b"end"], lines
assert p.top(1, 0)[1][-1] == b"", p.top(1, 0)
p.dele(1)
p.quit()
print("ok")
`

func TestPython(t *testing.T) {
	s := newServer(t, "")
	s.start()
	if out := peer(t, "python3", "-c", pythonScript, s.submission, s.pop3, testUser, testPassword); strings.TrimSpace(out) != "ok" {
		t.Error(out)
	}
}

// TestTelnet: telnet's own line ends.
func TestTelnet(t *testing.T) {
	path, err := exec.LookPath("telnet")
	if err != nil {
		t.Skip("telnet is not installed")
	}
	s := newServer(t, "")
	s.start()
	host, port, err := net.SplitHostPort(s.smtp)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, host, port)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out := &syncBuffer{}
	cmd.Stdout = out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, out, "220 mail.example.test ESMTP")
	for _, step := range [][2]string{
		{"helo me.example.test", "pleased to meet you"}, {"mail from: " + testUser, "Sender ok"},
		{"rcpt to: " + testUser, "Recipient ok"}, {"data", "354"}, {"Subject: typed\n\nHello.\n.", "Message accepted"}, {"quit", "221"},
	} {
		in.Write([]byte(step[0] + "\n"))
		await(t, out, step[1])
	}
	cmd.Wait() // its exit status tells of the closed connection only
	if n := len(fetch(t, s, 1)); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

// TestTLSEndsInOrder: the servers say that nothing more comes before they close (RFC 8446 §6.1); else a peer cannot tell the
// end from a cut.
func TestTLSEndsInOrder(t *testing.T) {
	s := newServer(t, "")
	s.start()
	for _, address := range []string{s.submissions, s.pop3s} {
		conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		conn.Write([]byte("QUIT\r\n"))
		if said, err := io.ReadAll(conn); err != nil {
			t.Errorf("%s ends with %v after %q", address, err, said)
		}
		conn.Close()
	}
}
