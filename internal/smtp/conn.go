package smtp

import (
	"crypto/rand"
	"crypto/tls"
	"net"
	"time"

	"waybill/internal/dialogue"
)

// Conn is what a Session may know of its connection.
type Conn struct {
	wire     *wire
	line     *dialogue.Conn
	id       string
	started  time.Time
	tls      *tls.ConnectionState
	hello    string
	extended bool
}

// idLength is long enough for a session id to be unique in any log that is kept: 60 bits.
const idLength = 12

func newConn(w *wire, l Limits) *Conn {
	return &Conn{wire: w, line: dialogue.NewConn(w, l.WriteTimeout), id: rand.Text()[:idLength], started: time.Now()}
}

// ID names the session in logs and in the trail.
func (c *Conn) ID() string { return c.id }

// Started is when the peer connected.
func (c *Conn) Started() time.Time { return c.started }

// RemoteAddr is the address of the peer.
func (c *Conn) RemoteAddr() net.Addr { return c.wire.RemoteAddr() }

// LocalAddr is the address that the peer connected to.
func (c *Conn) LocalAddr() net.Addr { return c.wire.LocalAddr() }

// TLS is the state of TLS, or nil without it.
func (c *Conn) TLS() *tls.ConnectionState { return c.tls }

// Hello is what the peer called itself in HELO or EHLO; "" before that.
func (c *Conn) Hello() string { return c.hello }

// Extended says whether it used EHLO.
func (c *Conn) Extended() bool { return c.extended }

// Transcript is the dialogue so far: no secrets, no content. It belongs to the session's goroutine.
func (c *Conn) Transcript() *dialogue.Transcript { return &c.line.Transcript }
