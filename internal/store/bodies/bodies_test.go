package bodies_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"waybill/internal/store"
	"waybill/internal/store/bodies"
	"waybill/internal/store/keys"
	"waybill/internal/store/pebble"
	"waybill/internal/store/record"
)

// open returns a store in memory with small tables.
func open(t testing.TB, fs vfs.FS) *pebble.Store {
	t.Helper()
	st, err := pebble.Open(pebble.Options{
		Dir: "store", FS: fs, MemTableSize: 1 << 20, ReopenPauses: []time.Duration{time.Millisecond},
	})
	if err != nil {
		t.Fatal("open the store:", err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

// octets returns n octets that look like nothing else.
func octets(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)}).Read(b)
	return b
}

// write writes content in pieces of at most piece octets.
func write(t testing.TB, w io.Writer, content []byte, piece int) {
	t.Helper()
	for len(content) > 0 {
		n, err := w.Write(content[:min(piece, len(content))])
		if err != nil {
			t.Fatal("write:", err)
		}
		content = content[n:]
	}
}

// enter makes a body held by holder.
func enter(t testing.TB, st store.Store, s *bodies.Bodies, prefix, content []byte, holder bodies.Holder) bodies.Body {
	t.Helper()
	d := s.NewDraft()
	defer d.Discard()
	write(t, d, content, 5000)
	body := finish(t, st, d, prefix, holder)
	d.Committed()
	return body
}

// finish commits a draft, which is not told.
func finish(t testing.TB, st store.Store, d *bodies.Draft, prefix []byte, holder bodies.Holder) bodies.Body {
	t.Helper()
	var b store.Batch
	body, err := d.Finish(&b, prefix, holder)
	if err != nil {
		t.Fatal("finish:", err)
	}
	commit(t, st, &b)
	return body
}

func commit(t testing.TB, st store.Store, b *store.Batch) store.Result {
	t.Helper()
	r, err := st.Commit(context.Background(), b)
	if err != nil {
		t.Fatal("commit:", err)
	}
	return r
}

// refer commits a further reference.
func refer(st store.Store, s *bodies.Bodies, r bodies.Reference) error {
	snap, err := st.Snapshot()
	if err != nil {
		return err
	}
	defer snap.Close()
	var b store.Batch
	if err := s.Refer(snap, &b, r); err != nil {
		return err
	}
	_, err = st.Commit(context.Background(), &b)
	return err
}

// count returns the number of keys with that prefix.
func count(t testing.TB, st store.Store, prefix []byte) (n int) {
	t.Helper()
	snap, err := st.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	for _, err := range snap.Scan(store.Prefix(prefix)) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

func sweep(t testing.TB, s *bodies.Bodies) int {
	t.Helper()
	n, err := s.Sweep(context.Background(), time.Hour)
	if err != nil {
		t.Fatal("sweep:", err)
	}
	return n
}

const (
	headSize  = 64 << 10
	chunkSize = 256 << 10
)

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	st := open(t, vfs.NewMem())
	s := bodies.New(st)
	for _, size := range []int{0, 1, 8 << 10, headSize - 1, headSize, headSize + 1, headSize + chunkSize - 1, headSize + chunkSize,
		headSize + chunkSize + 1, headSize + 2*chunkSize, 1_000_003} {
		for _, prefixSize := range []int{0, 1, 300, 2 << 10, 2<<10 + 1, 100_000} {
			content, prefix := octets(size), octets(prefixSize)
			body := enter(t, st, s, prefix, content, "h")
			if body.Size != int64(size) || body.PrefixSize != int64(prefixSize) {
				t.Fatalf("%d+%d: body %+v", prefixSize, size, body)
			}
			checkContent(t, s, body, append(prefix, content...))
		}
	}
}

