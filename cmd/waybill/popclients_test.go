package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// popClient is a mail client of others: how it is told to get the mail of the test's user into a directory.
type popClient struct {
	program string
	stls    bool   // it begins in the clear
	said    string // what is in the dialogues of its sessions, besides STLS
	// args writes what configuration it needs into home and returns its arguments.
	args func(t *testing.T, home, host, port string, keep bool) []string
}

func (c popClient) name() string {
	name := c.program
	if c.stls {
		name += "-stls"
	}
	if c.said != "" {
		name += "-" + strings.Fields(c.said)[1]
	}
	return name
}

func writeConfig(t *testing.T, home, name, text string) string {
	t.Helper()
	file := filepath.Join(home, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func makeMaildir(t *testing.T, home string) string {
	t.Helper()
	dir := filepath.Join(home, "Maildir")
	for _, sub := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func fetchmail(stls bool) popClient {
	return popClient{"fetchmail", stls, "", func(t *testing.T, home, host, port string, keep bool) []string {
		keeping, ssl := "nokeep", "ssl"
		if keep {
			keeping = "keep"
		}
		if stls { // which it says where there is a protocol and no "ssl"
			ssl = ""
		}
		mda := writeConfig(t, home, "mda.sh", fmt.Sprintf("cat > %s/Maildir/new/$$\n", home))
		conf := writeConfig(t, home, "fetchmailrc", fmt.Sprintf("set no syslog\nset idfile %q\npoll %s protocol pop3 service %s uidl user %q password %q %s sslproto \"TLS1.2+\" no sslcertck %s mda %q\n",
			filepath.Join(home, "ids"), host, port, testUser, testPassword, ssl, keeping, "/bin/sh "+mda))
		return []string{"--fetchmailrc", conf, "--pidfile", filepath.Join(home, "pid")}
	}}
}

func mpop(stls bool, auth, said string) popClient {
	return popClient{"mpop", stls, said, func(t *testing.T, home, host, port string, keep bool) []string {
		on := map[bool]string{true: "on", false: "off"}
		conf := writeConfig(t, home, "mpoprc", fmt.Sprintf("account default\nhost %s\nport %s\nuser %s\npassword %q\nauth %s\ntls on\ntls_starttls %s\ntls_certcheck off\nkeep %s\nuidls_file %s/uidls\ndelivery maildir %s/Maildir\n",
			host, port, testUser, testPassword, auth, on[stls], on[keep], home, home))
		return []string{"--file", conf}
	}}
}

// getmail knows no STLS.
func getmail() popClient {
	return popClient{"getmail", false, "", func(t *testing.T, home, host, port string, keep bool) []string {
		conf := writeConfig(t, home, "getmailrc", fmt.Sprintf("[retriever]\ntype = SimplePOP3SSLRetriever\nserver = %s\nport = %s\nusername = %s\npassword = %s\n\n[destination]\ntype = Maildir\npath = %s/Maildir/\n\n[options]\ndelete = %v\nread_all = false\ndelivered_to = false\nreceived = false\n",
			host, port, testUser, testPassword, home, !keep))
		return []string{"--getmaildir", home, "--rcfile", conf}
	}}
}

// withCurl gets what it has not got yet, each message in a session of its own, and deletes from the end, for each deletion
// changes the numbers of those behind it.
const withCurl = `set -e
host=$1 user=$2 dir=$3 keep=$4; shift 4
get() { curl --silent --show-error --insecure --max-time 30 --user "$user" "$@"; }
get "$@" --request UIDL "$host/" | tr -d '\r' | sort -rn > ids
while read -r n id; do
	[ -e "$dir/new/$id" ] || get "$@" "$host/$n" | tr -d '\r' > "$dir/new/$id"
	[ "$keep" = true ] || get "$@" --head --request "DELE $n" "$host/" > /dev/null
done < ids
`

func curl(stls bool) popClient {
	return popClient{"curl", stls, "AUTH PLAIN", func(t *testing.T, home, host, port string, keep bool) []string {
		args := []string{writeConfig(t, home, "curl.sh", withCurl), "pop3s://" + net.JoinHostPort(host, port), testUser + ":" + testPassword,
			filepath.Join(home, "Maildir"), fmt.Sprint(keep)}
		if stls {
			args[1] = "pop3://" + net.JoinHostPort(host, port)
			args = append(args, "--ssl-reqd")
		}
		return args
	}}
}

const withPoplib = `
import os, poplib, ssl, sys
host, port, user, password, home, keep, stls = sys.argv[1:]
tls = ssl.create_default_context()
tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
if stls == "true":
    p = poplib.POP3(host, int(port), timeout=30)
    p.stls(tls)
else:
    p = poplib.POP3_SSL(host, int(port), timeout=30, context=tls)
p.user(user)
p.pass_(password)
for line in p.uidl()[1]:
    n, uid = line.decode().split()
    file = os.path.join(home, "Maildir", "new", uid)
    if not os.path.exists(file):
        with open(file, "wb") as f:
            f.write(b"\n".join(p.retr(n)[1]) + b"\n")
    if keep != "true":
        p.dele(n)
p.quit()
`

func poplib(stls bool) popClient {
	return popClient{"python3", stls, "", func(t *testing.T, home, host, port string, keep bool) []string {
		return []string{writeConfig(t, home, "get.py", withPoplib), host, port, testUser, testPassword, home, fmt.Sprint(keep), fmt.Sprint(stls)}
	}}
}

func popClients() []popClient {
	return []popClient{
		fetchmail(false), fetchmail(true), getmail(), curl(false), curl(true), poplib(false), poplib(true),
		mpop(false, "user", ""), mpop(true, "plain", "AUTH PLAIN"), mpop(true, "scram-sha-256", "AUTH SCRAM-SHA-256"),
	}
}

// asNobody runs a program without root's rights, which getmail does not want to have.
func asNobody(t *testing.T, cmd *exec.Cmd, home string) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	const nobody = 65534
	err := filepath.WalkDir(home, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Chown(path, nobody, nobody))
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	cmd.Dir = home
}

// TestPOPClients: the clients that people use get the mail, keeping it on the server, where they know it again, and deleting;
// and the waybill tells both.
func TestPOPClients(t *testing.T) {
	for _, c := range popClients() {
		t.Run(c.name(), func(t *testing.T) {
			t.Parallel()
			path, err := exec.LookPath(c.program)
			if err != nil {
				t.Skipf("%s is not installed", c.program)
			}
			testPOPClient(t, c, path)
		})
	}
}

func testPOPClient(t *testing.T, c popClient, path string) {
	s := newServer(t, "")
	s.start()
	var ids []string
	for range 2 {
		ids = append(ids, send(t, s))
	}
	home, err := os.MkdirTemp("", "waybill-home-") // t.TempDir lies below a directory that only we may enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	run := c.runner(t, s, path, home)
	run(true, 2)
	run(true, 2) // it knows them by their UIDL
	ids = append(ids, send(t, s))
	run(true, 3)
	if n := len(fetch(t, s, 3, "--keep")); n != 3 {
		t.Errorf("%d messages are left on the server, want 3", n)
	}
	ids = append(ids, send(t, s))
	run(false, 4)
	last := s.awaitStory(ids[3], "retrieved the message", "deleted the message from the maildrop", c.said)
	if strings.Contains(last, `"text":"STLS"`) != c.stls {
		t.Errorf("STLS: want %t in\n%s", c.stls, last)
	}
	if strings.Contains(last, testPassword) {
		t.Error("the waybill tells the password")
	}
	for _, id := range ids[:3] {
		s.awaitStory(id, "retrieved the message")
	}
}

// runner returns what runs the client, whose Maildir has that many messages in the end.
func (c popClient) runner(t *testing.T, s *server, path, home string) func(keep bool, want int) {
	address := s.pop3s
	if c.stls {
		address = s.pop3
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	if c.program == "curl" {
		path = "/bin/sh"
	}
	dir := makeMaildir(t, home)
	return func(keep bool, want int) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), path, c.args(t, home, host, port, keep)...)
		cmd.Dir, cmd.Env = home, append(os.Environ(), "HOME="+home)
		if c.program == "getmail" {
			asNobody(t, cmd, home)
		}
		out, err := cmd.CombinedOutput()
		if err != nil && !(c.program == "fetchmail" && cmd.ProcessState.ExitCode() == 1) { // 1: no new mail
			t.Fatalf("%s: %v\n%s\n%s", c.name(), err, out, s.log.String())
		}
		files, _ := filepath.Glob(filepath.Join(dir, "new", "*"))
		if len(files) != want {
			t.Fatalf("%d messages in the Maildir, want %d\n%s", len(files), want, out)
		}
		for _, file := range files {
			if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), "A line.\n.\nAnother after a lone dot.\n") {
				t.Errorf("%v\n%s", err, text)
			}
		}
	}
}

// awaitStory waits until the waybill of a message has those words: what is told of a session is written within a second.
func (s *server) awaitStory(id string, words ...string) (story string) {
	s.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		story = s.do(0, "explain", id, "--json")
		missing := slices.IndexFunc(words, func(w string) bool { return !strings.Contains(story, w) })
		if missing < 0 {
			return story
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%q is not in the waybill of %s:\n%s", words[missing], id, story)
		}
	}
}
