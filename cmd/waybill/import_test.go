package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
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

// TestImportIntoANewAccount: the first import into an account that was removed and made again succeeds, though the server knew
// the mailboxes of the other.
func TestImportIntoANewAccount(t *testing.T) {
	t.Parallel()
	s := newServer(t, "")
	s.start()
	in := writeMaildir(t, 3)
	for range 2 {
		s.do(0, "account", "add", "again@example.test", "--password-stdin")
		s.expect(s.do(0, "import", "again@example.test", "--maildir", in), "5 messages imported")
		s.do(0, "account", "rm", "again@example.test", "--yes")
	}
}

// TestImportGoesOn: an import that was killed or interrupted again and again, and whose server was killed, ends with each
// message once.
func TestImportGoesOn(t *testing.T) {
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	for _, source := range []string{"--maildir", "--mbox"} {
		t.Run(source, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, "")
			in := writeMaildir(t, 3000)
			if source == "--mbox" {
				in = writeMbox(t, 3002)
			}
			for i := range 6 {
				if i == 3 {
					s.start()
				}
				cmd := exec.Command(path, "import", testUser, source, in, "--config", s.config)
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Duration(60+20*i) * time.Millisecond) // somewhere within it
				switch i % 3 {
				case 0:
					cmd.Process.Kill()
				case 1:
					cmd.Process.Signal(os.Interrupt)
				case 2:
					if i > 3 {
						s.kill()
					}
				}
				cmd.Wait()
			}
			s.do(0, "import", testUser, source, in)
			s.expect(s.do(0, "import", testUser, source, in, "--json"), `{"imported":0,"known":3002,"skipped":0}`)
			s.expect(s.do(0, "verify"), "no damage found (3002 messages")
		})
	}
}

func writeMbox(t *testing.T, n int) string {
	t.Helper()
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "From me@a.test Fri Nov 27 12:00:01 2026\nSubject: %d\n\nbody\n\n", i)
	}
	file := filepath.Join(t.TempDir(), "mbox")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestImportTellsMessagesApart: what has the name or the place of another is not taken for it, and what a mail reader has
