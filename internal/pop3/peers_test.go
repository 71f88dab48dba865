package pop3

import (
	"encoding/pem"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// peer returns the path of an independent program. Where tests must be complete (CI is set), it has to be there.
func peer(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is not installed, and CI is set", name)
		}
		t.Skipf("%s is not installed", name)
	}
	return path
}

// peerServer serves messages with TLS, and returns its port and the file of its certificate.
func peerServer(t *testing.T, b *backend) (port, certFile string) {
	t.Helper()
	serverTLS, _, der := certificate(t)
	certFile = filepath.Join(t.TempDir(), "cert.pem")
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(certFile, data, 0o600); err != nil {
		t.Fatal(err)
	}
	b.cleartext = false
	_, port, err := net.SplitHostPort(start(t, &Server{TLS: serverTLS, NewSession: b.session}))
	if err != nil {
		t.Fatal(err)
	}
	return port, certFile
}

func runPeer(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).Output()
	if exit, ok := err.(*exec.ExitError); ok {
		t.Fatalf("%s: %v\n%s%s", name, err, out, exit.Stderr)
	} else if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

const poplibSession = `
import poplib, ssl, sys
host, port, cert = "localhost", int(sys.argv[1]), sys.argv[2]
try:
    poplib.POP3(host, port, timeout=20).user("you@example.test")
    sys.exit("logged in without TLS")
except poplib.error_proto as e:
    assert b"STLS" in e.args[0], e
p = poplib.POP3(host, port, timeout=20)
assert "STLS" in p.capa(), p.capa()
p.stls(ssl.create_default_context(cafile=cert))
assert "USER" in p.capa() and "UIDL" in p.capa() and "STLS" not in p.capa(), p.capa()
p.user("You@Example.Test")
p.pass_("open sesame")
n, total = p.stat()
sizes = [int(line.split()[1]) for line in p.list()[1]]
assert len(sizes) == n and sum(sizes) == total, (n, total, sizes)
assert p.list(2) == b"+OK 2 %d" % sizes[1], p.list(2)
ids = [line.split()[1] for line in p.uidl()[1]]
assert len(set(ids)) == n, ids
assert p.uidl(1).endswith(ids[0]), p.uidl(1)
for i in range(1, n + 1):
    response, lines, octets = p.retr(i)
    # poplib counts a stuffed dot; its own sum of the lines is what we listed
    assert sum(len(l) + 2 for l in lines) == sizes[i - 1], (i, response)
    assert p.top(i, 1)[1] == lines[:len(p.top(i, 1)[1])]
p.noop()
p.dele(1)
p.rset()
p.dele(2)
p.quit()
print(n)
`

func TestPoplib(t *testing.T) {
	t.Parallel()
	python := peer(t, "python3")
	messages := []string{
		"Subject: one\r\n\r\n.dot\r\n..\r\n\r\n.\r\nend\r\n",
		"Subject: two\r\n\r\nbody\r\n",
		"Subject: no end\r\n\r\nlast line",
		"",
	}
	b := newBackend(messages...)
	port, cert := peerServer(t, b)
	if got := runPeer(t, python, "-c", poplibSession, port, cert); got != "4\n" {
		t.Errorf("poplib says %q", got)
	}
	if b.messages[1] != messages[2] || len(b.messages) != 3 {
		t.Errorf("left: %q", b.messages)
	}
}

func TestCurl(t *testing.T) {
	t.Parallel()
	curl := peer(t, "curl")
	content := "Subject: one\r\n\r\n.dot\r\n..\r\n\r\n.\r\nend\r\n"
	b := newBackend(content, "a: 2\r\n")
	port, cert := peerServer(t, b)
	get := func(path string, args ...string) string {
		return runPeer(t, curl, append([]string{"--silent", "--show-error", "--ssl-reqd", "--cacert", cert, "--max-time", "30",
			"--user", "you@example.test:open sesame", "pop3://localhost:" + port + path}, args...)...)
	}
	if got := get("/1"); got != content { // by AUTH PLAIN
		t.Errorf("curl got %q", got)
	}
	if got, want := get("/"), "1 36\r\n2 6\r\n"; got != want {
		t.Errorf("curl lists %q, want %q", got, want)
	}
	get("/1", "--request", "DELE", "--head")
	if len(b.messages) != 1 || b.messages[0] != "a: 2\r\n" {
		t.Errorf("after DELE: %q", b.messages)
	}
}