func checkContent(t *testing.T, s *bodies.Bodies, body bodies.Body, want []byte) {
	t.Helper()
	r, err := s.Open(t.Context(), body)
	if err != nil {
		t.Fatalf("open %+v: %v", body, err)
	}
	defer r.Close()
	var got bytes.Buffer
	if n, err := r.WriteTo(&got); err != nil || n != int64(len(want)) || !bytes.Equal(got.Bytes(), want) {
		t.Fatalf("%+v: WriteTo gave %d octets, %v; equal %v", body, n, err, bytes.Equal(got.Bytes(), want))
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if len(want) < 1<<20 {
		if err := iotest.TestReader(struct{ io.ReadSeeker }{r}, want); err != nil {
			t.Fatalf("%+v: %v", body, err)
		}
	}
	for range 10 { // anywhere
		at := rand.IntN(len(want) + 1)
		if _, err := r.Seek(int64(at), io.SeekStart); err != nil {
			t.Fatal(err)
		}
		p := make([]byte, min(100, len(want)-at))
		if _, err := io.ReadFull(r, p); err != nil || !bytes.Equal(p, want[at:at+len(p)]) {
			t.Fatalf("%+v: wrong octets at %d: %v", body, at, err)
		}
	}
}

func TestSmallMessageIsOneKey(t *testing.T) {
	t.Parallel()
	st := open(t, vfs.NewMem())
	s := bodies.New(st)
	enter(t, st, s, octets(300), octets(headSize), "h")
	if n := count(t, st, []byte("body/")); n != 1 {
		t.Errorf("%d chunks, want 1", n)
	}
	if n := count(t, st, nil); n != 2 {
		t.Errorf("%d keys in all, want 2: the chunk and the reference", n)
	}
}

// TestFinishAgain: after a conflict the same draft is finished in another batch.
func TestFinishAgain(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1000, 700_000} {
		st := open(t, vfs.NewMem())
		s := bodies.New(st)
		content := octets(size)
		d := s.NewDraft()
		write(t, d, content, 1<<20)
		taken := []byte("taken")
		commit(t, st, &store.Batch{Puts: []store.Put{{Key: taken}}})
		var b store.Batch
		if _, err := d.Finish(&b, []byte("first"), "one"); err != nil {
			t.Fatal(err)
		}
		b.Create(taken, nil)
		if _, err := st.Commit(t.Context(), &b); !errors.Is(err, store.ErrConflict) {
			t.Fatal("commit of a batch with a conflict:", err)
		}
		b = store.Batch{}
		body, err := d.Finish(&b, []byte("second, longer"), "two")
		if err != nil {
			t.Fatal(err)
		}
		commit(t, st, &b)
		d.Committed()
		d.Discard()
		checkContent(t, s, body, append([]byte("second, longer"), content...))
		if n := count(t, st, keys.Refs(body.ID)); n != 1 {
			t.Errorf("%d references, want 1", n)
		}
		if n := count(t, st, keys.Drafts()); n != 0 {
			t.Errorf("%d marks of drafts are left", n)
		}
	}
}

func TestDiscard(t *testing.T) {
	t.Parallel()
	st := open(t, vfs.NewMem())
	s := bodies.New(st)
	d := s.NewDraft()
	d.Discard() // nothing was written
	d = s.NewDraft()
	write(t, d, octets(900_000), 100_000)
	if count(t, st, keys.Drafts()) != 1 || count(t, st, []byte("body/")) == 0 {
		t.Fatal("the draft has no chunks in the store")
	}
	d.Discard()
	d.Discard()
	if n := count(t, st, nil); n != 0 {
		t.Errorf("%d keys are left of a discarded draft", n)
	}
	if _, err := d.Write([]byte("x")); err == nil {
		t.Error("a discarded draft takes more")
	}
	if _, err := d.Finish(&store.Batch{}, nil, "h"); err == nil {
		t.Error("a discarded draft can be finished")
	}
}

// TestDiscardAfterUnknownOutcome: a batch that was applied although the caller could not know keeps its chunks.
func TestDiscardAfterUnknownOutcome(t *testing.T) {
	t.Parallel()
	st := open(t, vfs.NewMem())
	s := bodies.New(st)
	content := octets(900_000)
	d := s.NewDraft()
	write(t, d, content, 100_000)
	body := finish(t, st, d, nil, "h")
	d.Discard() // without Committed
	checkContent(t, s, body, content)
}

