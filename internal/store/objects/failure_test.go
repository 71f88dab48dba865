package objects_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"waybill/internal/store/objects"
	"waybill/internal/store/objects/s3test"
)

// proxied is a bucket that is reached by way of a proxy, and that has the time it needs on a machine that is busy.
func proxied(t *testing.T) (*objects.Bucket, *s3test.Proxy, *lines, *s3test.Server, string) {
	t.Helper()
	return proxiedWith(t, func(*objects.Options) {})
}

func proxiedWith(t *testing.T, change func(*objects.Options)) (*objects.Bucket, *s3test.Proxy, *lines, *s3test.Server, string) {
	t.Helper()
	name := bucketName()
	s := shared.Get(t, name)
	o, log := options(s, name)
	p := s3test.NewProxy(t, s)
	o.Endpoint, o.Timeout = p.URL, 20*time.Second
	change(&o)
	return s3test.Open(t, o), p, log, s, name
}

// recovers waits until the bucket can be used again.
func recovers(t *testing.T, b *objects.Bucket) {
	t.Helper()
	until := time.Now().Add(time.Minute)
	for b.Put(t.Context(), "again", octets(10)) != nil || b.Delete(t.Context(), "again") != nil || b.Get(t.Context(), "none", nil) == nil || b.Healthy() != nil {
		if time.Now().After(until) {
			t.Fatal("the bucket cannot be used any more:", b.Healthy())
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// answer is what a server says with a status and a body.
func answer(status int, body string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
		return true
	}
}

func s3Error(code string) string {
	return `<?xml version="1.0" encoding="UTF-8"?><Error><Code>` + code + `</Code><Message>words of the server</Message></Error>`
}

// abort breaks the connection off.
func abort(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }

// TestWrongAnswers: whatever comes instead of the right answer is an error that says what it is, is told once, and is over when it is over.
func TestWrongAnswers(t *testing.T) {
	t.Parallel()
	html := "<html><body>hello</body></html>"
	for name, test := range map[string]struct {
		wrong func(http.ResponseWriter, *http.Request) bool
		says  string
	}{
		"500":             {answer(500, s3Error("InternalError")), "answers 500 InternalError"},
		"503":             {answer(503, s3Error("SlowDown")), "answers 503 SlowDown"},
		"503 of a proxy":  {answer(503, html), "no words of S3"},
		"404 of a proxy":  {answer(404, html), "no words of S3"},
		"403 and nothing": {answer(403, ""), "no words of S3"},
		"a redirect":      {answer(302, html), "no words of S3"},
		"full":            {answer(507, s3Error("XMinioStorageFull")), "no room left"},
		"skewed clocks":   {answer(403, s3Error("RequestTimeTooSkewed")), "set both by NTP"},
		"another region":  {answer(400, s3Error("AuthorizationHeaderMalformed")), "set region and endpoint"},
		"denied":          {answer(403, s3Error("AccessDenied")), "may not do this"},
		"cut":             {abort, "broke off the connection"},
		"silence": {func(_ http.ResponseWriter, r *http.Request) bool {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
			return true
		}, "did not answer in time"},
		"200 and a page": {answer(200, html), ""}, // each request finds something else wrong with it
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			patient, p, log, s, bucket := proxied(t)
			data := octets(100_000)
			if err := patient.Put(t.Context(), "a", data); err != nil {
				t.Fatal(err)
			}
			b := patient
			if name == "silence" {
				var o objects.Options
				o, log = options(s, bucket)
				o.Endpoint, o.Timeout = p.URL, time.Second
				b = s3test.Open(t, o)
			}
			p.Answer(test.wrong)
			for range 3 {
				if err := b.Put(t.Context(), "b", data); !errors.Is(err, objects.ErrUnavailable) || !strings.Contains(err.Error(), test.says) {
					t.Errorf("put: %v", err)
				}
				if _, err := get(b, "a", len(data)); err == nil || errors.Is(err, objects.ErrNotFound) || !strings.Contains(err.Error(), test.says) {
					t.Errorf("get: %v", err)
				}
				if _, _, err := b.List(t.Context(), "", ""); !errors.Is(err, objects.ErrUnavailable) {
					t.Errorf("list: %v", err)
				}
			}
			p.Heal()
			recovers(t, b)
			if got, err := get(patient, "a", len(data)); err != nil || !bytes.Equal(got, data) {
				t.Error("afterwards:", err)
			}
			counts := map[string]int{}
			for _, line := range log.all() {
				for _, what := range []string{"level=ERROR", "level=INFO"} {
					if strings.Contains(line, what) {
						counts[what]++
					}
				}
				if strings.Contains(line, s3test.Secret) || !strings.Contains(line, test.says) && strings.Contains(line, "ERROR") {
					t.Error("the log says", line)
				}
			}
			if n := counts["level=ERROR"]; n < 2 || n > 4 || counts["level=INFO"] < 2 { // for writing and for reading, each once or, if the trial failed in another way, twice
				t.Errorf("the log has %v:\n%s", counts, strings.Join(log.all(), "\n"))
			}
		})
	}
}

