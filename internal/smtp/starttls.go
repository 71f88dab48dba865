package smtp

import (
	"context"

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
