package main

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"waybill/internal/dns/dnstest"
)

// fetching is the arguments of fetch from that server.
func fetching(t *testing.T, s *scripted, args ...string) []string {
	t.Helper()
	return append([]string{"fetch", "--server", s.addr, "--user", "me@a.test", "--password-file", passwordFile(t)}, args...)
}

func messagesIn(t *testing.T, dir string) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "new", "*"))
	left, errTmp := filepath.Glob(filepath.Join(dir, "tmp", "*"))
	if err := errors.Join(err, errTmp); err != nil || len(left) > 0 {
		t.Errorf("left in tmp: %q, %v", left, err)
	}
	return len(files)
}

// TestFetchOnce: what stays on the server is fetched once into each place, and again only if that is wanted.
func TestFetchOnce(t *testing.T) {
	t.Parallel()
	s := newServer(t, "")
	s.start()
	dir := t.TempDir()
	run := func(want string, args ...string) {
		t.Helper()
		args = append([]string{"fetch", "--server", s.pop3, "--user", testUser, "--insecure", "--password-file", passwordFile(t), "--keep"}, args...)
		if out, errOut, status := waybill(t, "", args...); status != 0 || out+errOut != want+"\n" {
			t.Errorf("%q: status %d, %s%s", args, status, out, errOut)
		}
	}
	send(t, s)
	send(t, s)
	box, state := filepath.Join(dir, "mbox"), filepath.Join(dir, "state")
	for _, target := range [][]string{{"--out", filepath.Join(dir, "Maildir")}, {"--mbox", box}, {"--state", state, "--mbox", filepath.Join(dir, "other")}} {
		run("2 messages retrieved, 2 left on the server", target...)
		run("0 messages retrieved, 2 fetched before, 2 left on the server", target...)
	}
	send(t, s)
	run("1 message retrieved, 2 fetched before, 3 left on the server", "--mbox", box)
	run("3 messages retrieved, 3 left on the server", "--mbox", box, "--all")
	run(`{"retrieved":0,"known":3,"failed":0,"deleted":0,"doubt":0}`, "--mbox", box, "--json")
	text, err := os.ReadFile(box)
	if err != nil || strings.Count(string(text), "\nReturn-Path: ") != 6 {
		t.Errorf("%s, %v", text, err)
	}
	// Somebody else's memory is not taken, and the end of one that was cut off is no unique id.
	_, errOut, status := waybill(t, "", "fetch", "--server", s.pop3, "--user", strings.ToUpper(testUser), "--insecure", "--password-file", passwordFile(t), "--state", state, "--mbox", box)
	if status != 1 || !strings.Contains(errOut, "not the memory of what was fetched from ALICE") {
		t.Errorf("status %d, %s", status, errOut)
	}
	memory, _ := os.ReadFile(state)
	if err := os.WriteFile(state, memory[:len(memory)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	run("2 messages retrieved, 1 fetched before, 3 left on the server", "--state", state, "--mbox", box)
	run("0 messages retrieved, 3 fetched before, 3 left on the server", "--state", state, "--mbox", box)
}

// TestFetchDoubt: what QUIT did not confirm is told, and not fetched again.
func TestFetchDoubt(t *testing.T) {
	t.Parallel()
	for name, quit := range map[string]string{"refused": "QUIT=-ERR some \x1b[2Jare left", "lost": "QUIT="} {
		dir := filepath.Join(t.TempDir(), "Maildir")
		s := newPOP(t, quit)
		out, errOut, status := waybill(t, "", fetching(t, s, "--out", dir, "--json")...)
		var r fetchResult
		if err := json.Unmarshal([]byte(out), &r); err != nil || status != 1 || r.Retrieved != 2 || r.Deleted != 0 || r.Doubt != 2 || r.Error == "" || strings.Contains(out+errOut, "\x1b") {
			t.Errorf("%s: status %d, %s%s %v", name, status, out, errOut, err)
		}
		s.use(answering(popGood, popAnswers)) // the same server, in a better mood
		out, errOut, status = waybill(t, "", fetching(t, s, "--out", dir)...)
		if status != 0 || errOut != "0 messages retrieved, 2 fetched before, 2 deleted from the server\n" || messagesIn(t, dir) != 2 {
			t.Errorf("%s: status %d, %s%s", name, status, out, errOut)
		}
		if n := strings.Count(s.heard(), "RETR"); n != 2 {
			t.Errorf("%s: %d messages were fetched", name, n)
		}
		_, errOut, _ = waybill(t, "", fetching(t, s, "--out", dir)...)
		if errOut != "2 messages retrieved, 2 deleted from the server\n" { // others: what was deleted is forgotten
			t.Errorf("%s: %s", name, errOut)
		}
	}
}

// TestFetchPrints: what is printed is deleted only if it is in a file, and all of it.
func TestFetchPrints(t *testing.T) {
	t.Parallel()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		flags   int
		file    string
		status  int
		deleted int
	}{
		"file": {os.O_WRONLY, file, 0, 2}, "file that takes nothing": {os.O_RDONLY, file, 1, 0},
		"full device": {os.O_WRONLY, "/dev/full", 1, 0}, "device": {os.O_WRONLY, "/dev/null", 0, 0},
	} {
		s := newPOP(t)
		cmd := exec.CommandContext(t.Context(), path, fetching(t, s)...)
		out, err := os.OpenFile(test.file, test.flags, 0)
		if err != nil {
			t.Fatal(err)
		}
		var errOut strings.Builder
		cmd.Stdout, cmd.Stderr = out, &errOut
		cmd.Run()
		out.Close()
		if got := cmd.ProcessState.ExitCode(); got != test.status || strings.Count(s.heard(), "DELE") != test.deleted {
			t.Errorf("%s: status %d, %s\n%s", name, got, errOut.String(), s.heard())
		}
	}
	if text, err := os.ReadFile(file); err != nil || strings.Count(string(text), "Subject: x\r\n\r\n.text\r\n") != 2 {
		t.Errorf("%q, %v", text, err)
	}
	s := newPOP(t)
	if out, errOut, status := waybill(t, "", fetching(t, s)...); status != 0 || len(out) == 0 || strings.Contains(s.heard(), "DELE") {
		t.Errorf("a pipe: status %d, %s\n%s", status, errOut, s.heard())
	}
}

// TestFetchLost: what went into a pipe, or to a place that has gone, is no reason to delete a message; it is fetched again.
func TestFetchLost(t *testing.T) {
	t.Parallel()
	const again, known = "2 messages retrieved, 2 deleted from the server\n", "0 messages retrieved, 2 fetched before, 2 deleted from the server\n"
	for name, test := range map[string]struct {
		first, between, second []string // between: a run with --keep after the place has gone
		gone                   string
		want                   string
	}{
		"pipe":                  {first: []string{"--state", "st"}, second: []string{"--state", "st", "--out", "M"}, want: again},
		"mbox":                  {first: []string{"--keep", "--mbox", "m"}, gone: "m", second: []string{"--mbox", "m"}, want: again},
		"mbox that is there":    {first: []string{"--keep", "--mbox", "m"}, second: []string{"--mbox", "m"}, want: known},
		"mbox, between":         {first: []string{"--keep", "--mbox", "m"}, gone: "m", between: []string{"--keep", "--mbox", "m"}, second: []string{"--mbox", "m"}, want: again},
		"another mbox":          {first: []string{"--keep", "--state", "st", "--mbox", "m"}, gone: "m", second: []string{"--state", "st", "--mbox", "n"}, want: again},
		"Maildir":               {first: []string{"--keep", "--state", "st", "--out", "M"}, gone: "M", second: []string{"--state", "st", "--out", "M"}, want: again},
		"Maildir, messages":     {first: []string{"--keep", "--out", "M"}, gone: "M/new", second: []string{"--out", "M"}, want: again},
		"Maildir that is there": {first: []string{"--keep", "--state", "st", "--out", "M"}, second: []string{"--state", "st", "--out", "M"}, want: known},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := newPOP(t)
			fetch := func(args []string) string {
				args = slices.Clone(args)
				for i, a := range args {
					if !strings.HasPrefix(a, "--") {
						args[i] = filepath.Join(dir, a)
					}
				}
				_, errOut, status := waybill(t, "", fetching(t, s, args...)...)
				if status != 0 {
					t.Errorf("%q: status %d, %s", args, status, errOut)
				}
				return errOut
			}
			fetch(test.first)
			if test.gone != "" {
				if err := os.RemoveAll(filepath.Join(dir, test.gone)); err != nil {
					t.Fatal(err)
				}
			}
			if test.between != nil { // a message more comes, so that the place is not empty
				s.use(answering(popGood, append([]string{"LIST=+OK\r\n1 20\r\n2 20\r\n3 20\r\n.", "UIDL=+OK\r\n1 a\r\n2 b\r\n3 c\r\n."}, popAnswers...)))
				if got := fetch(test.between); got != "1 message retrieved, 2 fetched before, 3 left on the server\n" {
					t.Error(got)
				}
				s.use(answering(popGood, popAnswers))
			}
			if strings.Contains(s.heard(), "DELE") {
				t.Errorf("too early:\n%s", s.heard())
			}
			if got := fetch(test.second); got != test.want {
				t.Error(got)
			}
		})
	}
}

