package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binary is the program under test, built once.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "waybill-test-")
	if err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // for servers that run as another user
		return "", err
	}
	path := filepath.Join(dir, "waybill")
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	status := m.Run()
	if path, err := binary(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	databases.Remove()
	os.Exit(status)
}

// waybill runs the program to its end and returns what it printed and its exit status.
func waybill(t *testing.T, stdin string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	var out, errOut bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errOut
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

// server is a real `waybill serve` for example.test on free ports of 127.0.0.1.
type server struct {
	t                                          *testing.T
	config, dir                                string
	smtp, submission, submissions, pop3, pop3s string
	flags                                      []string            // of serve
	program                                    string              // "": the program under test
	env                                        []string            // besides that of the test
	as                                         *syscall.Credential // whom it runs as; nil: as the test
	process                                    *exec.Cmd
	log                                        *syncBuffer
}

const (
	testUser     = "alice@example.test"
	testPassword = "correct horse battery"
)

// patient lets a server go on where the disk of a busy machine takes long.
const patient = "[limits]\ncommit_time = \"1m\"\n"

// newServer writes a configuration with the further lines and creates the account; nothing runs yet.
func newServer(t *testing.T, further string) *server {
	t.Helper()
	s := configure(t, "", patient+further)
	s.addAccount(testUser)
	return s
}

// configure writes a configuration with that store and the further lines.
func configure(t *testing.T, store, further string) *server {
	t.Helper()
	s := &server{t: t, dir: t.TempDir()}
	free := freePorts(t, 5)
	for i, port := range []*string{&s.smtp, &s.submission, &s.submissions, &s.pop3, &s.pop3s} {
		*port = free[i]
	}
	s.config = filepath.Join(s.dir, "waybill.toml")
	text := fmt.Sprintf(`hostname = "mail.example.test"
data = %q
store = %q
[listen]
smtp = [%q]
submission = [%q]
submissions = [%q]
pop3 = [%q]
pop3s = [%q]
[resolver]
servers = ["127.0.0.1:9"]
[[domain]]
name = "example.test"
%s`, filepath.Join(s.dir, "data"), store, s.smtp, s.submission, s.submissions, s.pop3, s.pop3s, further)
	if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *server) addAccount(addr string) {
	s.t.Helper()
	if _, errOut, status := waybill(s.t, testPassword+"\n", "account", "add", addr, "--password-stdin", "--config", s.config); status != 0 {
		s.t.Fatalf("account add: %s", errOut)
	}
}

func (s *server) setPassword(addr, password string) {
	s.t.Helper()
	out, errOut, status := waybill(s.t, password+"\n", "account", "password", addr, "--password-stdin", "--config", s.config)
	if want := "password of " + addr + " changed\n"; status != 0 || out != want {
		s.t.Fatalf("account password: %q %s", out, errOut)
	}
}

// start runs the server and waits until it says that it is ready.
func (s *server) start() {
	s.t.Helper()
	path, err := binary()
	if err != nil {
		s.t.Fatal(err)
	}
	s.log = &syncBuffer{}
	s.process = exec.Command(cmp.Or(s.program, path), append([]string{"serve", "--config", s.config}, s.flags...)...)
	s.process.Env = append(os.Environ(), s.env...)
	s.process.Stderr = s.log
	if s.as != nil {
		s.process.SysProcAttr = &syscall.SysProcAttr{Credential: s.as}
	}
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(s.kill)
	await(s.t, s.log, ": ready\n")
}

// await waits until a process has printed text.
func await(t *testing.T, printed *syncBuffer, text string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(printed.String(), text); {
		if time.Now().After(deadline) {
			t.Fatalf("no %q in what was printed:\n%s", text, printed.String())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// kill ends the server as a power cut would, for the process.
func (s *server) kill() {
	s.process.Process.Kill()
	s.process.Wait()
}

// stop asks the server to end and returns its exit status.
func (s *server) stop() int {
	s.process.Process.Signal(syscall.SIGTERM)
	s.process.Wait()
	return s.process.ProcessState.ExitCode()
}

// syncBuffer is a buffer for a process's output that can be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
