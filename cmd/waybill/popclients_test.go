package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// popClient is a mail client of others: how it is told to get the mail of the test's user into a directory.
type popClient struct {
	name string
	// args writes what configuration it needs into home and returns its arguments.
	args func(t *testing.T, home, host, port string, keep bool) []string
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

func popClients() []popClient {
	return []popClient{
		{"fetchmail", func(t *testing.T, home, host, port string, keep bool) []string {
			keeping := "nokeep"
			if keep {
				keeping = "keep"
			}
			mda := writeConfig(t, home, "mda.sh", fmt.Sprintf("cat > %s/Maildir/new/$$\n", home))
			conf := writeConfig(t, home, "fetchmailrc", fmt.Sprintf("set no syslog\nset idfile %q\npoll %s protocol pop3 service %s uidl user %q password %q ssl sslproto \"TLS1.2+\" no sslcertck %s mda %q\n",
				filepath.Join(home, "ids"), host, port, testUser, testPassword, keeping, "/bin/sh "+mda))
			return []string{"--fetchmailrc", conf, "--pidfile", filepath.Join(home, "pid")}
		}},
		{"getmail", func(t *testing.T, home, host, port string, keep bool) []string {
			conf := writeConfig(t, home, "getmailrc", fmt.Sprintf("[retriever]\ntype = SimplePOP3SSLRetriever\nserver = %s\nport = %s\nusername = %s\npassword = %s\n\n[destination]\ntype = Maildir\npath = %s/Maildir/\n\n[options]\ndelete = %v\nread_all = false\ndelivered_to = false\nreceived = false\n",
				host, port, testUser, testPassword, home, !keep))
			return []string{"--getmaildir", home, "--rcfile", conf}
		}},
		{"mpop", func(t *testing.T, home, host, port string, keep bool) []string {
			conf := writeConfig(t, home, "mpoprc", fmt.Sprintf("account default\nhost %s\nport %s\nuser %s\npassword %q\ntls on\ntls_starttls off\ntls_certcheck off\nkeep %s\nuidls_file %s/uidls\ndelivery maildir %s/Maildir\n",
				host, port, testUser, testPassword, map[bool]string{true: "on", false: "off"}[keep], home, home))
			return []string{"--file", conf}
		}},
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

// TestPOPClients: the clients that people use get the mail, keeping it on the server, where they know it again, and deleting.
func TestPOPClients(t *testing.T) {
	for _, c := range popClients() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path, err := exec.LookPath(c.name)
			if err != nil {
				t.Skipf("%s is not installed", c.name)
			}
			s := newServer(t, "")
			s.start()
			for range 3 {
				send(t, s)
			}
			host, port, err := net.SplitHostPort(s.pop3s)
			if err != nil {
				t.Fatal(err)
			}
			home, err := os.MkdirTemp("", "waybill-home-") // t.TempDir lies below a directory that only we may enter
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(home) })
			dir := makeMaildir(t, home)
			run := func(keep bool, want int) {
				t.Helper()
				cmd := exec.CommandContext(t.Context(), path, c.args(t, home, host, port, keep)...)
				cmd.Env = append(os.Environ(), "HOME="+home)
				asNobody(t, cmd, home)
				out, err := cmd.CombinedOutput()
				if err != nil && !(c.name == "fetchmail" && cmd.ProcessState.ExitCode() == 1) { // 1: no new mail
					t.Fatalf("%s: %v\n%s\n%s", c.name, err, out, s.log.String())
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
			run(true, 3)
			run(true, 3) // it knows them by their UIDL
			send(t, s)
			run(true, 4)
			if n := len(fetch(t, s, 4, "--keep")); n != 4 {
				t.Errorf("%d messages are left on the server, want 4", n)
			}
			send(t, s)
			run(false, 5)
		})
	}
}
