package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// another returns a user that is not root.
func another(t *testing.T) *syscall.Credential {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can lock another user out: it takes root to test that it does not")
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// waybillAs runs the program as another user.
func waybillAs(t *testing.T, as *syscall.Credential, stdin string, args ...string) (output string, status int) {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Dir = strings.NewReader(stdin), &out, &out, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// ownedBy makes a server whose store belongs to another user, as whom it runs.
func ownedBy(t *testing.T, as *syscall.Credential) *server {
	t.Helper()
	s := newServer(t, "")
	s.giveTo(as)
	return s
}

// giveTo makes a server that does not run that of another user, as whom it runs then.
func (s *server) giveTo(as *syscall.Credential) {
	t := s.t
	t.Helper()
	data := filepath.Join(s.dir, "data")
	if err := filepath.WalkDir(data, func(file string, _ fs.DirEntry, _ error) error {
		return os.Lchown(file, int(as.Uid), int(as.Gid))
	}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{filepath.Dir(s.dir), s.dir, s.config} { // the server's user must get there
		if err := os.Chmod(name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.as = as
}

// checkOwner sees that all in the data directory belongs to that user.
func (s *server) checkOwner() {
	s.t.Helper()
	err := filepath.WalkDir(filepath.Join(s.dir, "data"), func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if got := info.Sys().(*syscall.Stat_t).Uid; got != s.as.Uid {
			s.t.Errorf("%s belongs to %d", file, got)
		}
		return nil
	})
	if err != nil {
		s.t.Error(err)
	}
}

// TestRootLocksNobodyOut: what root does to a server that is stopped, with files that only root can read and write, the
// server's user can go on with.
func TestRootLocksNobodyOut(t *testing.T) {
	t.Parallel()
	for _, running := range []bool{false, true} {
		t.Run(fmt.Sprintf("running=%v", running), func(t *testing.T) {
			t.Parallel()
			s := ownedBy(t, another(t))
			if running {
				s.start()
			}
			private := t.TempDir()
			if err := os.Chmod(private, 0o700); err != nil {
				t.Fatal(err)
			}
			mail, backup := writeMaildir(t, 20), filepath.Join(private, "backup")
			s.do(0, "queue", "list")
			s.do(0, "account", "add", "bob@example.test", "--password-stdin")
			s.expect(s.do(0, "import", testUser, "--maildir", mail), "22 messages imported")
			s.do(0, "export", testUser, "--maildir", filepath.Join(private, "out"))
			s.do(0, "backup", backup)
			s.expect(s.do(0, "verify"), "no damage found (22 messages")
			s.expect(s.do(1, "queue", "show", "0W6TGW001EEYT2"), "is not in the queue")
			s.checkOwner()
			if running {
				s.stop()
			}
			data := filepath.Join(s.dir, "data")
			if err := os.RemoveAll(filepath.Join(data, "store")); err != nil {
				t.Fatal(err)
			}
			s.expect(s.do(0, "restore", backup), "no damage found (22 messages")
			s.checkOwner()
			s.start()
			s.expect(s.do(0, "account", "list"), "bob@example.test")
		})
	}
}

// TestOthersAreRefused: who may not open the store is told as whom to try; and root may not serve from it.
func TestOthersAreRefused(t *testing.T) {
	t.Parallel()
	as := another(t)
	s := ownedBy(t, as)
	out, status := waybillAs(t, &syscall.Credential{Uid: as.Uid - 1, Gid: as.Gid}, "", "queue", "list", "--config", s.config)
	if status != 1 || !strings.Contains(out, "belongs to the user nobody: run this as that user, as with sudo -u nobody") {
		t.Errorf("%d %s", status, out)
	}
	s.expect(s.do(1, "serve"), "belongs to the user nobody: run this as that user, as its unit")
	dir := t.TempDir()
	out, errOut, status := waybill(t, "", "init", "example.org", "--dir", dir, "--data", filepath.Join(s.dir, "data"))
	if status != 1 {
		t.Errorf("init: %d %s", status, out)
	}
	s.expect(errOut, "belongs to the user nobody")
	if files, _ := os.ReadDir(dir); len(files) > 0 {
		t.Errorf("init wrote %v", files)
	}
	if err := os.Chmod(s.config, 0o600); err != nil { // the helper cannot read it
		t.Fatal(err)
	}
	s.expect(s.do(1, "queue", "list"), "cannot be opened as that user", "sudo -u nobody")
	s.checkOwner()
}

// TestCommandsOfRootAtOnce: commands that root calls at the same time while no server runs do not break each other: each
// does its work, or says that the store was in use for too long.
func TestCommandsOfRootAtOnce(t *testing.T) {
	t.Parallel()
	s := ownedBy(t, another(t))
	s.expect(s.do(0, "import", testUser, "--maildir", writeMaildir(t, 20)), "22 messages imported")
	dir := t.TempDir()
	type result struct {
		out    string
		status int
	}
	results := make(chan result)
	const commands = 6
	for i := range commands {
		args := []string{"verify", "--config", s.config}
		if i%2 == 0 {
			args = []string{"backup", filepath.Join(dir, strconv.Itoa(i)), "--config", s.config}
		}
		go func() {
			out, errOut, status := waybill(t, "", args...)
			results <- result{out + errOut, status}
		}()
	}
	done := 0
	for range commands {
		switch r := <-results; {
		case r.status == 0:
			done++
		case !strings.Contains(r.out, "another command or server uses the store"):
			t.Errorf("%d %s", r.status, r.out)
		}
	}
	if done == 0 {
		t.Error("none did its work")
	}
	s.checkOwner()
}