// written anew is.
func TestImportTellsMessagesApart(t *testing.T) {
	s := newServer(t, "")
	box := filepath.Join(t.TempDir(), "mbox")
	write := func(text string) {
		if err := os.WriteFile(box, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const one, other = "From x Fri Nov 27 12:00:01 2026\nSubject: one\n%s\nfirst\n\n", "From x Fri Nov 27 12:00:01 2026\nSubject: two\n\nfirst\n\n"
	write(fmt.Sprintf(one, ""))
	s.expect(s.do(0, "import", testUser, "--mbox", box), "1 messages imported")
	write(other + fmt.Sprintf(one, "Status: RO\n"))
	s.expect(s.do(0, "import", testUser, "--mbox", box), "1 messages imported", " 1 were there")
	write(other + other)
	s.expect(s.do(0, "import", testUser, "--mbox", box, "--mailbox", "Twice"), "1 messages imported", " 1 were there")
	for i, text := range []string{"Subject: a\n\nx\n", "Subject: another\n\nx\n"} {
		in := filepath.Join(t.TempDir(), fmt.Sprint(i))
		for _, sub := range []string{"cur", "new"} {
			if err := os.MkdirAll(filepath.Join(in, sub), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(in, "cur", "1.x:2,"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s.expect(s.do(0, "import", testUser, "--maildir", in), "1 messages imported")
		s.expect(s.do(0, "import", testUser, "--maildir", in, "--mailbox", "Copy"), "1 messages imported")
	}
}

// TestImportSkipsWhatIsNone: what cannot be read is told and left out; the rest is there.
func TestImportSkipsWhatIsNone(t *testing.T) {
	s := newServer(t, "")
	in := writeMaildir(t, 2)
	for _, err := range []error{
		syscall.Mkfifo(filepath.Join(in, "cur", "1.pipe"), 0o600),
		os.Symlink(s.config, filepath.Join(in, "cur", "1.link")),
		os.MkdirAll(filepath.Join(in, ".50%.&", "cur", "1.dir"), 0o700),
		os.WriteFile(filepath.Join(in, ".50%.&", "cur", "2.\xe4"), []byte("x: y\n\n"), 0o600),
		os.MkdirAll(filepath.Join(in, ".Entw&APw-rfe", "new"), 0o700),
		os.WriteFile(filepath.Join(in, ".Entw&APw-rfe", "new", "1.x"), []byte("x: y\n\n"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	out := s.do(1, "import", testUser, "--maildir", in, "--json")
	s.expect(out, `"imported":6,"known":0,"skipped":3`, `skipped "cur/1.pipe"`, `skipped "cur/1.link"`, "1.dir")
	s.expect(s.do(0, "account", "show", testUser), "50_/&", "Entw\u00fcrfe")
	s.do(1, "export", testUser, "--maildir", filepath.Join(t.TempDir(), "out"), "--mailbox", "Nowhere")
	s.do(2, "import", testUser, "--maildir", in, "--mailbox", "a//b")
}

// mailboxScript writes a Maildir and an mbox with Python's mailbox module, or reads what came of them.
const mailboxScript = `
import mailbox, sys
what, dir = sys.argv[1:]
bodies = ["plain\n", "From the start\n>From quoted\n\nFrom within\n", "x" * 200000 + "\n", "\n\n", "caf\u00e9 \u0000 bytes\n"]
def message(kind, i):
    m = kind()
    m["Subject"], m["Message-ID"] = "no. %d" % i, "<%d@a.test>" % i
    m.set_payload(bodies[i].encode())
    m.set_flags(["", "S", "FRS", "D", "T"][i] if kind is mailbox.MaildirMessage else ["", "RO", "ROAF", "T", "D"][i])
    if kind is mailbox.MaildirMessage: m.set_date(1500000000 + i); m.set_subdir("cur")
    else: m.set_from("me@a.test", (2017, 7, 14, 2, 40, i, 4, 0, 0))
    return m
if what == "write":
    d = mailbox.Maildir(dir + "/in", create=True)
    for folder in [d, d.add_folder("Work"), d.add_folder("Work.Old")]:
        for i in range(len(bodies)): folder.add(message(mailbox.MaildirMessage, i))
    b = mailbox.mbox(dir + "/in.mbox", create=True)
    for i in range(len(bodies)): b.add(message(mailbox.mboxMessage, i))
    b.close()
    sys.exit()
def told(m):
    p = m.get_payload(decode=False)
    return (m["Subject"], m["Message-ID"], p if len(p) < 100 else hash(p), "".join(sorted(set(m.get_flags()) - {"O"})))
def maildir(path):
    d = mailbox.Maildir(path, create=False)
    return {f: sorted(told(m) + (int(m.get_date()),) for m in (d.get_folder(f) if f else d)) for f in [""] + d.list_folders()}
def mbox(path):
    return sorted(told(m) + (m.get_from().split(" ", 1)[1],) for m in mailbox.mbox(path, create=False))
a, b = maildir(dir + "/in"), maildir(dir + "/out")
assert a == b and len(a) == 3 and all(len(f) == 5 for f in a.values()), (list(a), list(b))
a, b = mbox(dir + "/in.mbox"), mbox(dir + "/out.mbox")
assert a == b and len(a) == 5, (a, b)
print("ok")
`

// TestPythonMailbox: a Maildir and an mbox of Python's come out as Python reads them as it wrote them.
func TestPythonMailbox(t *testing.T) {
	s := newServer(t, "")
	dir := t.TempDir()
	peer(t, "python3", "-c", mailboxScript, "write", dir)
	s.expect(s.do(0, "import", testUser, "--maildir", filepath.Join(dir, "in")), "15 messages imported")
	s.do(0, "export", testUser, "--maildir", filepath.Join(dir, "out"))
	s.expect(s.do(0, "import", testUser, "--mbox", filepath.Join(dir, "in.mbox"), "--mailbox", "Box"), "5 messages imported")
	s.do(0, "export", testUser, "--mbox", filepath.Join(dir, "out.mbox"), "--mailbox", "Box")
	if out := peer(t, "python3", "-c", mailboxScript, "read", dir); strings.TrimSpace(out) != "ok" {
		t.Error(out)
	}
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
	if status != 0 || !strings.Contains(errOut, "2 messages retrieved, 2 deleted from the server") {
		t.Fatalf("%d %s", status, errOut)
	}
	s.expect(s.do(0, "account", "add", "bob@example.test", "--password-stdin"))
	s.expect(s.do(0, "import", "bob@example.test", "--mbox", box), "3 messages imported")
	text, err := os.ReadFile(box)
	if err != nil || strings.Count(string(text), "\nFrom MAILER-DAEMON ") != 2 || strings.Contains(string(text), "\r") {
		t.Errorf("%s %v", text, err)
	}
}
