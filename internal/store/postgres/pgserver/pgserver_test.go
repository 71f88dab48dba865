package pgserver

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// options are those of a server for one test.
func options(t *testing.T) Options {
	t.Helper()
	programs, err := Find()
	if err != nil {
		t.Skip("PostgreSQL is not installed:", err)
	}
	dir, err := os.MkdirTemp("", "waybill-pgserver-") // not the test's own, which the server's user could not enter as root's
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return Options{Programs: programs, Dir: dir, Password: "of this test"}
}

// TestFailsAtOnce: a server that cannot start is not waited for, and its own words are told.
func TestFailsAtOnce(t *testing.T) {
	t.Parallel()
	o := options(t)
	o.Settings = []string{"no_such_setting = on"}
	began := time.Now()
	_, err := Create(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "no_such_setting") || strings.Contains(err.Error(), o.Password) {
		t.Errorf("the error is %v", err)
	}
	if took := time.Since(began); took > startTimeout/2 {
		t.Errorf("it took %s", took)
	}
}

// TestCloseKeepsTheData: the server ends, and its data and its password stay for whoever wants them; others cannot read them.
func TestCloseKeepsTheData(t *testing.T) {
	t.Parallel()
	o := options(t)
	s, err := Create(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(s.Log(), "database system is shut down") {
		t.Errorf("it was not shut down properly:\n%s", s.Log())
	}
	if s.PID() != 0 || s.ask(t.Context()) == nil {
		t.Error("it still runs")
	}
	if password, err := os.ReadFile(filepath.Join(o.Dir, "password")); err != nil || string(password) != o.Password {
		t.Errorf("the password's file: %q, %v", password, err)
	}
	for _, file := range []string{o.Dir, s.Data(), s.passwordFile()} {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", file, info.Mode(), err)
		}
	}
	s.Remove()
	if _, err := os.Stat(o.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Remove: %v", err)
	}
}

// TestInterrupted: what fills the data is ended with its children.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	o := options(t)
	enough := errors.New("enough")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, enough)
	defer cancel()
	o.Fill = func(s *Server) error { return s.Run(ctx, nil, "sh", "-c", "sleep 60 & wait") }
	began := time.Now()
	if _, err := Create(ctx, o); !errors.Is(err, enough) {
		t.Errorf("the error is %v", err)
	}
	if took := time.Since(began); took > 30*time.Second { // it would wait for the child, which has the output
		t.Errorf("it took %s", took)
	}
}

// TestPortIsTaken: another port is chosen if somebody was faster.
func TestPortIsTaken(t *testing.T) {
	t.Parallel()
	o := options(t)
	s, err := Create(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Remove()
	second := &Server{o: options(t)}
	second.o.Fill = func(f *Server) error { return f.Initialize(t.Context()) }
	defer second.Remove()
	ports := []int{s.Port, 0}
	next := func() (int, error) {
		port := ports[0]
		ports = ports[1:]
		if port == 0 {
			return freePort()
		}
		return port, nil
	}
	if err := second.create(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if len(ports) != 0 || second.Port == s.Port {
		t.Errorf("the ports left are %v, the server's is %d", ports, second.Port)
	}
}

// TestFind: the path first, then the newest version that is whole; else it says what to install.
func TestFind(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	pattern := filepath.Join(root, "*", "bin", "postgres")
	_, err := find("", pattern)
	if !errors.Is(err, ErrNotInstalled) || !strings.Contains(err.Error(), "apt install postgresql") {
		t.Errorf("without any: %v", err)
	}
	install := func(version string, programs ...string) string {
		dir := filepath.Join(root, version, "bin")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, program := range programs {
			if err := os.WriteFile(filepath.Join(dir, program), nil, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	old, newer := install("9.6", "postgres", "initdb"), install("15", "postgres", "initdb")
	install("17", "postgres") // its initdb is missing
	for onPath, want := range map[string]string{
		"": newer, filepath.Join(old, "postgres"): old, filepath.Join(root, "17", "bin", "postgres"): newer, "/nonexistent/postgres": newer,
	} {
		if got, err := find(onPath, pattern); got != want || err != nil {
			t.Errorf("with %q on the path: %q, %v; want %q", onPath, got, err, want)
		}
	}
}

// TestNobodyToRunIt: root is told when the system has no user for it.
func TestNobodyToRunIt(t *testing.T) {
	t.Parallel()
	if _, err := unprivileged("no-such-user", "nor-this-one"); err == nil || !strings.Contains(err.Error(), "refuses to run as root") {
		t.Errorf("without a user: %v", err)
	}
}