// TestFetchTornMemory: a memory of which only a part of the first line came to be is a new one.
func TestFetchTornMemory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	s := newPOP(t)
	args := fetching(t, s, "--keep", "--state", state, "--mbox", filepath.Join(dir, "m"))
	for _, torn := range []string{"", "waybill fet", "waybill fetched from me@a.test at " + s.addr} {
		if err := os.WriteFile(state, []byte(torn), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"2 messages retrieved, 2 left on the server\n", "0 messages retrieved, 2 fetched before, 2 left on the server\n"} {
			if _, errOut, status := waybill(t, "", args...); status != 0 || errOut != want {
				t.Errorf("%q: status %d, %s", torn, status, errOut)
			}
		}
	}
	if err := os.WriteFile(state, []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, errOut, status := waybill(t, "", args...); status != 1 || !strings.Contains(errOut, "not the memory") {
		t.Errorf("status %d, %s", status, errOut)
	}
}

// TestFetchLocalhost: this machine needs no DNS.
func TestFetchLocalhost(t *testing.T) {
	t.Parallel()
	s := newPOP(t)
	_, port, _ := net.SplitHostPort(s.addr)
	for _, host := range []string{"localhost", "LocalHost", "mail.localhost"} {
		_, errOut, status := waybill(t, "", "fetch", "--server", host+":"+port, "--resolver", refusing(t), "--user", "me@a.test", "--password-file", passwordFile(t))
		if status != 0 || !strings.Contains(errOut, "2 messages retrieved") {
			t.Errorf("%s: status %d, %s", host, status, errOut)
		}
	}
}

