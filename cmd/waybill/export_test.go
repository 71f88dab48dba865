package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"waybill/internal/mailbox"
	"waybill/internal/store"
	"waybill/internal/store/bodies"
	"waybill/internal/store/keys"
	"waybill/internal/store/pebble"
)

// damage breaks the records of messages of the test user's INBOX, and deletes the content of one more.
func damage(t *testing.T, s *server, from, to, lost uint32) {
	t.Helper()
	st, err := pebble.Open(pebble.Options{Dir: filepath.Join(s.dir, "data", "store")})
	if err != nil {
		t.Fatal(err)
	}
	x := keys.Box{Account: testUser, Number: 1}
	var b store.Batch
	for uid := from; uid <= to; uid++ {
		b.Put(x.Message(uid), []byte("\x01broken"))
	}
	b.DeleteRanges = append(b.DeleteRanges, store.Prefix(keys.Chunks(bodyOf(t, st, x.Message(lost)))))
	if _, err := st.Commit(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
}

func bodyOf(t *testing.T, st store.Store, key []byte) bodies.ID {
	t.Helper()
	snap, err := st.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	value, _, err := snap.Get(key)
	if err != nil {
		t.Fatal(err)
	}
	entry, err := mailbox.DecodeEntry(value)
	if err != nil {
		t.Fatal(err)
	}
	return entry.Body.ID
}

// TestExportLeavesOutWhatIsDamaged: what is damaged is told and left out, be it a whole page; all else is there.
func TestExportLeavesOutWhatIsDamaged(t *testing.T) {
	for _, running := range []bool{false, true} {
		t.Run(fmt.Sprintf("running=%v", running), func(t *testing.T) {
			t.Parallel()
			s := newServer(t, "")
			s.do(0, "import", testUser, "--maildir", writeMaildir(t, 1100))
			damage(t, s, 100, 1050, 7) // the pages have 500 messages
			if running {
				s.start()
			}
			dir := t.TempDir()
			out := s.do(1, "export", testUser, "--maildir", filepath.Join(dir, "out"))
			s.expect(out, "150 messages of "+testUser+" exported", "952 messages are damaged and were left out",
				"left out message 7 of mailbox INBOX", "left out message 100 of mailbox INBOX", "left out message 1050 of mailbox INBOX")
			if got := contents(t, filepath.Join(dir, "out")); len(got) != 150 {
				t.Errorf("%d messages came out", len(got))
			}
			s.expect(s.do(1, "export", testUser, "--mbox", filepath.Join(dir, "mbox"), "--json"), `{"damaged":952,"exported":148,"known":0}`)
			s.expect(s.do(0, "import", testUser, "--mbox", filepath.Join(dir, "mbox"), "--mailbox", "Again"), "148 messages imported")
		})
	}
}

// TestExportFollowsNoLink: nothing that stands beside an mbox is written through.
func TestExportFollowsNoLink(t *testing.T) {
	t.Parallel()
	s := newServer(t, "")
	s.do(0, "import", testUser, "--maildir", writeMaildir(t, 1))
	dir := t.TempDir()
	precious := filepath.Join(dir, "precious")
	if err := os.WriteFile(precious, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(precious, filepath.Join(dir, "mbox.part")); err != nil {
		t.Fatal(err)
	}
	s.do(0, "export", testUser, "--mbox", filepath.Join(dir, "mbox"))
	if text, err := os.ReadFile(precious); string(text) != "mine" {
		t.Errorf("written through the link: %q, %v", text, err)
	}
	info, err := os.Lstat(filepath.Join(dir, "mbox"))
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 3 {
		t.Errorf("left behind: %v", files)
	}
}
