package maildir

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestWriteAndRead(t *testing.T) {
	t.Parallel()
	d, err := Create(filepath.Join(t.TempDir(), "Maildir"))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.MakeFolder("Work/Old"); err != nil {
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
	write("Work/Old", "1.x", "", "x")
	gone, err := d.Begin("")
	if err != nil {
		t.Fatal(err)
	}
	if err := gone.Discard(); err != nil {
		t.Fatal(err)
	}
	folders, err := d.Folders()
	if err != nil || strings.Join(folders, ",") != ",Work/Old" {
		t.Errorf("folders %q, %v", folders, err)
	}
	var got []string
	for _, folder := range folders {
		messages, err := d.Messages(folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			text, err := os.ReadFile(m.Path)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, m.Folder+":"+m.Flags+":"+string(text))
		}
	}
	if all := strings.Join(got, " "); all != "::a :FS:b ::new Work/Old::x" {
		t.Errorf("messages: %s", all)
	}
	if left, _ := filepath.Glob(filepath.Join(d.path, "tmp", "*")); len(left) != 0 {
		t.Errorf("left in tmp: %q", left)
	}
}

func TestNoMaildir(t *testing.T) {
	t.Parallel()
	if _, err := Open(t.TempDir()); !errors.Is(err, ErrNoMaildir) {
		t.Error(err)
	}
	d, err := Create(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"a.b", "/a", "a//b", "..", "x\x00"} {
		if err := d.MakeFolder(bad); err == nil {
			t.Errorf("a folder %q was made", bad)
		}
	}
}