func TestReferAndRelease(t *testing.T) {
	t.Parallel()
	st := open(t, vfs.NewMem())
	s := bodies.New(st)
	content := octets(400_000)
	body := enter(t, st, s, nil, content, "spool")
	if err := refer(st, s, bodies.Reference{Body: body.ID, From: "nobody", To: "x"}); !errors.Is(err, bodies.ErrReleased) {
		t.Errorf("a reference from nobody: %v, want ErrReleased", err)
	}
	if err := refer(st, s, bodies.Reference{Body: body.ID, From: "spool", To: "mail"}); err != nil {
		t.Fatal(err)
	}
	release(t, st, s, body, "spool")
	if n := sweep(t, s); n != 0 {
		t.Errorf("%d bodies swept, the mailbox holds it", n)
	}
	checkContent(t, s, body, content)

	// The reference is seen in a snapshot, and gone when the batch comes.
	snap, err := st.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	var late store.Batch
	if err := s.Refer(snap, &late, bodies.Reference{Body: body.ID, From: "mail", To: "late"}); err != nil {
		t.Fatal(err)
	}
	release(t, st, s, body, "mail")
	if _, err := st.Commit(t.Context(), &late); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a reference from one that was released: %v, want ErrConflict", err)
	}
	if n := sweep(t, s); n != 1 {
		t.Errorf("%d bodies swept, want 1", n)
	}
	if n := count(t, st, nil); n != 0 {
		t.Errorf("%d keys are left", n)
	}
	if _, err := s.Open(t.Context(), body); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("open of a swept body: %v, want ErrNotFound", err)
	}
}

func release(t testing.TB, st store.Store, s *bodies.Bodies, body bodies.Body, h bodies.Holder) {
	t.Helper()
	var b store.Batch
	s.Release(&b, body, h)
	commit(t, st, &b)
}

// TestReleaseBesideRefer: where the same batch makes another reference, no mark is needed.
func TestReleaseBesideRefer(t *testing.T) {
	t.Parallel()
	st := open(t, vfs.NewMem())
	s := bodies.New(st)
	body := enter(t, st, s, nil, octets(100), "spool")
	snap, err := st.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	var b store.Batch
	if err := s.Refer(snap, &b, bodies.Reference{Body: body.ID, From: "spool", To: "mail"}); err != nil {
		t.Fatal(err)
	}
	s.Release(&b, body, "spool")
	commit(t, st, &b)
	if n := count(t, st, keys.Sweeps()); n != 0 {
		t.Errorf("%d marks, want none", n)
	}
}

// TestSweepAgainstModel does random things to many bodies: one that is held is never swept, one that is not is gone
// after the next sweep.
func TestSweepAgainstModel(t *testing.T) {
	t.Parallel()
	st := open(t, vfs.NewMem())
	s := bodies.New(st)
	held := map[bodies.ID]map[bodies.Holder]bool{}
	known := map[bodies.ID]bodies.Body{}
	content := octets(100)
	large := octets(headSize + 10)
	for step := range 1500 {
		switch rand.IntN(8) {
		case 0, 1:
			c := content
			if step%20 == 0 {
				c = large
			}
			body := enter(t, st, s, nil, c, "h0")
			held[body.ID], known[body.ID] = map[bodies.Holder]bool{"h0": true}, body
		case 2, 3, 4:
			for id, hs := range held {
				for from := range hs {
					to := bodies.Holder(fmt.Sprintf("h%d", step))
					if err := refer(st, s, bodies.Reference{Body: id, From: from, To: to}); err != nil {
						t.Fatal(err)
					}
					hs[to] = true
					break
				}
				break
			}
		case 5, 6:
			for id, hs := range held {
				for h := range hs {
					release(t, st, s, known[id], h)
					delete(hs, h)
					break
				}
				break
			}
		case 7:
			if rand.IntN(10) > 0 {
				continue
			}
			sweep(t, s)
			for id, hs := range held {
				n := count(t, st, keys.Chunks(id))
				if len(hs) > 0 && n == 0 {
					t.Fatalf("body %s is held and was swept", id)
				}
				if len(hs) == 0 && n > 0 {
					t.Fatalf("body %s is not held and was not swept", id)
				}
				if len(hs) == 0 {
					delete(held, id)
				}
			}
		}
	}
}

// TestSweepManyMarks: more marks than one batch takes, several of one body.
func TestSweepManyMarks(t *testing.T) {
	t.Parallel()
	st := open(t, vfs.NewMem())
	s := bodies.New(st)
	const many = 700
	for i := range many {
		body := enter(t, st, s, nil, octets(10), "a")
		if i%3 == 0 {
			if err := refer(st, s, bodies.Reference{Body: body.ID, From: "a", To: "b"}); err != nil {
				t.Fatal(err)
			}
			release(t, st, s, body, "b")
		}
		release(t, st, s, body, "a")
	}
	if n := sweep(t, s); n != many {
		t.Errorf("%d bodies swept, want %d", n, many)
	}
	if n := count(t, st, nil); n != 0 {
		t.Errorf("%d keys are left", n)
	}
}

