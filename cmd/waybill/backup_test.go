package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestBackupRestoreVerify: a backup taken while the server runs has what was acknowledged until then, and a server that
// was set up from it serves that.
func TestBackupRestoreVerify(t *testing.T) {
	s := newServer(t, "")
	s.start()
	for range 5 {
		send(t, s)
	}
	backup := filepath.Join(t.TempDir(), "backup")
	s.expect(s.do(0, "verify"), "no damage found (5 messages in mailboxes")
	s.expect(s.do(0, "backup", backup), backup)
	s.expect(s.do(1, "backup", backup), "is there already")
	send(t, s)
	s.expect(s.do(1, "restore", backup), "there is a store")
	s.stop()
	s.expect(s.do(0, "verify", "--json"), `"messages":6`)
	data := filepath.Join(s.dir, "data")
	if err := os.RemoveAll(data); err != nil {
		t.Fatal(err)
	}
	s.expect(s.do(1, "restore", t.TempDir()), "is no backup")
	s.expect(s.do(0, "restore", backup), "no damage found (5 messages in mailboxes")
	s.start()
	if n := len(fetch(t, s, 5)); n != 5 {
		t.Errorf("%d messages after the restore, want 5", n)
	}
	if _, err := os.Stat(filepath.Join(data, "store.restoring")); err == nil {
		t.Error("parts of the restore are left")
	}
}
