package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/storecopy"
)

// bulkyMbox makes an mbox of small messages, and some large ones.
func bulkyMbox(t *testing.T, messages int) (name string) {
	t.Helper()
	name = filepath.Join(t.TempDir(), "mbox")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	for i := range messages {
		lines := 20 + rand.IntN(80)
		if i%200 == 0 {
			lines = 10_000
		}
		fmt.Fprintf(w, "From x@y.test Fri Nov 27 20:00:00 2026\nFrom: x@y.test\nMessage-ID: <%d@y.test>\nSubject: %d\n\n", i, i)
		for range lines {
			fmt.Fprintf(w, "%x %x %x\n", rand.Uint64(), rand.Uint64(), rand.Uint64())
		}
		fmt.Fprintln(w)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return name
}

// copied is the last line of store copy --json.
type copied struct {
	Done                            bool
	Keys, Octets, Resumed, Repaired int64
	SHA256                          string
}

// copyAndKill copies, kills the process some times when so much is there as grown tells, and then copies to the end. The first time hold
// keeps the copy from ending before it is killed; it may be nil.
func copyAndKill(t *testing.T, from, to string, hold func() (release func()), grown func() int64) (r copied) {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	for round := range 4 {
		release := func() {}
		if round == 0 && hold != nil {
			release = hold()
		}
		cmd := exec.Command(path, "store", "copy", from, to, "--json")
		var out bytes.Buffer
		cmd.Stdout = &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		enough := grown() + 64<<10 + rand.Int64N(1<<20)
		alive := true
		for alive && grown() < enough {
			select {
			case <-ended:
				alive = false
			case <-time.After(20 * time.Millisecond):
			}
		}
		_ = cmd.Process.Kill()
		if alive {
			<-ended
		}
		release()
		if cmd.ProcessState.Success() { // it was faster than the kill
			return lastCopied(t, out.String())
		}
	}
	out, errOut, status := waybill(t, "", "store", "copy", from, to, "--json")
	if status != 0 {
		t.Fatalf("%s%s", out, errOut)
	}
	return lastCopied(t, out)
}

// lastCopied is the last line of what a copy printed.
func lastCopied(t *testing.T, out string) (r copied) {
	t.Helper()
	last := out[strings.LastIndexByte(strings.TrimSpace(out), '\n')+1:]
	if err := json.Unmarshal([]byte(last), &r); err != nil || !r.Done {
		t.Fatalf("%s%v", out, err)
	}
	return r
}

// diskUse is how many octets lie below a directory.
func diskUse(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if info, err := d.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil
	})
	return n
}

