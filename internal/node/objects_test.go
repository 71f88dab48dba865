package node

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"waybill/internal/config"
	"waybill/internal/store/objects/s3test"
)

// objectNode is a node whose large bodies lie in a bucket, by way of a proxy.
func objectNode(t *testing.T, s *s3test.Server, p *s3test.Proxy) (*Node, *logBuffer) {
	t.Helper()
	keys := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(keys, []byte("aws_access_key_id = "+s3test.Access+"\naws_secret_access_key = "+s3test.Secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	log := &logBuffer{}
	n := startLogged(t, log.logger(), func(c *config.Config) {
		c.Bodies = config.Bodies{Endpoint: p.URL.String(), Bucket: "mail", Prefix: "bodies/", Credentials: keys}
		c.Auth.CleartextFrom = loopback
	})
	return n, log
}

// TestObjectStore: large mail goes by way of the bucket into mailboxes and out of them, and not while the bucket cannot be used.
func TestObjectStore(t *testing.T) {
	t.Parallel()
	server := s3test.New(t, "mail")
	p := s3test.NewProxy(t, server)
	n, log := objectNode(t, server, p)
	const size = 2 << 20
	s, smtp := &sender{acknowledged: map[string]bool{}}, addressOf(n, "smtp")
	if err := s.run(smtp, "before", 4, size); err != nil { // every second one through the queue
		t.Fatal(err)
	}
	if lost := awaitDelivered(t, n, s.known(), size, 20*time.Second); len(lost) > 0 {
		t.Fatal("lost:", lost)
	}
	if keys := server.Keys(t, "mail"); len(keys) != 1+4*2 || !strings.HasPrefix(keys[0], "bodies/") {
		t.Errorf("the bucket has %v", keys)
	}
	if r, err := n.Verify(t.Context(), nil); err != nil || len(r.Findings) > 0 || r.Bodies != 4 {
		t.Errorf("%+v, %v", r, err)
	}

	p.Answer(func(w http.ResponseWriter, r *http.Request) bool {
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	for range 20 {
		if err := s.run(smtp, "during", 1, size); err == nil || !strings.Contains(err.Error(), "451 4.3.0") {
			t.Errorf("while the bucket cannot be used: %v, want 451 4.3.0", err)
		}
	}
	if err := s.run(smtp, "small", 1, 40_000); err != nil {
		t.Error("small mail is to go on:", err)
	}
	retrieve(t, n, func(reply string, content []byte) {
		if !strings.HasPrefix(reply, "-ERR") && bytes.HasSuffix(content, []byte("\r\n.\r\n")) {
			t.Errorf("a message whose objects cannot be read was sent as whole: %q and %d octets", reply, len(content))
		}
	})
	if said := log.lines("level=ERROR"); len(said) > 6 { // for writing and for reading, and what POP3 says of its session
		t.Errorf("the log has %d lines: %s", len(said), said)
	}
	p.Heal()
	until := time.Now().Add(20 * time.Second)
	for s.run(smtp, "after", 1, size) != nil {
		if time.Now().After(until) {
			t.Fatal("large mail is not taken again")
		}
		time.Sleep(50 * time.Millisecond)
	}
	retrieve(t, n, func(string, []byte) {}) // tries
	retrieve(t, n, func(reply string, content []byte) {
		if !strings.HasPrefix(reply, "+OK") || !bytes.HasSuffix(content, []byte("\r\n.\r\n")) || len(content) < size {
			t.Errorf("%q and %d octets", reply, len(content))
		}
	})
	if said := log.lines("can be used again"); len(said) < 2 {
		t.Errorf("the log says %s", said)
	}
}

// retrieve gets the first message by POP3, as far as it comes.
func retrieve(t *testing.T, n *Node, check func(reply string, content []byte)) {
	t.Helper()
	c := connect(t, addressOf(n, "pop3"), nil)
	c.expect("+OK")
	c.say("USER "+alice.String(), "+OK")
	c.say("PASS correct horse battery", "+OK")
	_, _ = io.WriteString(c, "RETR 1\r\nQUIT\r\n")
	all, _ := io.ReadAll(c.r)
	reply, content, _ := strings.Cut(string(all), "\r\n")
	if i := strings.Index(content, "\r\n.\r\n"); i >= 0 {
		content = content[:i+5]
	}
	check(reply, []byte(content))
}

// TestBackupWithoutObjects: a backup says what is not in it, and a store that comes back from it has its objects as far as the bucket has them.
func TestBackupWithoutObjects(t *testing.T) {
	t.Parallel()
	server := s3test.New(t, "mail")
	n, _ := objectNode(t, server, s3test.NewProxy(t, server))
	s := &sender{acknowledged: map[string]bool{}}
	if err := s.run(addressOf(n, "smtp"), "x", 1, 200_000); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "backup")
	if err := SaveBackup(t.Context(), n, n.config, dir); err != nil {
		t.Fatal(err)
	}
	about, err := checkBackup(dir)
	if err != nil || !strings.HasPrefix(about.Objects, "s3://mail/bodies/ at http://") {
		t.Errorf("the manifest names %q as what is missing, %v", about.Objects, err)
	}
	c := n.config
	c.Data = filepath.Join(t.TempDir(), "data")
	if err := Restore(c, dir); err != nil {
		t.Fatal(err)
	}
	o, err := OpenOffline(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if r, err := o.Verify(t.Context(), nil); err != nil || r.Damage+r.Untidy > 0 {
		t.Errorf("after a restore: %+v, %v", r, err)
	}
	for _, key := range server.Keys(t, "mail") {
		if err := os.Remove(server.File("mail", key)); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := o.Verify(t.Context(), nil); err != nil || r.Damage != 1 || !strings.Contains(r.Findings[0].Detail, "is not in the object store") {
		t.Errorf("after the bucket is lost: %+v, %v", r, err)
	}
}

// TestForeignBucket: a server does not start on the objects of another store. Without its keys it does not start either; commands work.
func TestForeignBucket(t *testing.T) {
	t.Parallel()
	server := s3test.New(t, "mail")
	n, _ := objectNode(t, server, s3test.NewProxy(t, server))
	c := n.config
	c.Data = t.TempDir()
	o := Options{Config: c, Logger: slog.New(slog.DiscardHandler)}
	other, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "belongs to another store") {
		t.Error("in another store's place:", err)
		_ = other.Shutdown(t.Context())
	}
	o.Config.Bodies.Credentials = filepath.Join(c.Data, "none")
	if _, err := New(o); err == nil || !strings.Contains(err.Error(), "credentials") {
		t.Error("without its keys:", err)
	}
	log := &logBuffer{}
	off, err := OpenOffline(o.Config, log.logger())
	if err != nil {
		t.Fatal(err)
	}
	defer off.Close()
	if r, err := off.Verify(t.Context(), nil); err != nil || r.Damage > 0 || len(log.lines("without the object store")) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}
