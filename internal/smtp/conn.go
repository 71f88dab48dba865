package smtp

import (
	"crypto/rand"
	"crypto/tls"
	"net"

	"waybill/internal/dialogue"
)

// Conn is what a Session may know of its connection.
type Conn struct {
	wire     *wire
	line     *dialogue.Conn
	id       string
	tls      *tls.ConnectionState
	extended bool
}

// idLength is long enough for a session id to be unique in any log that is kept: 60 bits.
const idLength = 12

func newConn(w *wire, l *Limits) *Conn {
	return &Conn{wire: w, line: dialogue.NewConn(w, l.WriteTimeout), id: rand.Text()[:idLength]}
}

// ID names the session in logs and in the trail.
func (c *Conn) ID() string { return c.id }

// RemoteAddr is the address of the peer.
func (c *Conn) RemoteAddr() net.Addr { return c.wire.RemoteAddr() }

// TLS is the state of TLS, or nil without it.
func (c *Conn) TLS() *tls.ConnectionState { return c.tls }

// Extended says whether the peer said EHLO rather than HELO.
func (c *Conn) Extended() bool { return c.extended }

// Transcript is the dialogue, since policy cut it last: no secrets, no content. It belongs to the session's goroutine.
func (c *Conn) Transcript() *dialogue.Transcript { return &c.line.Transcript }
