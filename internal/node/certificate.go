package node

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"waybill/internal/config"
)

const (
	certificateInterval = 30 * time.Second    // between two looks at the files
	expiryNotice        = 14 * 24 * time.Hour // how long before its end a certificate is warned of
	expiryInterval      = 24 * time.Hour      // between two warnings
)

// certificates is the certificate of the node as its files have it now. Handshakes take a snapshot: a renewed pair is
// used from the next one on, and a broken one never.
type certificates struct {
	files   config.TLS
	logger  *slog.Logger
	current atomic.Pointer[tls.Certificate]

	mu     sync.Mutex
	seen   [2]os.FileInfo // of the files when they were last read
	warned time.Time      // of the certificate's end
}

// openCertificates loads the certificate of the configuration, or the self-signed one.
func openCertificates(c config.Config, logger *slog.Logger) (*certificates, error) {
	files := c.TLS
	if files.Cert == "" {
		var err error
		if files, err = selfSigned(c); err != nil {
			return nil, err
		}
	}
	certs := &certificates{files: files, logger: logger}
	certs.seen, _ = certs.look()
	if err := certs.load(); err != nil {
		return nil, fmt.Errorf("load the certificate of [tls]: %w", err)
	}
	certs.warn(time.Now())
	return certs, nil
}

// tlsConfig is what every listener with TLS uses.
func (c *certificates) tlsConfig() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12, // RFC 8996
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
	}
}

// watch looks for changes until ctx is done.
func (c *certificates) watch(ctx context.Context) {
	tick := time.NewTicker(certificateInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		c.reload(false)
	}
}

// reload reads the files again if they have changed, or in any case. What cannot be used is told once, and the certificate
// stays as it was. The state is taken before the files are read, so that a change meanwhile is found the next time.
func (c *certificates) reload(always bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen, changed := c.look()
	if changed || always {
		c.seen = seen
		if err := c.load(); err != nil {
			c.logger.Error("the certificate cannot be renewed; the old one stays in use", "error", err)
		} else {
			leaf := c.current.Load().Leaf
			c.logger.Info("certificate read", "file", c.files.Cert, "serial", leaf.SerialNumber.Text(16), "expires", leaf.NotAfter)
			c.warned = time.Time{}
		}
	}
	c.warn(time.Now())
}

// look says how the files are now, and whether they differ from what was read. A file that is away is a change too.
func (c *certificates) look() (seen [2]os.FileInfo, changed bool) {
	for i, name := range []string{c.files.Cert, c.files.Key} {
		seen[i], _ = os.Stat(name) // reading it tells why not
		changed = changed || !sameFile(seen[i], c.seen[i])
	}
	return seen, changed
}

// sameFile compares inode, size and time: a renewal replaces the file or what its link leads to, or writes into it.
func sameFile(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

func (c *certificates) load() error {
	cert, err := tls.LoadX509KeyPair(c.files.Cert, c.files.Key)
	if err != nil {
		if told := config.CheckCertificate(c.files); told != nil {
			return told // with the file and what to do
		}
		return err // it was changed in this moment
	}
	c.current.Store(&cert)
	return nil
}

// warn tells once a day of a certificate that ends soon.
func (c *certificates) warn(now time.Time) {
	ends := c.current.Load().Leaf.NotAfter
	if left := ends.Sub(now); left > expiryNotice || now.Sub(c.warned) < expiryInterval {
		return
	}
	c.warned = now
	c.logger.Warn("the certificate ends soon or has ended: renew it", "file", c.files.Cert, "expires", ends)
}
