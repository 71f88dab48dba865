package node

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"waybill/internal/config"
)

// logBuffer is a log that can be read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// lines returns those with what in them.
func (l *logBuffer) lines(what string) (found []string) {
	for line := range strings.Lines(l.String()) {
		if strings.Contains(line, what) {
			found = append(found, line)
		}
	}
	return found
}

func (l *logBuffer) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// issue writes a new certificate for name in place of the old one.
func issue(t *testing.T, name string, files config.TLS) {
	t.Helper()
	if err := writeSelfSigned(name, files.Cert, files.Key); err != nil {
		t.Fatal(err)
	}
}

// served returns the name in the certificate of a handshake.
func served(t *testing.T, c *certificates) string {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	go tls.Server(far, c.tlsConfig()).Handshake()
	client := tls.Client(near, &tls.Config{InsecureSkipVerify: true})
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	return client.ConnectionState().PeerCertificates[0].Subject.CommonName
}

// TestCertificatesAreReloaded: a renewed pair is used without a restart; a broken one never, and it is told of once.
func TestCertificatesAreReloaded(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		files := config.TLS{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
		issue(t, "first.test", files)
		var log logBuffer
		c, err := openCertificates(config.Config{TLS: files}, log.logger())
		if err != nil {
			t.Fatal(err)
		}
		go c.watch(t.Context())
		if got := served(t, c); got != "first.test" {
			t.Errorf("at first %s", got)
		}
		issue(t, "second.test", files)
		time.Sleep(certificateInterval + time.Second)
		if got := served(t, c); got != "second.test" {
			t.Errorf("after the renewal %s", got)
		}
		if err := os.WriteFile(files.Key, []byte("no key\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * certificateInterval)
		if got := served(t, c); got != "second.test" {
			t.Errorf("with a broken key %s", got)
		}
		if n := strings.Count(log.String(), "level=ERROR"); n != 1 || !strings.Contains(log.String(), files.Key+" holds no private key") {
			t.Errorf("%d errors:\n%s", n, log.String())
		}
		issue(t, "third.test", files)
		c.reload(true) // SIGHUP
		if got := served(t, c); got != "third.test" {
			t.Errorf("after SIGHUP %s", got)
		}
		if strings.Contains(log.String(), "level=WARN") {
			t.Errorf("warned of a certificate that is good for years:\n%s", log.String())
		}
		ends := time.Now().Add(selfSignedLife)
		for _, before := range []time.Duration{expiryNotice + 2*time.Hour, expiryNotice - time.Hour, expiryNotice - 2*time.Hour, expiryNotice - 26*time.Hour} {
			c.warn(ends.Add(-before))
		}
		if n := strings.Count(log.String(), "level=WARN"); n != 2 {
			t.Errorf("%d warnings in two days before the end:\n%s", n, log.String())
		}
	})
}

func TestOldTLSIsRefused(t *testing.T) {
	t.Parallel()
	c, err := openCertificates(config.Config{Hostname: "m.test", Data: t.TempDir()}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	near, far := net.Pipe()
	go tls.Server(far, c.tlsConfig()).Handshake()
	old := tls.Client(near, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	if err := old.Handshake(); err == nil {
		t.Error("TLS 1.1 was taken")
	}
}