// TestIndexGoesWithTheBody: the index of a body's parts is deleted with it, whether it is small or large, swept or ended.
func TestIndexGoesWithTheBody(t *testing.T) {
	t.Parallel()
	for _, size := range []int{10, 500_000} {
		st := open(t, vfs.NewMem())
		s := bodies.New(st)
		for _, let := range []func(*store.Batch, bodies.Body, bodies.Holder){s.Release, s.Drop, s.End} {
			d := s.NewDraft()
			defer d.Discard()
			write(t, d, octets(size), 5000)
			d.SetIndex([]byte("index"))
			body := finish(t, st, d, nil, "h")
			d.Committed()
			if index, err := s.Index(t.Context(), body); err != nil || string(index) != "index" {
				t.Fatalf("index %q, %v", index, err)
			}
			var b store.Batch
			let(&b, body, "h")
			commit(t, st, &b)
			sweep(t, s)
			if n := count(t, st, nil); n != 0 {
				t.Errorf("%d keys are left of a body of %d octets", n, size)
			}
		}
	}
}

// TestSweepDrafts: what earlier processes left goes first; what this one works on stays, whatever its age.
func TestSweepDrafts(t *testing.T) {
	t.Parallel()
	st := open(t, vfs.NewMem())
	write(t, bodies.New(st).NewDraft(), octets(700_000), 1<<20) // its process is no more
	s := bodies.New(st)
	d := s.NewDraft()
	content := octets(800_000)
	write(t, d, content, 1<<20)
	for range 2 {
		if _, err := s.Sweep(t.Context(), -time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(t, st, keys.Drafts()); n != 1 {
		t.Errorf("%d drafts are left, want that under way", n)
	}
	body := finish(t, st, d, nil, "h")
	checkContent(t, s, body, content)

	later := bodies.New(st).NewDraft() // of another process that came after the first sweep
	write(t, later, octets(700_000), 1<<20)
	if n, err := s.Sweep(t.Context(), time.Hour); n != 0 || err != nil {
		t.Errorf("a young draft was swept: %d, %v", n, err)
	}
	if n, err := s.Sweep(t.Context(), -time.Hour); n != 1 || err != nil {
		t.Errorf("an old draft was not swept: %d, %v", n, err)
	}
	var b store.Batch
	if _, err := later.Finish(&b, nil, "h2"); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Commit(t.Context(), &b); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a draft whose chunks were swept is finished: %v, want ErrConflict", err)
	}
}

func TestTornChunkIsAnError(t *testing.T) {
	t.Parallel()
	st := open(t, vfs.NewMem())
	s := bodies.New(st)
	body := enter(t, st, s, nil, octets(500_000), "h")
	commit(t, st, &store.Batch{Puts: []store.Put{{Key: keys.Chunk(body.ID, 1), Value: []byte("short")}}})
	r, err := s.Open(t.Context(), body)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := r.WriteTo(io.Discard); n != headSize || !errors.Is(err, record.ErrCorrupt) {
		t.Errorf("%d octets, %v; want %d and ErrCorrupt", n, err, headSize)
	}
}

func TestBodyInARecord(t *testing.T) {
	t.Parallel()
	body := bodies.Body{ID: bodies.ID{1, 2, 255}, PrefixSize: 300, Size: 1 << 35}
	r := record.NewReader(body.Append([]byte{1}), 1)
	if got := bodies.Read(r); got != body || r.End() != nil {
		t.Errorf("%+v, %v", got, r.End())
	}
	text, err := body.ID.MarshalText()
	var id bodies.ID
	if err != nil || id.UnmarshalText(text) != nil || id != body.ID {
		t.Errorf("%s gives %v", text, id)
	}
	for _, bad := range []string{"", "00", "zz" + string(text[2:]), string(text) + "00"} {
		if id.UnmarshalText([]byte(bad)) == nil {
			t.Errorf("%q is taken for an id", bad)
		}
	}
}