// TestFetchFails: exit statuses, and that a password goes nowhere in clear, and into no transcript.
func TestFetchFails(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answers []string
		args    []string
		status  int
		want    string
	}{
		"wrong password":  {[]string{"PASS=-ERR [AUTH] no"}, nil, 1, "the server refuses the login"},
		"in use":          {[]string{"PASS=-ERR [IN-USE] wait"}, nil, 75, "try"},
		"malformed":       {[]string{"LIST=+OK\r\nx y\r\n."}, nil, 1, "malformed"},
		"no STLS":         {nil, []string{"--tls", "starttls"}, 1, "refused STLS"},
		"usage":           {nil, []string{"--mbox", "x", "--out", "y"}, 2, "either"},
		"JSON in between": {nil, []string{"--json"}, 2, "--json needs"},
		"fifo":            {nil, []string{"--mbox", "/dev/null"}, 1, "no regular file"},
	} {
		s := newPOP(t, append(test.answers, "STLS=-ERR what")...)
		out, errOut, status := waybill(t, "", fetching(t, s, append(test.args, "-v")...)...)
		if status != test.status || !strings.Contains(errOut, test.want) && test.want != "try" {
			t.Errorf("%s: status %d, %s%s", name, status, out, errOut)
		}
		if strings.Contains(out+errOut, testPassword) {
			t.Errorf("%s: the password is shown: %s", name, errOut)
		}
	}
}

// TestFetchInterrupted: what was kept until then is known next time, and what was not leaves nothing behind.
func TestFetchInterrupted(t *testing.T) {
	t.Parallel()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "Maildir")
	s := newPOP(t)
	cmd := exec.CommandContext(t.Context(), path, fetching(t, s, "--out", dir)...)
	started := make(chan bool)
	s.use(func(line string) string {
		if line == "RETR 2" { // half of it comes, and no more
			<-started
			cmd.Process.Signal(os.Interrupt)
			return "+OK\r\nSubject: half"
		}
		return answering(popGood, popAnswers)(line)
	})
	var out strings.Builder
	cmd.Stderr = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	close(started)
	cmd.Wait()
	if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(out.String(), "interrupted") || messagesIn(t, dir) != 1 {
		t.Errorf("%v %s", cmd.ProcessState, &out)
	}
	s.use(answering(popGood, popAnswers))
	if _, errOut, status := waybill(t, "", fetching(t, s, "--out", dir)...); status != 0 || errOut != "1 message retrieved, 1 fetched before, 2 deleted from the server\n" {
		t.Errorf("%d %s", status, errOut)
	}
}

// TestPasswordFrom: the environment and standard input do as well as a file.
func TestPasswordFrom(t *testing.T) {
	s := newPOP(t)
	args := []string{"fetch", "--server", s.addr, "--user", "me@a.test"}
	if _, errOut, status := waybill(t, "one\n", append(args, "--password-stdin")...); status != 0 {
		t.Error(errOut)
	}
	t.Setenv(passwordVariable, "two")
	if _, errOut, status := waybill(t, "", args...); status != 0 {
		t.Error(errOut)
	}
	if heard := s.heard(); !strings.Contains(heard, "PASS one") || !strings.Contains(heard, "PASS two") {
		t.Error(heard)
	}
}