// TestPassingTrouble: what is over at the next try is no error, and nobody hears of it.
func TestPassingTrouble(t *testing.T) {
	t.Parallel()
	b, p, log, _, _ := proxied(t)
	var n atomic.Int64
	p.Answer(func(w http.ResponseWriter, r *http.Request) bool {
		switch n.Add(1) % 3 {
		case 0:
			return false
		case 1:
			return answer(503, s3Error("SlowDown"))(w, r)
		}
		return abort(w, r)
	})
	data := octets(1 << 20)
	if err := b.Put(t.Context(), "a", data); err != nil {
		t.Fatal(err)
	}
	if got, err := get(b, "a", len(data)); err != nil || !bytes.Equal(got, data) {
		t.Fatal(err)
	}
	if err := b.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if said := log.all(); said[0] != "" {
		t.Error(said)
	}
}

// TestDamageOnTheWay: the server refuses what is not what was sent, and we what it has not sent.
func TestDamageOnTheWay(t *testing.T) {
	t.Parallel()
	b, p, _, s, name := proxied(t)
	data := octets(100_000)
	p.Change(func(r *http.Request) { r.Body = s3test.Flip(r.Body, 77_777) })
	if err := b.Put(t.Context(), "a", data); !errors.Is(err, objects.ErrUnavailable) || !strings.Contains(err.Error(), "(XAmzContentSHA256Mismatch); something between damages it") {
		t.Error("a write that was damaged:", err)
	}
	if keys := s.Keys(t, name); len(keys) > 0 {
		t.Error("the server has", keys)
	}
	p.Heal()
	recovers(t, b)
	if err := b.Put(t.Context(), "a", data); err != nil {
		t.Fatal(err)
	}
	var n atomic.Int64
	p.Reply(func(r *http.Response) error {
		if n.Add(1)%3 != 0 {
			r.Body = s3test.Flip(r.Body, 99_999)
		}
		return nil
	})
	if got, err := get(b, "a", len(data)); err != nil || !bytes.Equal(got, data) {
		t.Error("a read that was damaged twice, and then was not:", err)
	}
	p.Reply(func(r *http.Response) error { r.Body = s3test.Flip(r.Body, 5); return nil })
	if _, err := get(b, "a", len(data)); !errors.Is(err, objects.ErrCorrupt) {
		t.Error("a read that was damaged:", err)
	}
	p.Reply(func(r *http.Response) error {
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(r.Body, 50_000), r.Body}
		return nil
	})
	if _, err := get(b, "a", len(data)); !errors.Is(err, objects.ErrUnavailable) || !strings.Contains(err.Error(), "broke off") {
		t.Error("a read that was cut off:", err)
	}
}

// TestHTTPS: over TLS the server checks what comes as well, and a certificate that nobody vouches for ends it.
func TestHTTPS(t *testing.T) {
	t.Parallel()
	name := bucketName()
	s := shared.Get(t, name)
	o, _ := options(s, name)
	p, authorities := s3test.NewTLSProxy(t, s)
	o.Endpoint = p.URL
	if err := s3test.Open(t, o).Put(t.Context(), "a", octets(10)); !errors.Is(err, objects.ErrUnavailable) || !strings.Contains(err.Error(), "the certificate of "+p.URL.Host+" is not accepted") {
		t.Error("an unknown certificate:", err)
	}
	o.RootCAs = authorities
	b, data := s3test.Open(t, o), octets(100_000)
	if err := b.Put(t.Context(), "a", data); err != nil {
		t.Fatal(err)
	}
	if got, err := get(b, "a", len(data)); err != nil || !bytes.Equal(got, data) {
		t.Error(err)
	}
	p.Change(func(r *http.Request) { r.Body = s3test.Flip(r.Body, 77_777) })
	if err := b.Put(t.Context(), "b", data); !errors.Is(err, objects.ErrUnavailable) || !strings.Contains(err.Error(), "(XAmzContentSHA256Mismatch); something between damages it") {
		t.Error("a write that was damaged:", err)
	}
}

