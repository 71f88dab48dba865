package bodies_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"waybill/internal/store"
	"waybill/internal/store/bodies"
	"waybill/internal/store/objects"
	"waybill/internal/store/objects/s3test"
	"waybill/internal/store/record"
)

// TestForeignPlace: two stores that are given one place do not share it; the second one would take the first one's objects for orphans.
func TestForeignPlace(t *testing.T) {
	t.Parallel()
	bucket := newBucket(t)
	one, two := open(t, vfs.NewMem()), open(t, vfs.NewMem())
	s := bodies.With(bodies.Options{Store: one, Objects: bucket})
	body := enter(t, one, s, nil, octets(500_000), "h")
	foreign := bodies.With(bodies.Options{Store: two, Objects: bucket})
	if n, err := foreign.Collect(t.Context(), -time.Hour); n != 0 || err == nil || !strings.Contains(err.Error(), "belongs to another store") {
		t.Errorf("%d objects of another store were collected, %v", n, err)
	}
	d := foreign.NewDraft()
	defer d.Discard()
	if _, err := d.Write(octets(1_500_000)); !errors.Is(err, store.ErrUnavailable) {
		t.Error("a draft in another store's place:", err)
	}
	checkContent(t, s, body, octets(500_000))
	if err := bodies.With(bodies.Options{Store: one, Objects: bucket}).Claim(t.Context()); err != nil {
		t.Error("after a restart:", err)
	}
	if err := foreign.Claim(t.Context()); err == nil {
		t.Error("another store may have it")
	}
}

// TestObjectStoreAway: writers and readers get an error that passes, small messages go on, and it is over when it is over.
func TestObjectStoreAway(t *testing.T) {
	t.Parallel()
	o := place(t)
	p := s3test.NewProxy(t, shared.Get(t, "bodies"))
	o.Endpoint = p.URL
	st, bucket := open(t, vfs.NewMem()), s3test.Open(t, o)
	s := bodies.With(bodies.Options{Store: st, Objects: bucket})
	content := octets(1_500_000)
	body := enter(t, st, s, nil, content, "h")
	dead := enter(t, st, s, nil, content, "h")
	release(t, st, s, dead, "h")
	open, err := s.Open(t.Context(), body)
	if err != nil {
		t.Fatal(err)
	}
	p.Answer(func(w http.ResponseWriter, r *http.Request) bool { w.WriteHeader(503); return true })
	d := s.NewDraft()
	defer d.Discard()
	if _, err := d.Write(content); !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, objects.ErrUnavailable) {
		t.Error("write:", err)
	}
	d = s.NewDraft()
	defer d.Discard()
	write(t, d, octets(300_000), 1<<20)
	if _, err := d.Finish(&store.Batch{}, nil, "h"); !errors.Is(err, store.ErrUnavailable) {
		t.Error("finish:", err)
	}
	var got bytes.Buffer
	if n, err := open.WriteTo(&got); n != headSize || !errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrNotFound) {
		t.Errorf("read: %d octets, %v", n, err)
	}
	sweep(t, s)
	enter(t, st, s, nil, octets(headSize), "h")
	if _, err := s.Collect(t.Context(), 0); !errors.Is(err, objects.ErrUnavailable) {
		t.Error("collect:", err)
	}
	p.Heal()
	for until := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err = open.WriteTo(&got); err == nil || time.Now().After(until) {
			break
		}
	}
	if err != nil || !bytes.Equal(got.Bytes(), content) {
		t.Fatalf("reading on: %v", err)
	}
	for until := time.Now().Add(10 * time.Second); len(objectsIn(t, bucket)) > 2 && time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		sweep(t, s)
	}
	if left := objectsIn(t, bucket); len(left) != 2 {
		t.Errorf("%d objects, want the two of the body that is held: %v", len(left), left)
	}
}

// TestLostObject: what the object store has lost or changed is told as what it is, and nothing of it is passed on.
func TestLostObject(t *testing.T) {
	t.Parallel()
	st, bucket := open(t, vfs.NewMem()), newBucket(t)
	s := bodies.With(bodies.Options{Store: st, Objects: bucket})
	body := enter(t, st, s, nil, octets(2_000_000), "h")
	second := body.ID.String() + "/00000002"
	read := func() (int64, error) {
		r, err := s.Open(t.Context(), body)
		if err != nil {
			t.Fatal(err)
		}
		return r.WriteTo(io.Discard)
	}
	if err := bucket.Put(t.Context(), second, []byte("short")); err != nil {
		t.Fatal(err)
	}
	if n, err := read(); n != headSize+objectSize || !errors.Is(err, record.ErrCorrupt) {
		t.Error(n, err)
	}
	end := func() error {
		r, err := s.Open(t.Context(), body)
		if err == nil {
			_, err = r.Last(2)
		}
		return err
	}
	if err := end(); !errors.Is(err, record.ErrCorrupt) || bucket.Healthy() != nil {
		t.Error("the end of an object that is too short:", err)
	}
	if sizes, err := s.ObjectSizes(t.Context(), body); err != nil || fmt.Sprint(sizes) != "[1048576 5]" {
		t.Error(sizes, err)
	}
	if err := bucket.Delete(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	if n, err := read(); n != headSize+objectSize || !errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrUnavailable) {
		t.Error(n, err)
	}
	if err := end(); !errors.Is(err, store.ErrNotFound) {
		t.Error("the end of an object that is lost:", err)
	}
	if sizes, err := s.ObjectSizes(t.Context(), body); err != nil || fmt.Sprint(sizes) != "[1048576 -1]" {
		t.Error(sizes, err)
	}
}
