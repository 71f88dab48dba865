package objects_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"waybill/internal/store/objects"
	"waybill/internal/store/objects/s3test"
)

var shared = &s3test.Shared{}

func TestMain(m *testing.M) {
	status := m.Run()
	shared.Remove()
	os.Exit(status)
}

var names atomic.Int64

// bucketName is of a bucket that no other test has.
func bucketName() string { return fmt.Sprintf("test-%d", names.Add(1)) }

// lines is a log.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Split(strings.TrimSpace(l.text.String()), "\n")
}

// options are those of a bucket of the server, whose log is kept.
func options(s *s3test.Server, bucket string) (objects.Options, *lines) {
	log := &lines{}
	o := s.Options(bucket)
	o.Prefix, o.Logger = "mail/", slog.New(slog.NewTextHandler(log, nil))
	return o, log
}

// sharedBucket is a bucket of its own on the server that all tests share.
func sharedBucket(t testing.TB) (*objects.Bucket, *s3test.Server, string) {
	t.Helper()
	name := bucketName()
	s := shared.Get(t, name)
	o, _ := options(s, name)
	return s3test.Open(t, o), s, name
}

func octets(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)}).Read(b)
	return b
}

func get(b *objects.Bucket, key string, size int) ([]byte, error) {
	into := make([]byte, size)
	err := b.Get(context.Background(), key, into)
	return into, err
}

func TestPutGetDelete(t *testing.T) {
	t.Parallel()
	b, s, name := sharedBucket(t)
	for _, size := range []int{0, 1, 1000, 1 << 20, 5<<20 + 3} {
		key, data := fmt.Sprintf("a/%d", size), octets(size)
		if err := b.Put(t.Context(), key, data); err != nil {
			t.Fatal(err)
		}
		if got, err := get(b, key, size); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%d octets: %v, equal %v", size, err, bytes.Equal(got, data))
		}
		if info, err := os.Stat(s.File(name, "mail/"+key)); err != nil || info.Size() != int64(size+4) {
			t.Errorf("%d octets: %v %v on the server's disk", size, info, err)
		}
		if err := b.Put(t.Context(), key, data[:size/2]); err != nil {
			t.Fatal(err)
		}
		if got, err := get(b, key, size/2); err != nil || !bytes.Equal(got, data[:size/2]) {
			t.Errorf("what was written anew: %v", err)
		}
		if _, err := get(b, key, size/2+1); !errors.Is(err, objects.ErrCorrupt) {
			t.Errorf("one octet more is wanted than there is: %v", err)
		}
		for range 2 {
			if err := b.Delete(t.Context(), key); err != nil {
				t.Error(err)
			}
		}
		if _, err := get(b, key, size); !errors.Is(err, objects.ErrNotFound) || errors.Is(err, objects.ErrUnavailable) {
			t.Errorf("a deleted object: %v", err)
		}
	}
	if err := b.Healthy(); err != nil {
		t.Error(err)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	b, s, name := sharedBucket(t)
	if found, more, err := b.List(t.Context(), "", ""); len(found) > 0 || more || err != nil {
		t.Fatal(found, more, err)
	}
	const many = 1203
	for i := range many { // by way of the disk, which is faster
		file := s.File(name, fmt.Sprintf("mail/x/%05d", i))
		if i == 0 {
			for _, dir := range []string{"mail/x", "mail/y"} {
				if err := os.MkdirAll(s.File(name, dir), 0o700); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := os.WriteFile(file, octets(14), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Put(t.Context(), "y/1", octets(3)); err != nil {
		t.Fatal(err)
	}
	first, more, err := b.List(t.Context(), "x/", "")
	if err != nil || !more || len(first) != 1000 || first[0].Key != "x/00000" || first[0].Size != 10 || time.Since(first[0].Modified) > time.Hour {
		t.Fatalf("%d objects, %v, %v", len(first), more, err)
	}
	rest, more, err := b.List(t.Context(), "x/", first[999].Key)
	if err != nil || more || len(rest) != many-1000 || rest[0].Key != "x/01000" {
		t.Fatalf("then %d objects, %v, %v", len(rest), more, err)
	}
	if all, _, err := b.List(t.Context(), "", "x/01201"); err != nil || len(all) != 2 || all[1].Key != "y/1" || all[1].Size != 3 {
		t.Errorf("%+v, %v", all, err)
	}
}

// TestDamageOnTheServer: what was changed, cut, or put in another's place is not taken for what was written.
func TestDamageOnTheServer(t *testing.T) {
	t.Parallel()
	b, s, name := sharedBucket(t)
	data := octets(10_000)
	for _, key := range []string{"a", "b"} {
		if err := b.Put(t.Context(), key, append([]byte(key), data...)); err != nil {
			t.Fatal(err)
		}
	}
	stored, err := os.ReadFile(s.File(name, "mail/a"))
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(stored)
	flipped[5000] ^= 4
	for what, content := range map[string][]byte{"a bit changed": flipped, "cut": stored[:9000], "longer": append(bytes.Clone(stored), 1), "another's": stored, "empty": nil} {
		if err := os.WriteFile(s.File(name, "mail/b"), content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := get(b, "b", 10_001); !errors.Is(err, objects.ErrCorrupt) || errors.Is(err, objects.ErrUnavailable) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := b.Healthy(); err != nil {
		t.Error("a damaged object stops the others:", err)
	}
}

// TestCreate: of many who create one object one succeeds, also after a lost reply; and a server that does not know the condition is found out.
func TestCreate(t *testing.T) {
	t.Parallel()
	b, p, _, server, name := proxied(t)
	var made atomic.Int64
	var all sync.WaitGroup
	for n := range 20 {
		all.Go(func() {
			switch sure, err := b.Create(t.Context(), "a", octets(n)); {
			case err == nil && sure:
				made.Add(1)
			case !errors.Is(err, objects.ErrExists):
				t.Error(sure, err)
			}
		})
	}
	all.Wait()
	if n := made.Load(); n != 1 {
		t.Errorf("%d have created one object", n)
	}
	var replies atomic.Int64
	p.Reply(func(*http.Response) error {
		if replies.Add(1) == 1 {
			return errors.New("lost")
		}
		return nil
	})
	if _, err := b.Create(t.Context(), "b", octets(9)); !errors.Is(err, objects.ErrExists) {
		t.Error("after a lost reply:", err)
	}
	p.Heal()
	o, _ := options(server, name)
	direct := s3test.Open(t, o)
	for what, wrong := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"ignored": func(_ http.ResponseWriter, r *http.Request) bool { // the signature covers the condition, so it is made to hold
			return r.Method == http.MethodPut && direct.Delete(r.Context(), "ignored") != nil
		},
		"refused": func(w http.ResponseWriter, r *http.Request) bool {
			return r.Header.Get("If-None-Match") != "" && answer(501, s3Error("NotImplemented"))(w, r)
		},
	} {
		p.Answer(wrong)
		if sure, err := b.Create(t.Context(), what, octets(9)); sure || err != nil {
			t.Error(what, sure, err)
		}
		if got, err := get(b, what, 9); err != nil || !bytes.Equal(got, octets(9)) {
			t.Error(what, err)
		}
	}
	if err := b.Healthy(); err != nil {
		t.Error(err)
	}
}
