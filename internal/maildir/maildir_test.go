package maildir

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"
)

func newDir(t *testing.T) (*Dir, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "Maildir")
	d, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d, path
}

func TestWriteAndRead(t *testing.T) {
	t.Parallel()
	d, path := newDir(t)
	if err := d.MakeFolder(".Work.Old"); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2025, 5, 6, 7, 8, 9, 0, time.UTC)
	write := func(folder, name, flags, text string) {
		f, err := d.Begin(folder)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(f, text)
		if err := f.Keep(name, flags, at); err != nil {
			t.Fatal(err)
		}
		if err := d.Sync(folder); err != nil {
			t.Fatal(err)
		}
	}
	write("", "20.b", "FS", "b")
	write("", "9.a", "", "a")
	write("", "", "", "new")
	write(".Work.Old", "1.x", "", "x")
	gone, err := d.Begin("")
	if err != nil {
		t.Fatal(err)
	}
	if err := gone.Discard(); err != nil {
		t.Fatal(err)
	}
	folders, err := d.Folders()
	if err != nil || strings.Join(folders, ",") != ",.Work.Old" {
		t.Errorf("folders %q, %v", folders, err)
	}
	var got []string
	for _, folder := range folders {
		messages, err := d.Messages(folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			got = append(got, m.Folder+":"+m.Flags+":"+read(t, d, m, at))
		}
	}
	if all := strings.Join(got, " "); all != "::a :FS:b ::new .Work.Old::x" {
		t.Errorf("messages: %s", all)
	}
	if left, _ := filepath.Glob(filepath.Join(path, "tmp", "*")); len(left) != 0 {
		t.Errorf("left in tmp: %q", left)
	}
}

func read(t *testing.T, d *Dir, m Message, at time.Time) string {
	t.Helper()
	info, err := d.Stat(m)
	if err != nil || !info.ModTime().Equal(at) {
		t.Errorf("%s: %v, %v", m.Path(), info, err)
	}
	f, err := d.OpenMessage(m)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestNoMaildir(t *testing.T) {
	t.Parallel()
	if _, err := Open(t.TempDir()); !errors.Is(err, ErrNoMaildir) {
		t.Error(err)
	}
	if _, err := Open(filepath.Join(t.TempDir(), "nowhere")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	d, _ := newDir(t)
	if err := d.MakeFolder("../out"); err == nil {
		t.Error("a folder was made outside")
	}
}

// TestHostile: nothing outside is read, nothing is waited for, and the rest can be read.
func TestHostile(t *testing.T) {
	t.Parallel()
	d, path := newDir(t)
	outside := filepath.Join(filepath.Dir(path), "outside")
	for _, err := range []error{
		os.MkdirAll(filepath.Join(outside, "cur"), 0o700),
		os.WriteFile(filepath.Join(outside, "cur", "1.secret"), []byte("secret"), 0o600),
		os.Symlink(outside, filepath.Join(path, ".Linked")),
		os.MkdirAll(filepath.Join(path, ".Half", "new"), 0o700),
		os.Symlink(filepath.Join(outside, "cur"), filepath.Join(path, ".Half", "cur")),
		os.MkdirAll(filepath.Join(path, ".Pipe", "cur"), 0o700),
		syscall.Mkfifo(filepath.Join(path, ".Pipe", "new"), 0o600),
		os.Symlink(filepath.Join(outside, "cur", "1.secret"), filepath.Join(path, "cur", "1.link")),
		os.Symlink("../new/5.real", filepath.Join(path, "cur", "2.within")),
		syscall.Mkfifo(filepath.Join(path, "cur", "3.pipe"), 0o600),
		os.Mkdir(filepath.Join(path, "cur", "4.dir"), 0o700),
		os.WriteFile(filepath.Join(path, "new", "5.real"), []byte("real"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	folders, err := d.Folders()
	if got := strings.Join(folders, ","); err != nil || got != ",.Half,.Pipe" {
		t.Errorf("folders %s, %v", got, err)
	}
	for _, folder := range []string{".Half", ".Pipe", ".Linked"} {
		if messages, err := d.Messages(folder); err == nil {
			t.Errorf("%s: %+v", folder, messages)
		}
	}
	messages, err := d.Messages("")
	if err != nil || len(messages) != 5 {
		t.Fatalf("%+v, %v", messages, err)
	}
	readable := ""
	for _, m := range messages {
		_, statErr := d.Stat(m)
		f, err := d.OpenMessage(m)
		if (statErr == nil) != (err == nil) {
			t.Errorf("%s: %v, but %v", m.Path(), statErr, err)
		}
		if err == nil {
			readable += m.Name + " "
			f.Close()
		}
	}
	if readable != "2.within 5.real " {
		t.Errorf("readable: %s", readable)
	}
}

func TestFolderNames(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, folder string }{
		{"", ""}, {"Work", ".Work"}, {"Work/Old", ".Work.Old"}, {"Entw\u00fcrfe", ".Entw&APw-rfe"}, {"Q&A", ".Q&-A"},
		{"~peter/mail/\u53f0\u5317/\u65e5\u672c\u8a9e", ".~peter.mail.&U,BTFw-.&ZeVnLIqe-"}, // the RFC's example
		{"example.org", ".example&AC4-org"}, {"\U0001f4e8", ".&2D3c6A-"},
	} {
		if got := FolderOf(test.name); got != test.folder {
			t.Errorf("%s is %s, want %s", test.name, got, test.folder)
		}
		if got := NameOf(test.folder); got != test.name {
			t.Errorf("%s is %s, want %s", test.folder, got, test.name)
		}
	}
	for folder, name := range map[string]string{
		".&": "&", ".&x": "&x", ".&AC8-": "&AC8-", ".&2D0-": "&2D0-", ".a..b": "a//b", ".Entw\u00fcrfe": "Entw\u00fcrfe", ".&!!-": "&!!-", ".&AA-": "&AA-",
	} {
		if got := NameOf(folder); got != name {
			t.Errorf("%s is %s, want %s", folder, got, name)
		}
	}
}

func FuzzFolder(f *testing.F) {
	f.Add("Work/Old")
	f.Add("Entw\u00fcrfe/a.b&")
	f.Add(".&AC8-.&2D0-")
	f.Fuzz(func(t *testing.T, text string) {
		name := NameOf(text) // whatever it is
		if utf8.ValidString(text) && !strings.ContainsRune(text, utf8.RuneError) {
			name = text
		}
		if !utf8.ValidString(name) || strings.ContainsRune(name, utf8.RuneError) {
			return
		}
		folder := FolderOf(name)
		if strings.ContainsAny(folder, "/\x00") || folder != "" && folder[0] != '.' {
			t.Errorf("%q becomes %q", name, folder)
		}
		if got := NameOf(folder); got != name {
			t.Errorf("%q becomes %q, then %q", name, folder, got)
		}
	})
}

func FuzzCompareNames(f *testing.F) {
	f.Add("1700000000.M1P2.host:2,FS", "9.x")
	f.Fuzz(func(t *testing.T, a, b string) {
		if x, y := compareNames(a, b), compareNames(b, a); x != -y {
			t.Errorf("%q and %q compare as %d and %d", a, b, x, y)
		}
	})
}
