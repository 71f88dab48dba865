package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
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

// large is how many octets a large message has, so that its body has several chunks.
const large = 900 << 10

// medium is a body of one chunk. To say which bit of a block is wrong the engine tries them all: that takes the square of its
// size, a minute for 256 KiB.
const medium = 12 << 10

// withLarge returns a Maildir of n messages, the UIDs of some of which have a large body.
func withLarge(t *testing.T, n, large int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "Maildir")
	for _, sub := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for i := 1; i <= n; i++ {
		text := []byte(fmt.Sprintf("Subject: %d\n\nFrom here\n", i))
		for i%3 == 0 && len(text) < large { // which does not compress
			text = fmt.Appendf(text, "%x\n", []uint64{random.Uint64(), random.Uint64(), random.Uint64()})
		}
		if err := os.WriteFile(filepath.Join(dir, "cur", fmt.Sprintf("%03d.x:2,S", i)), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// texts returns what the messages of a Maildir have in them, and fails if something stands in its tmp.
func texts(t *testing.T, dir string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	files, _ := filepath.Glob(filepath.Join(dir, "cur", "*"))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found[string(text)] = true
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "tmp", "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	return found
}

// TestExportOutlivesTheDisk: a message whose content the disk has damaged, or that breaks off on the way, is told and left out
// of a Maildir and of an mbox; all others come whole.
func TestExportOutlivesTheDisk(t *testing.T) {
	const n = 30
	for name, harm := range map[string]struct {
		do   func(*testing.T, *server)
		size int
	}{"a chunk is gone": {loseChunks, large}, "octets flipped": {flipBlobs, medium}} {
		for _, running := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, running=%v", name, running), func(t *testing.T) {
				t.Parallel()
				s := newServer(t, "")
				in := withLarge(t, n, harm.size)
				s.do(0, "import", testUser, "--maildir", in)
				harm.do(t, s)
				if running {
					s.start()
				}
				dir := t.TempDir()
				out := s.do(1, "export", testUser, "--maildir", filepath.Join(dir, "out"))
				s.expect(out, "are damaged and were left out", "left out message ")
				want, got := texts(t, in), texts(t, filepath.Join(dir, "out"))
				whole := len(got)
				if damaged := strings.Count(out, "left out message "); damaged == 0 || damaged > n/3 || whole+damaged != n {
					t.Errorf("%d messages came out, %d are damaged: %.500s", whole, damaged, out)
				}
				for text := range got {
					if !want[text] {
						t.Errorf("not as it was: %.100q", text)
					}
				}
				s.expect(s.do(1, "export", testUser, "--mbox", filepath.Join(dir, "mbox"), "--json"),
					fmt.Sprintf(`{"damaged":%d,"exported":%d,"known":0}`, n-whole, whole))
				checkMbox(t, filepath.Join(dir, "mbox"), got)
			})
		}
	}
}

// checkMbox compares an mbox with the messages that it is to have.
func checkMbox(t *testing.T, file string, want map[string]bool) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	messages := strings.Split("\n"+string(text), "\nFrom ")[1:]
	if len(messages) != len(want) {
		t.Errorf("the mbox has %d messages, not %d", len(messages), len(want))
	}
	for _, m := range messages {
		_, m, _ = strings.Cut(m, "\n")
		m = strings.Replace(strings.TrimPrefix(m, "Status: RO\n"), "\n>From here", "\nFrom here", 1)
		if m = strings.TrimRight(m, "\n") + "\n"; !want[m] && !want[strings.TrimPrefix(m, "Status: R\n")] {
			t.Errorf("not as it was: %.100q", m)
		}
	}
}

// loseChunks deletes the third chunk of some messages.
func loseChunks(t *testing.T, s *server) {
	t.Helper()
	st, err := pebble.Open(pebble.Options{Dir: filepath.Join(s.dir, "data", "store")})
	if err != nil {
		t.Fatal(err)
	}
	x := keys.Box{Account: testUser, Number: 1}
	var b store.Batch
	for _, uid := range []uint32{3, 6, 30} {
		b.Delete(keys.Chunk(bodyOf(t, st, x.Message(uid)), 2))
	}
	if _, err := st.Commit(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
}

// flipBlobs damages the middle of the files that hold large values.
func flipBlobs(t *testing.T, s *server) {
	t.Helper()
	dir := filepath.Join(s.dir, "data", "store")
	st, err := pebble.Open(pebble.Options{Dir: dir}) // which writes what the log has into files
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	blobs, _ := filepath.Glob(filepath.Join(dir, "*.blob"))
	if len(blobs) == 0 {
		t.Fatal("no file of large values")
	}
	for _, blob := range blobs {
		text, err := os.ReadFile(blob)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 64 {
			text[len(text)/2+i] ^= 0xff
		}
		if err := os.WriteFile(blob, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