// TestNobodyWaits: while the server is silent, only the first wait for it, and those who try: of what others want it hears nothing.
func TestNobodyWaits(t *testing.T) {
	t.Parallel()
	name := bucketName()
	s := s3test.New(t, name)
	o, _ := options(s, name)
	p := s3test.NewProxy(t, s)
	o.Endpoint, o.Timeout = p.URL, 300*time.Millisecond
	b := s3test.Open(t, o)
	var asked atomic.Int64
	p.Answer(func(http.ResponseWriter, *http.Request) bool { asked.Add(1); return false })
	s.Freeze(t)
	for range 1000 {
		if err := b.Put(t.Context(), "a", octets(10)); !errors.Is(err, objects.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	if n := asked.Load(); n > 50 { // to try as often takes some minutes
		t.Errorf("1,000 writes have asked a silent server %d times", n)
	}
	s.Thaw()
	recovers(t, b)
}

// TestCallerGivesUp: a caller whose time is over is no failure of the store.
func TestCallerGivesUp(t *testing.T) {
	t.Parallel()
	b, p, log, _, _ := proxied(t)
	p.Answer(func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, _, err := b.List(ctx, "", ""); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, objects.ErrUnavailable) {
		t.Error(err)
	}
	if err := b.Healthy(); err != nil || log.all()[0] != "" {
		t.Error(err, log.all())
	}
}

func TestWhoIsLetIn(t *testing.T) {
	t.Parallel()
	name := bucketName()
	s := shared.Get(t, name)
	for what, test := range map[string]struct {
		change func(*objects.Options)
		says   string
	}{
		"wrong secret":    {func(o *objects.Options) { o.Keys.Secret = "another-secret" }, "does not accept the secret of the access key, or something between changes what is sent (SignatureDoesNotMatch); the secret comes from the test"},
		"unknown key":     {func(o *objects.Options) { o.Keys.Access = "nobody" }, "does not know the access key"},
		"no such bucket":  {func(o *objects.Options) { o.Bucket = "missing" }, `there is no bucket "missing"`},
		"another region":  {func(o *objects.Options) { o.Region = "eu-north-7" }, "set region and endpoint"},
		"nobody there":    {func(o *objects.Options) { o.Endpoint = &url.URL{Scheme: "http", Host: "127.0.0.1:1"} }, "cannot be reached: dial tcp 127.0.0.1:1"},
		"TLS to no TLS":   {func(o *objects.Options) { o.Endpoint = &url.URL{Scheme: "https", Host: s.Address()} }, "server gave HTTP response to HTTPS client"},
		"no such machine": {func(o *objects.Options) { o.Endpoint = &url.URL{Scheme: "http", Host: "nowhere.invalid:80"} }, "nowhere.invalid"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			o, log := options(s, name)
			test.change(&o)
			b := s3test.Open(t, o)
			for verb, do := range map[string]func() error{
				"put":    func() error { return b.Put(t.Context(), "a", octets(10)) },
				"get":    func() error { _, err := get(b, "a", 10); return err },
				"delete": func() error { return b.Delete(t.Context(), "a") },
				"list":   func() error { _, _, err := b.List(t.Context(), "", ""); return err },
			} {
				if err := do(); !errors.Is(err, objects.ErrUnavailable) || errors.Is(err, objects.ErrNotFound) || !strings.Contains(err.Error(), test.says) {
					t.Errorf("%s: %v", verb, err)
				}
			}
			for _, line := range log.all() {
				if strings.Contains(line, s3test.Secret) || strings.Contains(line, "another-secret") {
					t.Error("a secret in the log:", line)
				}
			}
		})
	}
}

// TestServerKilled: what the server has said that it has, it has after it was killed amid writes; what was cut off is whole or not there.
func TestServerKilled(t *testing.T) {
	t.Parallel()
	name := bucketName()
	s := s3test.New(t, name)
	o, _ := options(s, name)
	b := s3test.Open(t, o)
	const size = 1 << 20
	var said, begun atomic.Int64
	some, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			n := begun.Add(1)
			if err := b.Put(context.Background(), keyOf(n), octets(size+int(n))); err != nil {
				ended <- err
				return
			}
			if said.Store(n); n == 20 {
				close(some)
			}
		}
	}()
	select {
	case <-some:
	case err := <-ended:
		t.Fatalf("write %d, to a server that nobody has killed: %v", begun.Load(), err)
	}
	s.Kill()
	<-ended
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	recovers(t, b)
	for n := int64(1); n <= begun.Load(); n++ {
		got, err := get(b, keyOf(n), size+int(n))
		if n <= said.Load() && err != nil || err != nil && !errors.Is(err, objects.ErrNotFound) || err == nil && !bytes.Equal(got, octets(size+int(n))) {
			t.Errorf("object %d of %d that it said it has: %v", n, said.Load(), err)
		}
	}
}

func keyOf(n int64) string { return strings.Repeat("k", int(n)) }

// TestFullServer: a full store refuses what is written, and can be read and made room in.
func TestFullServer(t *testing.T) {
	t.Parallel()
	name := bucketName()
	s := s3test.NewSmall(t, 4<<20, name)
	o, log := options(s, name)
	b := s3test.Open(t, o)
	written := int64(0)
	for ; written < 10; written++ {
		if err := b.Put(t.Context(), keyOf(written+1), octets(1<<20)); err != nil {
			if !errors.Is(err, objects.ErrUnavailable) {
				t.Error(err)
			}
			break
		}
	}
	if written == 0 || written == 10 {
		t.Fatalf("%d MiB went to a disk of 4", written)
	}
	t.Log(log.all())
	for n := int64(1); n <= written; n++ {
		if got, err := get(b, keyOf(n), 1<<20); err != nil || !bytes.Equal(got, octets(1<<20)) {
			t.Error(err)
		}
	}
	if err := b.Delete(t.Context(), keyOf(1)); err != nil {
		t.Fatal(err)
	}
	recovers(t, b)
	if err := b.Put(t.Context(), "new", octets(500_000)); err != nil {
		t.Error(err)
	}
}
