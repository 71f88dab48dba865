package bodies_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"waybill/internal/store"
	"waybill/internal/store/bodies"
	"waybill/internal/store/keys"
	"waybill/internal/store/objects"
	"waybill/internal/store/objects/s3test"
	"waybill/internal/store/record"
)

const objectSize = 1 << 20

var shared = &s3test.Shared{}

func TestMain(m *testing.M) {
	status := m.Run()
	shared.Remove()
	os.Exit(status)
}

var places atomic.Int64

// place returns the options of a place of its own in a bucket of the server that all tests share.
func place(t testing.TB) objects.Options {
	t.Helper()
	o := shared.Get(t, "bodies").Options("bodies")
	o.Prefix = fmt.Sprintf("%d/", places.Add(1))
	return o
}

func newBucket(t testing.TB) *objects.Bucket { return s3test.Open(t, place(t)) }

// objectsIn returns the keys of the objects of bodies.
func objectsIn(t testing.TB, b *objects.Bucket) (all []string) {
	t.Helper()
	found, _, err := b.List(context.Background(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range found {
		if strings.Contains(o.Key, "/") {
			all = append(all, o.Key)
		}
	}
	return all
}

func TestObjectsRoundTrip(t *testing.T) {
	t.Parallel()
	st, bucket := open(t, vfs.NewMem()), newBucket(t)
	for _, inline := range []int64{0, 300_000, 1 << 20} {
		s := bodies.With(bodies.Options{Store: st, Objects: bucket, Inline: inline})
		least := max(inline, headSize)
		for _, size := range []int64{0, headSize, headSize + 1, 200_000, least, least + 1, headSize + objectSize, headSize + objectSize + 1, 2_500_000} {
			content, prefix := octets(int(size)), octets(300)
			before := len(objectsIn(t, bucket))
			body := enter(t, st, s, prefix, content, "h")
			if body.Size != size || body.InObjects != (size > least) {
				t.Fatalf("%d of %d inline: body %+v", size, inline, body)
			}
			checkContent(t, s, body, append(prefix, content...))
			checkEnd(t, s, body, append(prefix, content...))
			wantObjects, wantChunks := 0, 1+(max(size-headSize, 0)+chunkSize-1)/chunkSize
			if body.InObjects {
				wantObjects, wantChunks = int((size-headSize+objectSize-1)/objectSize), 1
			}
			if n := len(objectsIn(t, bucket)) - before; n != wantObjects || int(body.Objects()) != n {
				t.Errorf("%d of %d inline: %d objects, want %d", size, inline, n, wantObjects)
			}
			if n := count(t, st, keys.Chunks(body.ID)); int64(n) != wantChunks {
				t.Errorf("%d of %d inline: %d chunks, want %d", size, inline, n, wantChunks)
			}
			if sizes, err := s.ObjectSizes(t.Context(), body); err != nil || len(sizes) != wantObjects || wantObjects > 0 && sizes[0] != body.ChunkSize(1) {
				t.Errorf("sizes %v, %v", sizes, err)
			}
			release(t, st, s, body, "h")
		}
		sweep(t, s)
		if left := objectsIn(t, bucket); len(left) > 0 || count(t, st, []byte("body/"))+count(t, st, keys.Drafts())+count(t, st, keys.Sweeps()) > 0 {
			t.Errorf("left: %v", left)
		}
	}
}

// checkEnd reads ends of different lengths, amid other reading.
func checkEnd(t *testing.T, s *bodies.Bodies, body bodies.Body, want []byte) {
	t.Helper()
	r, err := s.Open(t.Context(), body)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for i, n := range []int{0, 1, 2, 100, 300} {
		if got, err := r.Last(n); err != nil || !bytes.Equal(got, want[len(want)-n:]) {
			t.Errorf("%+v: the last %d octets are %q, %v", body, n, got, err)
		}
		next := make([]byte, 10)
		if _, err := io.ReadFull(r, next); err != nil || !bytes.Equal(next, want[10*i:10*i+10]) {
			t.Errorf("%+v: after the last %d octets %q comes, %v", body, n, next, err)
		}
	}
}

// TestMixed: what came before there was an object store stays readable, and what lies in objects is an error that passes while there is none.
func TestMixed(t *testing.T) {
	t.Parallel()
	st, bucket := open(t, vfs.NewMem()), newBucket(t)
	plain, with := bodies.New(st), bodies.With(bodies.Options{Store: st, Objects: bucket})
	content := octets(700_000)
	old, body := enter(t, st, plain, nil, content, "h"), enter(t, st, with, nil, content, "h")
	checkContent(t, with, old, content)
	checkContent(t, with, body, content)
	r, err := plain.Open(t.Context(), body)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := r.WriteTo(io.Discard); n != headSize || !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "set bodies as it was") {
		t.Errorf("%d octets without the object store, %v", n, err)
	}
	// It is swept as far as that goes, and its objects when there is an object store again.
	release(t, st, plain, body, "h")
	release(t, st, plain, old, "h")
	if n := sweep(t, plain); n != 2 || len(objectsIn(t, bucket)) == 0 || count(t, st, []byte("body/")) > 0 {
		t.Errorf("%d swept", n)
	}
	sweep(t, with)
	if left := objectsIn(t, bucket); len(left) > 0 || count(t, st, keys.Drafts()) > 0 {
		t.Error("left:", left)
	}
}

func TestBodyInObjectsInARecord(t *testing.T) {
	t.Parallel()
	body := bodies.Body{ID: bodies.ID{1, 2, 255}, PrefixSize: 300, Size: 1 << 35, InObjects: true}
	value := body.Append([]byte{1})
	r := record.NewReader(value, 1)
	if got := bodies.Read(r); got != body || r.End() != nil {
		t.Errorf("%+v, %v", got, r.End())
	}
	for _, b := range []bodies.Body{{Size: headSize, InObjects: true}, {Size: 1<<40 + 1, InObjects: true}} { // none of these can be
		r := record.NewReader(b.Append([]byte{1}), 1)
		if got := bodies.Read(r); r.End() == nil {
			t.Errorf("%+v is read as %+v", b, got)
		}
	}
	// Programs that know nothing of objects refuse sizes above 1<<40.
	r = record.NewReader(value[17:], value[17])
	if r.Size(); r.Size() <= 1<<40 {
		t.Error("an older program would take the body for one in the store")
	}
}

// TestDiscardWithObjects: objects of a draft that came to nothing go with the next sweep, whatever kept it from being finished.
func TestDiscardWithObjects(t *testing.T) {
	t.Parallel()
	st, bucket := open(t, vfs.NewMem()), newBucket(t)
	s := bodies.With(bodies.Options{Store: st, Objects: bucket})
	gone := func(what string) {
		t.Helper()
		sweep(t, s)
		if left := objectsIn(t, bucket); len(left) > 0 || count(t, st, keys.Drafts()) > 0 {
			t.Errorf("%s: left: %v", what, left)
		}
	}
	d := s.NewDraft()
	write(t, d, octets(1_500_000), 100_000)
	if len(objectsIn(t, bucket)) != 1 || count(t, st, keys.Drafts()) != 1 {
		t.Fatal("the draft has no object")
	}
	d.Discard()
	gone("discarded")

	d = s.NewDraft() // finished, in a batch that nobody commits
	write(t, d, octets(1_500_000), 100_000)
	if _, err := d.Finish(&store.Batch{}, nil, "h"); err != nil || len(objectsIn(t, bucket)) != 2 {
		t.Fatal(err)
	}
	d.Discard()
	gone("finished and discarded")

	content := octets(1_500_000)
	d = s.NewDraft() // committed, and the outcome was not known
	write(t, d, content, 100_000)
	body := finish(t, st, d, nil, "h")
	d.Discard()
	sweep(t, s)
	checkContent(t, s, body, content)
	release(t, st, s, body, "h")
	gone("released")
}

// TestDropLost: what may be a body in objects, or in the store, goes with the next sweep, wherever it is, and no mark is left.
func TestDropLost(t *testing.T) {
	t.Parallel()
	st, bucket := open(t, vfs.NewMem()), newBucket(t)
	plain, with := bodies.New(st), bodies.With(bodies.Options{Store: st, Objects: bucket})
	for _, made := range []*bodies.Bodies{plain, with} {
		for _, dropped := range []*bodies.Bodies{made, with} {
			for _, size := range []int{1000, 1_500_000} {
				body := enter(t, st, made, nil, octets(size), "h")
				var b store.Batch
				dropped.DropLost(&b, body.ID, "h")
				commit(t, st, &b)
				sweep(t, dropped)
				if n := count(t, st, []byte("body/")) + count(t, st, keys.Drafts()) + count(t, st, keys.Sweeps()); n > 0 || len(objectsIn(t, bucket)) > 0 {
					t.Errorf("%d keys and %v are left of %+v", n, objectsIn(t, bucket), body)
				}
			}
		}
	}
}

// TestPutAfterTheSweep: a process that was frozen amid a write goes on after others have swept its draft. Nothing is acknowledged, and nothing is left.
func TestPutAfterTheSweep(t *testing.T) {
	t.Parallel()
	for _, at := range []int64{1, 2} { // the first object, which Write puts, or the second, which Finish does
		st, bucket := open(t, vfs.NewMem()), newBucket(t)
		var puts atomic.Int64
		other := bodies.With(bodies.Options{Store: st, Objects: bucket, Shared: true})
		frozen := &gate{Objects: bucket, before: func(key string) {
			if strings.Contains(key, "/") && puts.Add(1) == at {
				if _, err := other.Sweep(t.Context(), -time.Hour); err != nil {
					t.Error(err)
				}
				if n := count(t, st, keys.Drafts()) + len(objectsIn(t, bucket)); n > 0 {
					t.Errorf("%d marks and objects are left by the sweep", n)
				}
			}
		}}
		s := bodies.With(bodies.Options{Store: st, Objects: frozen, Shared: true})
		d := s.NewDraft()
		_, err := d.Write(octets(1_500_000))
		if err == nil {
			var b store.Batch
			if _, err = d.Finish(&b, nil, "h"); err == nil {
				_, err = st.Commit(t.Context(), &b)
			}
		}
		if !errors.Is(err, store.ErrConflict) {
			t.Errorf("a draft that was swept: %v", err)
		}
		if len(objectsIn(t, bucket)) == 0 {
			t.Fatal("the write came to nothing, and the test tests nothing")
		}
		d.Discard()
		sweep(t, other)
		if left := objectsIn(t, bucket); len(left) > 0 || count(t, st, keys.Drafts()) > 0 {
			t.Error("left:", left)
		}
	}
}

// gate does something before objects are written.
type gate struct {
	bodies.Objects
	before func(key string)
}

func (g *gate) Put(ctx context.Context, key string, data []byte) error {
	g.before(key)
	return g.Objects.Put(ctx, key, data)
}

// TestSharedStore: the first sweep of a node leaves the drafts of the others, and two that sweep at once do not hurt each other.
func TestSharedStore(t *testing.T) {
	t.Parallel()
	st, bucket := open(t, vfs.NewMem()), newBucket(t)
	one, two := bodies.With(bodies.Options{Store: st, Objects: bucket, Shared: true}), bodies.With(bodies.Options{Store: st, Objects: bucket, Shared: true})
	for _, size := range []int{700_000, 1_500_000} {
		content := octets(size)
		d := one.NewDraft()
		write(t, d, content, 1<<20)
		if n := sweep(t, two); n != 0 {
			t.Errorf("%d drafts of another node were swept", n)
		}
		body := finish(t, st, d, nil, "h")
		d.Committed()
		d.Discard()
		checkContent(t, two, body, content)
		release(t, st, one, body, "h")
		sweep(t, one)
	}
	for range 20 {
		d := one.NewDraft() // its node is dead
		write(t, d, octets(1_200_000), 1<<20)
	}
	errs := make(chan error)
	for _, s := range []*bodies.Bodies{bodies.With(bodies.Options{Store: st, Objects: bucket, Shared: true}), two} {
		go func() {
			_, err := s.Sweep(context.Background(), -time.Hour)
			errs <- err
		}()
	}
	for range 2 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if left := objectsIn(t, bucket); len(left) > 0 || count(t, st, []byte("body/"))+count(t, st, keys.Drafts()) > 0 {
		t.Error("left:", left)
	}
}

// TestCollect: objects that nothing tells of are deleted once they are old, and no others.
func TestCollect(t *testing.T) {
	t.Parallel()
	st, bucket := open(t, vfs.NewMem()), newBucket(t)
	s := bodies.With(bodies.Options{Store: st, Objects: bucket})
	body := enter(t, st, s, nil, octets(1_500_000), "h")
	draft := s.NewDraft()
	write(t, draft, octets(1_500_000), 1<<20)
	dead := enter(t, st, s, nil, octets(1_500_000), "h")
	release(t, st, s, dead, "h")
	sweep(t, s)
	late := dead.ID.String() + "/00000002"
	for _, key := range []string{late, "somebody/else", "store-of-another", dead.ID.String() + "/x"} {
		if err := bucket.Put(t.Context(), key, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	before := len(objectsIn(t, bucket))
	if n, err := s.Collect(t.Context(), time.Hour); n != 0 || err != nil {
		t.Errorf("%d young objects were collected, %v", n, err)
	}
	failing := bodies.With(bodies.Options{Store: unreadable{st}, Objects: bucket})
	if n, err := failing.Collect(t.Context(), -time.Hour); n != 0 || err == nil {
		t.Errorf("%d objects were collected by a store that cannot be read, %v", n, err)
	}
	if n, err := s.Collect(t.Context(), -time.Hour); n != 1 || err != nil {
		t.Errorf("%d objects were collected, %v", n, err)
	}
	if left := objectsIn(t, bucket); len(left) != before-1 || strings.Contains(strings.Join(left, " "), late) {
		t.Error("left:", left)
	}
	checkContent(t, s, body, octets(1_500_000))
	finish(t, st, draft, nil, "h")
}

// unreadable is a store of which no key can be read but that of the owner.
type unreadable struct{ store.Store }

func (u unreadable) Snapshot() (store.Snapshot, error) {
	snap, err := u.Store.Snapshot()
	return unreadableSnapshot{snap}, err
}

type unreadableSnapshot struct{ store.Snapshot }

func (u unreadableSnapshot) Get(key []byte) ([]byte, store.Version, error) {
	if bytes.HasPrefix(key, []byte("secrets/")) {
		return u.Snapshot.Get(key)
	}
	return nil, 0, errors.New("input/output error")
}
