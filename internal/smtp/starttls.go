package smtp

import (
	"context"
	"crypto/tls"
	"fmt"
	"time"

	"waybill/internal/dialogue"
	"waybill/internal/mail"
)

// startTLS agrees to begin TLS (RFC 3207); the loop begins it when the reply has left.
func (s *session) startTLS(context.Context, string) mail.Status {
	switch {
	case s.conn.tls != nil:
		return tlsActive
	case s.server.TLS == nil:
		return tlsNotOffered
	case s.authenticated:
		return alreadyAuth
	}
	s.upgrade = true
	return readyForTLS
}

// beginTLS shakes hands. Afterwards nothing is known of the client: what it said before may have come from
// somebody else, and what it pipelined is thrown away (RFC 3207 §4.2).
func (s *session) beginTLS() error {
	s.upgrade = false
	if err := s.conn.handshake(s.server.TLS, s.limits.HandshakeTimeout); err != nil {
		return err
	}
	s.conn.extended = false
	s.state, s.lineLimit = fresh, s.limits.CommandLine
	s.reset()
	return nil
}

// handshake begins TLS on the connection. What was received before it is thrown away.
func (c *Conn) handshake(config *tls.Config, timeout time.Duration) error {
	t := tls.Server(c.wire, config)
	c.line.Upgrade(t)
	deadline := time.Now().Add(timeout)
	c.wire.SetWriteDeadline(deadline)
	c.wire.SetReadDeadline(deadline)
	if err := shakeHands(t); err != nil {
		return err
	}
	state := t.ConnectionState()
	c.tls = &state
	c.line.Transcript.Add(dialogue.Note, "("+tls.VersionName(state.Version)+", "+tls.CipherSuiteName(state.CipherSuite)+")")
	return nil
}

// shakeHands runs the handshake on a stack of its own, which grows deep and is given back then: a session that idles keeps
// the stack that it once needed.
func shakeHands(t *tls.Conn) error {
	done := make(chan error, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				done <- fmt.Errorf("%w in the handshake: %v", errPanic, r)
			}
		}()
		done <- t.Handshake()
	}()
	return <-done
}
