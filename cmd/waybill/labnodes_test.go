package main

import (
	"encoding/json"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"waybill/internal/lab"
	"waybill/internal/store/postgres/pgserver"
)

// stayingLab is a `waybill lab --nodes 3 --stay --json` that has sent its letter.
type stayingLab struct {
	process  *exec.Cmd
	out      *syncBuffer
	settings struct {
		Servers  []lab.Server
		Database string
		Users    []lab.EmailSettings
	}
	result struct {
		Intact bool
		Nodes  lab.Shares
	}
}

func startLab(t *testing.T) *stayingLab {
	t.Helper()
	if _, err := pgserver.Find(); err != nil {
		t.Skip("PostgreSQL is not installed:", err)
	}
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "waybill-test-lab-") // what is killed removes nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l := &stayingLab{out: &syncBuffer{}}
	l.process = exec.Command(path, "lab", "--nodes", "3", "--stay", "--json", "--data", dir)
	l.process.Stdout = l.out
	stderr := &syncBuffer{}
	l.process.Stderr = stderr
	l.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // as a terminal's job is
	if err := l.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.process.Process.Kill()
		l.process.Wait()
		if t.Failed() {
			t.Logf("it printed:\n%s", stderr)
		}
	})
	await(t, l.out, `"kind":"lab.result"`)
	await(t, stderr, "PostgreSQL is ready after")
	lines := strings.Split(strings.TrimSpace(l.out.String()), "\n")
	if err := json.Unmarshal([]byte(lines[0]), &l.settings); err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		if strings.Contains(line, `"kind":"lab.result"`) {
			if err := json.Unmarshal([]byte(line), &l.result); err != nil {
				t.Fatal(err)
			}
		}
	}
	return l
}

// databaseAddress is where the lab's PostgreSQL listens.
func (l *stayingLab) databaseAddress(t *testing.T) string {
	t.Helper()
	u, err := url.Parse(l.settings.Database)
	if err != nil || u.Host == "" {
		t.Fatalf("database %q: %v", l.settings.Database, err)
	}
	return u.Host
}

// TestLabNodes: the nodes are listed and serve, the letter is accepted, served and shown by three of them, and Ctrl-C, which a
// terminal sends to the lab and all that it has started, takes everything down in order.
func TestLabNodes(t *testing.T) {
	t.Parallel()
	l := startLab(t)
	names := map[string]int{}
	for _, s := range l.settings.Servers {
		if s.Node > 0 {
			names[s.Name]++
		}
		conn, err := net.Dial("tcp", s.Address)
		if err != nil {
			t.Errorf("%+v: %v", s, err)
			continue
		}
		conn.Close()
	}
	parts := l.result.Nodes
	if len(names) != 3 || !l.result.Intact || names[parts.AcceptedBy]*names[parts.ServedBy]*names[parts.ShownBy] == 0 ||
		parts.AcceptedBy == parts.ServedBy || parts.ShownBy == parts.ServedBy || parts.ShownBy == parts.AcceptedBy {
		t.Errorf("nodes %v, result %+v", names, l.result)
	}
	database := l.databaseAddress(t)
	if err := syscall.Kill(-l.process.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := l.process.Wait(); err != nil {
		t.Error(err)
	}
	if conn, err := net.Dial("tcp", database); err == nil {
		conn.Close()
		t.Error("the database still runs")
	}
}

// TestLabIsKilled: the database does not outlive the lab that nobody could take down.
func TestLabIsKilled(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux ends a process with its parent: elsewhere the database stays, as docs/lab.md says")
	}
	l := startLab(t)
	database := l.databaseAddress(t)
	l.process.Process.Kill()
	l.process.Wait()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", database)
		if err != nil {
			return
		}
		conn.Close()
		if time.Now().After(deadline) {
			t.Fatal("the database still runs")
		}
	}
}

// TestLabWithoutPostgres says what to install, and that the lab can do without; what cannot be is a mistake in what was typed.
func TestLabWithoutPostgres(t *testing.T) {
	t.Parallel()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	empty := t.TempDir()
	for _, test := range []struct {
		args   string
		status int
		want   string
	}{
		{"--nodes 3 --postgres " + empty, exitFail, "`apt install postgresql`"},
		{"--nodes 3 --postgres " + empty, exitFail, "without --nodes it needs none"},
		{"--nodes 10", exitUsage, "1 to 9 nodes"},
		{"--postgres " + empty, exitUsage, "needs --nodes"},
		{"--scenario node-stops", exitFail, "--nodes 2"},
	} {
		cmd := exec.Command(path, append([]string{"lab"}, strings.Fields(test.args)...)...)
		cmd.Env = []string{"PATH="}
		out, err := cmd.CombinedOutput()
		if status := cmd.ProcessState.ExitCode(); status != test.status || !strings.Contains(string(out), test.want) {
			t.Errorf("%s: status %d (%v), want %d with %q:\n%s", test.args, status, err, test.status, test.want, out)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(empty, "*")); len(left) > 0 {
		t.Errorf("something was left: %v", left)
	}
}