// onTerminal runs a program on a terminal, types the password when it is asked for, and prints what was to be seen.
const onTerminal = `
import os, pty, sys, termios
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
seen = b""
while True:
    try:
        piece = os.read(fd, 4096)
    except OSError:
        break
    if not piece:
        break
    seen += piece
    if seen.endswith(b"Password of me@a.test: "):
        while termios.tcgetattr(fd)[3] & termios.ECHO:
            pass
        os.write(fd, b"typed in\n")
print(seen.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`

// TestPasswordAsked: on a terminal, without showing it.
func TestPasswordAsked(t *testing.T) {
	t.Parallel()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	s := newPOP(t)
	out := peer(t, "python3", "-c", onTerminal, path, "fetch", "--server", s.addr, "--user", "me@a.test", "--out", filepath.Join(t.TempDir(), "Maildir"))
	if !strings.Contains(s.heard(), "PASS typed in") || strings.Contains(out, "typed in") || !strings.Contains(out, "2 messages retrieved") {
		t.Errorf("%s\n%s", out, s.heard())
	}
}

// TestDiscovered: the DNS names the servers; one that is down keeps nobody from the next, and one that is elsewhere needs consent.
func TestDiscovered(t *testing.T) {
	t.Parallel()
	s := newServer(t, "")
	s.start()
	port := func(address string) string {
		_, port, _ := net.SplitHostPort(address)
		return port
	}
	down := port(refusing(t))
	names := dnstest.Start(t, strings.NewReplacer("DOWN", down, "POP3S", port(s.pop3s), "SUBMISSIONS", port(s.submissions)).Replace(`$ORIGIN test.
_submissions._tcp.example SRV 0 0 DOWN mail.example
_submissions._tcp.example SRV 1 0 SUBMISSIONS mail.example
_pop3s._tcp.example SRV 0 0 DOWN gone.example
_pop3s._tcp.example SRV 1 0 POP3S mail.example
mail.example A 127.0.0.1
_pop3s._tcp.hosted SRV 0 0 POP3S mail.example
`))
	args := func(command, user string, more ...string) []string {
		return append([]string{command, "--resolver", names.Addr.String(), "--user", user, "--password-file", passwordFile(t), "--insecure"}, more...)
	}
	if out, errOut, status := waybill(t, "", args("send", testUser, "--from", testUser, "--to", testUser, "--body", "x")...); status != 0 {
		t.Fatalf("%d %s%s", status, out, errOut)
	}
	if out, errOut, status := waybill(t, "", args("fetch", testUser, "-v")...); status != 0 || !strings.Contains(errOut, "1 message retrieved") || !strings.Contains(errOut, "*: connecting to mail.example.test:"+port(s.pop3s)) {
		t.Fatalf("%d %s%s", status, out, errOut)
	}
	_, errOut, status := waybill(t, "", args("fetch", "alice@hosted.test")...)
	if status != 1 || !strings.Contains(errOut, "--provider mail.example.test") || strings.Contains(errOut, "login") {
		t.Errorf("%d %s", status, errOut)
	}
	_, errOut, status = waybill(t, "", args("fetch", "alice@hosted.test", "--provider", "example.test")...)
	if status != 1 || !strings.Contains(errOut, "refuses the login") { // it got that far
		t.Errorf("%d %s", status, errOut)
	}
	_, errOut, status = waybill(t, "", args("fetch", "alice@nowhere.test")...)
	if status != 1 || !strings.Contains(errOut, "_pop3s._tcp.nowhere.test or _pop3._tcp.nowhere.test") {
		t.Errorf("%d %s", status, errOut)
	}
}

// TestCertificateIsChecked: a server that is not the one that was named gets no password, and the error says how to go on.
func TestCertificateIsChecked(t *testing.T) {
	t.Parallel()
	s := newServer(t, "")
	s.start()
	for _, args := range [][]string{
		{"fetch", "--server", s.pop3s, "--tls", "tls"}, {"fetch", "--server", s.pop3, "--tls", "starttls"},
		{"send", "--server", s.submissions, "--tls", "tls", "--from", testUser, "--to", testUser, "--body", "x"},
		{"send", "--server", s.submission, "--from", testUser, "--to", testUser, "--body", "x"},
	} {
		out, errOut, status := waybill(t, "", append(args, "--user", testUser, "--password-file", passwordFile(t), "-v")...)
		if status != 1 || !strings.Contains(errOut, "certificate is not trusted") || !strings.Contains(errOut, "--insecure") || strings.Contains(errOut, "AUTH PLAIN") {
			t.Errorf("%q: status %d, %s%s", args, status, out, errOut)
		}
	}
}
