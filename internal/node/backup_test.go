package node

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"waybill/internal/config"
)

// sends is a node that sends this as its backup.
type sends []byte

func (s sends) Backup(_ context.Context, w io.Writer) error {
	_, err := w.Write(s)
	return err
}

// backupOf takes the backup of a new node with an account, and sees that it has left nothing.
func backupOf(t *testing.T) (archive []byte, c config.Config) {
	t.Helper()
	n := startNode(t, nil)
	var b bytes.Buffer
	if err := n.Backup(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	checkNoCheckpoint(t, n.config.Data)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.Backup(ctx, io.Discard); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	checkNoCheckpoint(t, n.config.Data)
	return b.Bytes(), n.config
}

func checkNoCheckpoint(t *testing.T, data string) {
	t.Helper()
	entries, err := os.ReadDir(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".backup") {
			t.Errorf("%s is left", e.Name())
		}
	}
}

// TestSaveBackup: a backup is saved whole or not at all, and what was wrong is told for what it is.
func TestSaveBackup(t *testing.T) {
	t.Parallel()
	whole, c := backupOf(t)
	dir := t.TempDir()
	if err := SaveBackup(t.Context(), sends(whole), c, filepath.Join(dir, "new", "good")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		archive []byte
		dir     string
		want    string
	}{
		"a checkpoint":     {whole, filepath.Join(c.Data, ".backup-1", "x"), "is removed when the server starts"},
		"more behind it":   {append(bytes.Clone(whole), 0), filepath.Join(dir, "x8"), "sent more than a backup"},
		"there already":    {whole, filepath.Join(dir, "new", "good"), "is there already"},
		"below a file":     {whole, filepath.Join(file, "x"), "not a directory"},
		"broken off":       {whole[:len(whole)/2], filepath.Join(dir, "x1"), "the backup was broken off"},
		"without manifest": {nil, filepath.Join(dir, "x2"), "the backup was broken off"},
		"octets changed":   {flip(whole), filepath.Join(dir, "x3"), "checksums differ"},
		"leads out":        {archiveOf(t, tar.Header{Typeflag: tar.TypeReg, Name: "store/../../out"}), filepath.Join(dir, "x4"), "no backup has"},
		"leads in deeper":  {archiveOf(t, tar.Header{Typeflag: tar.TypeReg, Name: "store/a/b"}), filepath.Join(dir, "x5"), "no backup has"},
		"a link":           {archiveOf(t, tar.Header{Typeflag: tar.TypeSymlink, Name: "store/a", Linkname: "/etc/passwd"}), filepath.Join(dir, "x6"), "no backup has"},
		"something else":   {archiveOf(t, tar.Header{Typeflag: tar.TypeReg, Name: "authorized_keys"}), filepath.Join(dir, "x7"), "no backup has"},
	} {
		err := SaveBackup(t.Context(), sends(test.archive), c, test.dir)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
		if _, err := os.Lstat(test.dir); err == nil && name != "there already" {
			t.Errorf("%s: something is left", name)
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 2 {
		t.Errorf("in the directory above: %v", entries)
	}
}

// flip changes an octet in the middle of the largest file of an archive.
func flip(archive []byte) []byte {
	archive = bytes.Clone(archive)
	r := bytes.NewReader(archive)
	var largest, at int64
	for files := tar.NewReader(r); ; {
		h, err := files.Next()
		if err != nil {
			break
		}
		if h.Size > largest {
			largest, at = h.Size, int64(len(archive))-int64(r.Len())
		}
	}
	archive[at+largest/2] ^= 1
	return archive
}

func archiveOf(t *testing.T, h tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := errors.Join(w.WriteHeader(&h), w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestRestoreSeesDamage: a backup whose files are not as they were written is not restored.
func TestRestoreSeesDamage(t *testing.T) {
	t.Parallel()
	whole, c := backupOf(t)
	dir := filepath.Join(t.TempDir(), "backup")
	if err := SaveBackup(t.Context(), sends(whole), c, dir); err != nil {
		t.Fatal(err)
	}
	c.Data = t.TempDir()
	files, err := filepath.Glob(filepath.Join(dir, "store", "*.log"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil || len(text) == 0 {
		t.Fatal(len(text), err)
	}
	text[len(text)/2] ^= 1
	if err := os.WriteFile(files[0], text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Restore(c, dir); err == nil || !strings.Contains(err.Error(), "the backup is damaged: its file store/"+filepath.Base(files[0])) {
		t.Errorf("restored: %v", err)
	}
	text[len(text)/2] ^= 1
	if err := os.WriteFile(files[0], text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Restore(c, dir); err != nil {
		t.Error(err)
	}
}

// TestCheckpointsOfTheKilledGo: whoever opens the store removes what a backup left that was killed.
func TestCheckpointsOfTheKilledGo(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "[data]*")
	c := config.Default()
	c.Hostname, c.Data = "mail.example.test", data
	leave := func() {
		if err := os.MkdirAll(filepath.Join(data, ".backup-123", "store"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	leave()
	o, err := OpenOffline(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	checkNoCheckpoint(t, data)
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	leave()
	n, err := New(Options{Config: c, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	checkNoCheckpoint(t, data)
	if err := n.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// failsLate is a node that sends this as its backup, and fails then.
type failsLate struct {
	sends
	err error
}

func (f failsLate) Backup(ctx context.Context, w io.Writer) error {
	return errors.Join(f.sends.Backup(ctx, w), f.err)
}

// TestBackupThatFailsLate: an error behind the last octet is one, and is told once.
func TestBackupThatFailsLate(t *testing.T) {
	t.Parallel()
	whole, c := backupOf(t)
	late := errors.New("no more links")
	for _, archive := range [][]byte{whole, flip(whole)} {
		dir := filepath.Join(t.TempDir(), "backup")
		err := SaveBackup(t.Context(), failsLate{archive, late}, c, dir)
		if !errors.Is(err, late) || strings.Count(err.Error(), late.Error()) != 1 {
			t.Error(err)
		}
		if _, err := os.Lstat(dir); err == nil {
			t.Error("something is left")
		}
	}
}
