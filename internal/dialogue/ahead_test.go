//go:build unix

package dialogue

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"path/filepath"
	"testing"
	"time"
)

// unixPair returns both ends of a connection on which what was written has arrived.
func unixPair(t *testing.T) (near, far net.Conn) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if near, err = net.Dial("unix", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close() })
	if far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	return near, far
}

func expectAhead(t *testing.T, c *Conn, want bool, when string) {
	t.Helper()
	if got := c.Ahead(); got != want {
		t.Errorf("%s: Ahead() = %v", when, got)
	}
}

func expectLine(t *testing.T, c *Conn, want string) {
	t.Helper()
	line, err := c.ReadLine(100, time.Now().Add(10*time.Second))
	if string(line) != want || err != nil {
		t.Errorf("line %q, %v; want %q", line, err, want)
	}
}

func TestAhead(t *testing.T) {
	t.Parallel()
	near, far := unixPair(t)
	c := NewConn(near, time.Second)
	expectAhead(t, c, false, "nothing was said")
	io.WriteString(far, "a\r\nb\r\nc")
	expectAhead(t, c, true, "it waits in the socket")
	expectLine(t, c, "a")
	expectAhead(t, c, true, "it is buffered")
	expectLine(t, c, "b")
	expectAhead(t, c, true, "half a line is buffered")
	io.WriteString(far, "\r\n")
	expectLine(t, c, "c")
	expectAhead(t, c, false, "all was read")
	near.SetReadDeadline(time.Unix(1, 0))
	expectAhead(t, c, false, "a deadline has passed")
	io.WriteString(far, "d\r\n")
	expectAhead(t, c, true, "a deadline has passed, and something was said")
	expectLine(t, c, "d")
	far.Close()
	expectAhead(t, c, false, "the peer closed")
}

// TestAheadOfPipe looks into a connection that is none of the operating system's.
func TestAheadOfPipe(t *testing.T) {
	t.Parallel()
	near, far := net.Pipe()
	c := NewConn(near, time.Second)
	expectAhead(t, c, false, "nothing was said")
	said := make(chan error)
	go func() {
		_, err := io.WriteString(far, "a\r\n")
		said <- err
	}()
	expectLine(t, c, "a")
	if err := <-said; err != nil {
		t.Fatal(err)
	}
	expectAhead(t, c, false, "all was read")
}

// holdingConn keeps back the end of what is written, if it is told to.
type holdingConn struct {
	net.Conn
	hold int
	held []byte
}

func (h *holdingConn) Write(p []byte) (int, error) {
	cut := max(0, len(p)-h.hold)
	h.held = append(h.held, p[cut:]...)
	_, err := h.Conn.Write(p[:cut])
	return len(p), err
}

func (h *holdingConn) release() {
	h.Conn.Write(h.held)
	h.hold, h.held = 0, nil
}

func TestAheadUnderTLS(t *testing.T) {
	t.Parallel()
	t.Run("from the start", func(t *testing.T) {
		testAheadUnderTLS(t, func(_, secured net.Conn) *Conn { return NewConn(secured, time.Second) })
	})
	t.Run("later", func(t *testing.T) {
		testAheadUnderTLS(t, func(plain, secured net.Conn) *Conn {
			c := NewConn(plain, time.Second)
			c.Upgrade(secured)
			return c
		})
	})
}

func testAheadUnderTLS(t *testing.T, newConn func(plain, secured net.Conn) *Conn) {
	near, far := unixPair(t)
	cut := &holdingConn{Conn: far}
	server := tls.Server(cut, serverConfig(t))
	shaken := make(chan error, 1)
	go func() { shaken <- server.Handshake() }()
	client := tls.Client(near, &tls.Config{InsecureSkipVerify: true})
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-shaken; err != nil { // then the session ticket is in the socket
		t.Fatal(err)
	}
	c := newConn(near, client)
	if c.socket() == nil {
		t.Fatal("the socket is not known")
	}
	expectAhead(t, c, false, "there is a session ticket only")
	io.WriteString(server, "a\r\n")
	io.WriteString(server, "b\r\n")
	expectAhead(t, c, true, "two records came")
	expectLine(t, c, "a")
	expectAhead(t, c, true, "a record is left")
	expectLine(t, c, "b")
	expectAhead(t, c, false, "all was read")
	cut.hold = 3
	io.WriteString(server, "c\r\n")
	expectAhead(t, c, false, "half a record came")
	cut.release()
	expectAhead(t, c, true, "the other half came")
	expectLine(t, c, "c")
}

func serverConfig(t *testing.T) *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}
