package pop3

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"waybill/internal/dialogue"
)

// Conn is a client's connection to a Server, as its Session sees it.
type Conn struct {
	wire      *dialogue.Conn
	transport *transport
	id        string
	connected time.Time
	tls       *tls.ConnectionState
}

// RemoteAddr returns the client's address.
func (c *Conn) RemoteAddr() net.Addr { return c.transport.RemoteAddr() }

// LocalAddr returns the address that the client connected to.
func (c *Conn) LocalAddr() net.Addr { return c.transport.LocalAddr() }

// ID returns the name of the session, unique for all practical purposes.
func (c *Conn) ID() string { return c.id }

// Connected returns when the connection was accepted.
func (c *Conn) Connected() time.Time { return c.connected }

// TLS returns what the handshake agreed on; nil while the connection is in the clear.
func (c *Conn) TLS() *tls.ConnectionState { return c.tls }

// Transcript returns the dialogue so far, without passwords and messages.
func (c *Conn) Transcript() *dialogue.Transcript { return &c.wire.Transcript }

func newConn(nc net.Conn, l Limits) *Conn {
	t := &transport{Conn: nc}
	return &Conn{
		wire: dialogue.NewConn(t, l.Write), transport: t,
		id: strings.ToLower(rand.Text()[:12]), connected: time.Now(),
	}
}

// startTLS shakes hands within limit. What the client sent before is thrown away.
func (c *Conn) startTLS(ctx context.Context, conf *tls.Config, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	c.transport.SetDeadline(time.Now().Add(limit))
	tc := tls.Server(c.transport, conf)
	if err := tc.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	c.transport.SetDeadline(time.Time{})
	c.wire.Upgrade(tc)
	state := tc.ConnectionState()
	c.tls = &state
	c.Transcript().Add(dialogue.Note, tlsNote(state))
	return nil
}

func tlsNote(s tls.ConnectionState) string {
	return tls.VersionName(s.Version) + " established, " + tls.CipherSuiteName(s.CipherSuite)
}

// transport is a connection whose reads another goroutine can end for good.
type transport struct {
	net.Conn
	mu          sync.Mutex
	interrupted bool
}

// interrupt makes the read under way and all later ones time out; writes go on.
func (t *transport) interrupt() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.interrupted = true
	t.Conn.SetReadDeadline(time.Unix(1, 0))
}

// stopped says whether interrupt was called.
func (t *transport) stopped() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.interrupted
}

// SetReadDeadline has no effect after interrupt: a session that just begins to wait must not undo it.
func (t *transport) SetReadDeadline(deadline time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.interrupted {
		return nil
	}
	return t.Conn.SetReadDeadline(deadline)
}

// SetDeadline sets both deadlines, the one for reads unless interrupted.
func (t *transport) SetDeadline(deadline time.Time) error {
	if err := t.SetReadDeadline(deadline); err != nil {
		return err
	}
	return t.Conn.SetWriteDeadline(deadline)
}