// exported is all mail of the test's user.
func exported(t *testing.T, s *server) []byte {
	t.Helper()
	mbox := filepath.Join(t.TempDir(), "mbox")
	s.do(0, "export", testUser, "--mbox", mbox)
	content, err := os.ReadFile(mbox)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// storeCopy copies, and wants that exit status.
func storeCopy(t *testing.T, status int, from, to string) string {
	t.Helper()
	out, errOut, got := waybill(t, "", "store", "copy", from, to)
	if got != status {
		t.Fatalf("%s to %s: status %d, want %d: %s%s", from, to, got, status, out, errOut)
	}
	return out + errOut
}

// schemaIn is the parameter that emptyDatabase has put into a URL.
func schemaIn(t *testing.T, database string) (parameter string) {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	return "search_path=" + u.Query().Get("search_path")
}

// holdCopy keeps a copy into a database from writing a key behind most others, and so from ending, until release is called.
func holdCopy(t *testing.T, schema string) (release func()) {
	t.Helper()
	sql := fmt.Sprintf(`BEGIN; INSERT INTO waybill_kv (key, version, value) VALUES ('\x%x', 1, '')`, keys.Octets(testUser))
	return databases.Get(t).Hold(t, sql, schema)
}

// TestStoreCopyIsKilled: the copy of a store into a database, and the one back from there, are killed at random moments, go on, and
// are whole in the end. What is half done no server serves.
func TestStoreCopyIsKilled(t *testing.T) {
	t.Parallel()
	const messages = 2000
	embedded := newServer(t, "")
	embedded.do(0, "import", testUser, "--mbox", bulkyMbox(t, messages))
	database := emptyDatabase(t)
	there := configure(t, database, patient)
	there.do(0, "store", "migrate")
	schema := schemaIn(t, database)
	size := func() int64 {
		n, err := strconv.ParseInt(databases.Get(t).Query(t, "SELECT coalesce(sum(octet_length(value)), 0)::text FROM waybill_kv", schema)[0], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	hold := func() func() { return holdCopy(t, schema) }
	to := copyAndKill(t, filepath.Join(embedded.dir, "data"), there.config, hold, size)
	there.expect(there.do(0, "verify"), fmt.Sprintf("no damage found (%d messages in mailboxes", messages))
	back := configure(t, "", patient)
	data := filepath.Join(back.dir, "data")
	from := copyAndKill(t, there.config, data, nil, func() int64 { return diskUse(data) })
	back.expect(back.do(0, "verify"), fmt.Sprintf("no damage found (%d messages in mailboxes", messages))
	t.Logf("there: %+v\nback: %+v", to, from)
	if to.Resumed == 0 || to.Repaired+from.Repaired > 0 || from.Keys != to.Keys || from.SHA256 != to.SHA256 {
		t.Errorf("there: %+v, back: %+v", to, from)
	}
	want := exported(t, embedded)
	for _, s := range []*server{there, back} {
		if got := exported(t, s); !bytes.Equal(got, want) {
			t.Errorf("%d octets of mail, want the %d that there were", len(got), len(want))
		}
		s.start()
		send(t, s)
	}
}

// TestMovingAsTheManualSays: its lines as they are, where the new configuration is a copy of the old one, with the same data directory; and the
// way back. What has the directory meanwhile is refused.
func TestMovingAsTheManualSays(t *testing.T) {
	t.Parallel()
	s := newServer(t, "")
	data := filepath.Join(s.dir, "data")
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(s.dir, "postgres.toml")
	moved := strings.Replace(string(text), `store = ""`, fmt.Sprintf("store = %q", emptyDatabase(t)), 1)
	if err := os.WriteFile(config, []byte(moved), 0o600); err != nil {
		t.Fatal(err)
	}
	there := *s
	there.config = config
	there.do(0, "store", "migrate")
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(data, link); err != nil {
		t.Fatal(err)
	}
	s.start()
	s.expect(storeCopy(t, 1, data, config), "another server or command works with it")
	s.stop()
	s.expect(storeCopy(t, 0, link, config), "copied and compared")
	there.expect(there.do(0, "account", "list"), testUser)
	back := filepath.Join(t.TempDir(), "waybill-new")
	s.expect(storeCopy(t, 0, config, back), "copied and compared")
	if err := os.RemoveAll(filepath.Join(data, "store")); err != nil {
		t.Fatal(err)
	}
	s.expect(storeCopy(t, 0, config, data), "copied and compared") // to where it came from
	s.expect(s.do(0, "account", "list"), testUser)
}

// TestHalfCopiedStoreIsNotServed: by no command but the copy that ends it.
func TestHalfCopiedStoreIsNotServed(t *testing.T) {
	t.Parallel()
	embedded := newServer(t, "")
	embedded.do(0, "import", testUser, "--mbox", bulkyMbox(t, 500))
	database := emptyDatabase(t)
	there := configure(t, database, patient)
	there.do(0, "store", "migrate")
	schema := schemaIn(t, database)
	release := holdCopy(t, schema)
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "store", "copy", filepath.Join(embedded.dir, "data"), database)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	begun := func() bool {
		return len(databases.Get(t).Query(t, "SELECT key FROM waybill_kv WHERE key = 'copying'", schema)) > 0
	}
	for deadline := time.Now().Add(time.Minute); !begun() && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	release()
	for _, command := range []string{"serve", "verify"} {
		there.expect(there.do(1, command), "is an unfinished copy of "+filepath.Join(embedded.dir, "data", "store"), "waybill store copy")
	}
	there.expect(storeCopy(t, 1, there.config, t.TempDir()), "end that first")
	storeCopy(t, 0, filepath.Join(embedded.dir, "data"), there.config)
	there.do(0, "verify")
}

// TestStoreCopyRefuses: what is in use, what is no store, and what is full already.
func TestStoreCopyRefuses(t *testing.T) {
	t.Parallel()
	s := newServer(t, "")
	data := filepath.Join(s.dir, "data")
	empty := filepath.Join(t.TempDir(), "new")
	backup := filepath.Join(t.TempDir(), "backup")
	s.do(0, "backup", backup)
	for _, c := range []struct {
		from, to, says string
		status         int
	}{
		{data, data, "is the source and the target", 1},
		{data, s.config, "is the source and the target", 1},
		{filepath.Join(data, "store"), empty, "name the data directory, " + data, 2},
		{t.TempDir(), empty, "there is no store in", 1},
		{backup, empty, "is a backup: restore it", 1},
		{data, "postgres://u:hush@db", "names no database", 2},
		{data, "postgres://u:hush@127.0.0.1:1/w", "connection refused", 1},
		{data, emptyDatabase(t), "waybill store migrate", 1},
	} {
		out := storeCopy(t, c.status, c.from, c.to)
		if !strings.Contains(out, c.says) || strings.Contains(out, "hush") {
			t.Errorf("%s to %s: %s", c.from, c.to, out)
		}
	}
	s.expect(storeCopy(t, 0, data, empty), "copied and compared")
	s.expect(storeCopy(t, 1, data, empty), "there is a store already")
	s.start()
	s.expect(storeCopy(t, 1, data, filepath.Join(t.TempDir(), "other")), "another server or command works with it")
}

// TestStoreCopyAdvises: whoever reads why a copy ended early knows what is in TO, and what the same command would do.
func TestStoreCopyAdvises(t *testing.T) {
	t.Parallel()
	away := errors.New("the server is away")
	for _, c := range []struct {
		err   error
		began bool
		says  string
	}{
		{away, true, "TO is not complete: the same command goes on from here"},
		{storecopy.ErrTargetUsed, true, "what was written to it is gone then"},
		{fmt.Errorf("%w: %w", store.ErrUnknown, away), true, "a store, which is complete then"},
		{fmt.Errorf("%w: %w", store.ErrUnknown, away), false, "give the same command again"},
		{storecopy.ErrNotEmpty, false, "where the end of a copy to it was not seen, it is complete"},
	} {
		if err := adviseCopy(t.Context(), c.err, c.began); !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v, began: %v: %v", c.err, c.began, err)
		}
	}
	if err := adviseCopy(t.Context(), away, false); err != away {
		t.Error(err)
	}
}
