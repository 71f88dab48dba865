package mbox

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"
)

func contentOf(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestAdd: messages are separated from whatever was there, and one that cannot be had whole leaves no trace.
func TestAdd(t *testing.T) {
	t.Parallel()
	const from = "From MAILER-DAEMON Thu Jan  1 00:00:00 1970\n"
	for before, want := range map[string]string{"": "", "From x\n\na": "From x\n\na\n\n", "From x\n\na\n": "From x\n\na\n\n", "From x\n\na\n\n": "From x\n\na\n\n"} {
		path := filepath.Join(t.TempDir(), "mbox")
		if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := OpenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := f.Add("", time.Unix(0, 0), strings.NewReader("A: b\r\n\r\nFrom me\r\n")); err != nil {
				t.Fatal(err)
			}
			want += from + "A: b\n\n>From me\n\n"
			broken := io.MultiReader(strings.NewReader(strings.Repeat("x", 3*maxLine)), iotest.ErrReader(io.ErrUnexpectedEOF))
			if err := f.Add("", time.Unix(0, 0), broken); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Error(err)
			}
		}
		if got := contentOf(t, path); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if left, _ := filepath.Glob(path + ".*"); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	}
}

// TestOpenFileRefuses: what is no regular file, and what is no mbox.
func TestOpenFileRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, err := range []error{
		os.WriteFile(at("real"), []byte("From x\n"), 0o600), os.WriteFile(at("text"), []byte("no mbox\n"), 0o600), os.Symlink("real", at("link")),
		os.Symlink("nowhere", at("dangling")), syscall.Mkfifo(at("fifo"), 0o600), os.Mkdir(at("dir"), 0o700),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]error{
		"link": ErrNoFile, "dangling": ErrNoFile, "fifo": ErrNoFile, "text": ErrFormat, "dir": syscall.EISDIR, "no/where": syscall.ENOENT, "real": nil, "new": nil,
	} {
		if _, err := OpenFile(at(name)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	if _, err := os.Lstat(at("nowhere")); err == nil {
		t.Error("a symbolic link was followed")
	}
}

// locker is a mail program that holds a lock of the mbox module of Python, by fcntl and by a lock file, until it is told to go on.
const locker = `
import mailbox, sys, os
path, how = sys.argv[1:]
box = mailbox.mbox(path)
if how == "both": box.lock()
if how == "fcntl":
    import fcntl
    f = open(path, "rb+")
    fcntl.lockf(f, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.readline()
box.add("Subject: theirs\n\ntheirs\n")
box.flush()
if how == "both": box.unlock()
`

// TestLocks: another program's lock is waited for, whichever it is.
func TestLocks(t *testing.T) {
	t.Parallel()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	for _, how := range []string{"both", "fcntl"} {
		path := filepath.Join(t.TempDir(), "mbox")
		f, err := OpenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), python, "-c", locker, path, how)
		in, _ := cmd.StdinPipe()
		out, _ := cmd.StdoutPipe()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); line != "locked\n" {
			t.Fatalf("%q, %v", line, err)
		}
		f.patience = 0
		if err := f.Add("", time.Now(), strings.NewReader("Subject: mine\n\n")); !errors.Is(err, ErrInUse) {
			t.Errorf("%s: %v", how, err)
		}
		f.patience = defaultPatience
		done := make(chan error)
		go func() { done <- f.Add("", time.Now(), strings.NewReader("Subject: mine\n\n")) }()
		io.WriteString(in, "\n")
		if err := errors.Join(cmd.Wait(), <-done); err != nil {
			t.Errorf("%s: %v", how, err)
		}
		if text := contentOf(t, path); !strings.Contains(text, "theirs") || !strings.Contains(text, "mine") {
			t.Errorf("%s: %q", how, text)
		}
	}
}

// TestLockFile: one that its owner left behind is taken away, any other one is not.
func TestLockFile(t *testing.T) {
	t.Parallel()
	old := time.Now().Add(-2 * stale)
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		text  string
		at    time.Time
		stale bool
	}{
		"old and empty": {"", old, true}, "old, of a dead process": {" " + strconv.Itoa(dead.Process.Pid) + "\n", old, true}, "old, of a living one": {strconv.Itoa(os.Getpid()), old, false},
		"new": {"", time.Now(), false},
	} {
		path := filepath.Join(t.TempDir(), "mbox")
		if err := os.WriteFile(path+".lock", []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		os.Chtimes(path+".lock", test.at, test.at)
		f, err := OpenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f.patience = 2 * pause
		if err := f.Add("", time.Now(), strings.NewReader("x")); test.stale && err != nil || !test.stale && !errors.Is(err, ErrInUse) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Lstat(path + ".lock"); (err == nil) == test.stale {
			t.Errorf("%s: the lock file afterwards: %v", name, err)
		}
	}
}
