package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// writeMaildir makes a Maildir with n messages, and one each in two folders.
func writeMaildir(t *testing.T, n int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "Maildir")
	write := func(folder, name, text string, at time.Time) {
		for _, sub := range []string{"cur", "new", "tmp"} {
			if err := os.MkdirAll(filepath.Join(dir, folder, sub), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		file := filepath.Join(dir, folder, "cur", name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, at, at); err != nil {
			t.Fatal(err)
		}
	}
	at := time.Date(2025, 5, 6, 7, 8, 9, 0, time.UTC)
	for i := range n {
		flags := []string{"", "S", "FRS"}[i%3]
		write("", fmt.Sprintf("%d.M%d.host:2,%s", at.Unix()+int64(i), i, flags), fmt.Sprintf("Subject: %d\n\nFrom here\n.\n", i), at.Add(time.Duration(i)*time.Second))
	}
	write(".Work", "1.x:2,S", "Subject: work\n\nx\n", at)
	write(".Work.Old", "2.x:2,D", "Subject: old\n\nx\n", at)
	return dir
}

// contents are the messages of a Maildir: folder, flags and date before each.
func contents(t *testing.T, dir string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	files, _ := filepath.Glob(filepath.Join(dir, "cur", "*"))
	more, _ := filepath.Glob(filepath.Join(dir, ".*", "cur", "*"))
	for _, file := range append(files, more...) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		folder, _ := filepath.Rel(dir, filepath.Dir(file))
		_, flags, _ := strings.Cut(file, ":2,")
		found[fmt.Sprintf("%s %s %s %s", folder, flags, info.ModTime().UTC().Format(time.DateTime), text)] = true
	}
	return found
}

// TestImportExport: what goes in comes out as it was, flags, dates and folders too, with the server and without it, and nothing
// twice.
func TestImportExport(t *testing.T) {
	for _, running := range []bool{false, true} {
		t.Run(fmt.Sprintf("running=%v", running), func(t *testing.T) {
			t.Parallel()
			s := newServer(t, "")
			if running {
				s.start()
			}
			in, out := writeMaildir(t, 450), filepath.Join(t.TempDir(), "out")
			s.expect(s.do(0, "import", testUser, "--maildir", in), "452 messages imported into "+testUser+", 0 were there")
			s.expect(s.do(0, "import", testUser, "--maildir", in), "0 messages imported into "+testUser+", 452 were there")
			s.expect(s.do(0, "export", testUser, "--maildir", out), "452 messages of "+testUser+" exported, 0 were there")
			s.expect(s.do(0, "export", testUser, "--maildir", out), "0 messages of "+testUser+" exported, 452 were there")
			want, got := contents(t, in), contents(t, out)
			for m := range want {
				if !got[m] {
					t.Errorf("missing: %.100q", m)
				}
			}
			if len(got) != len(want) {
				t.Errorf("%d messages came out of %d", len(got), len(want))
			}
			box := filepath.Join(t.TempDir(), "mbox")
			s.do(0, "export", testUser, "--mbox", box)
			s.do(1, "export", testUser, "--mbox", box)
			s.expect(s.do(0, "import", testUser, "--mbox", box, "--mailbox", "Again/mbox"), "450 messages imported")
			s.expect(s.do(0, "import", testUser, "--mbox", box, "--mailbox", "Again/mbox"), "450 were there already")
			s.expect(s.do(0, "account", "show", testUser), "Again/mbox  450", "Work/Old    1")
			s.expect(s.do(0, "verify"), "no damage found (902 messages")
			s.do(1, "import", "nobody@example.test", "--maildir", in)
			s.do(1, "import", testUser, "--maildir", t.TempDir())
			s.do(1, "import", testUser, "--mbox", filepath.Join(in, ".Work", "cur", "1.x:2,S"))
			s.do(2, "import", testUser)
		})
	}
}

// TestImportGoesOn: an import that was killed again and again ends with each message once.
func TestImportGoesOn(t *testing.T) {
	s := newServer(t, "")
	in := writeMaildir(t, 3000)
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		cmd := exec.Command(path, "import", testUser, "--maildir", in, "--config", s.config)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(60+20*i) * time.Millisecond) // somewhere within it
		cmd.Process.Kill()
		cmd.Wait()
	}
	s.do(0, "import", testUser, "--maildir", in)
	s.expect(s.do(0, "verify"), "no damage found (3002 messages")
}

// TestFetchToMbox: messages are added to an mbox file, and what is there stays.
func TestFetchToMbox(t *testing.T) {
	s := newServer(t, "")
	s.start()
	box := filepath.Join(t.TempDir(), "mbox")
	if err := os.WriteFile(box, []byte("From x Fri Nov 27 12:00:01 2026\nSubject: before\n\nno end"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		send(t, s)
	}
	_, errOut, status := waybill(t, "", "fetch", "--server", s.pop3s, "--tls", "tls", "--insecure", "--user", testUser,
		"--password-file", passwordFile(t), "--mbox", box)
	if status != 0 || !strings.Contains(errOut, "2 messages retrieved and deleted") {
		t.Fatalf("%d %s", status, errOut)
	}
	s.expect(s.do(0, "account", "add", "bob@example.test", "--password-stdin"))
	s.expect(s.do(0, "import", "bob@example.test", "--mbox", box), "3 messages imported")
	text, err := os.ReadFile(box)
	if err != nil || strings.Count(string(text), "\nFrom MAILER-DAEMON ") != 2 || strings.Contains(string(text), "\r") {
		t.Errorf("%s %v", text, err)
	}
}
