package scram

import (
	"crypto/tls"
	"errors"

	xdg "github.com/xdg-go/scram"
)

var (
	// ErrProof: the client does not know the password, or the name has no keys.
	ErrProof = errors.New("scram: no proof of the password")
	// ErrExchange: the client's message is malformed, or bound to another connection. Nothing was learned of a password.
	ErrExchange = errors.New("scram: malformed message, or not of this connection")
)

// Server is the server's side of one login.
type Server struct {
	lookup       func(login string) (Keys, error)
	conversation *xdg.ServerConversation
	lookupErr    error
}

// NewServer begins a login. lookup finds the keys for the name that the client gives; it is called once, and its error
// is what Next returns. binding is what Binding returned for the connection; nil: the mechanism with -PLUS is not
// offered there. plus says that it is the one chosen.
//
// A client that could bind the channel but was told that we cannot is refused: somebody between us took the mechanism
// out of our offer (RFC 5802 §6).
func NewServer(lookup func(login string) (Keys, error), binding []byte, plus bool) (*Server, error) {
	s := &Server{lookup: lookup}
	server, err := xdg.SHA256.NewServer(s.credentials)
	if err != nil {
		return nil, err
	}
	cb := xdg.ChannelBinding{Type: xdg.ChannelBindingTLSExporter, Data: binding}
	switch {
	case plus && binding == nil:
		return nil, ErrExchange
	case plus:
		s.conversation = server.NewConversationWithChannelBindingRequired(cb)
	case binding != nil:
		s.conversation = server.NewConversationWithChannelBinding(cb)
	default:
		s.conversation = server.NewConversation()
	}
	return s, nil
}

func (s *Server) credentials(login string) (xdg.StoredCredentials, error) {
	k, err := s.lookup(login)
	s.lookupErr = err
	return xdg.StoredCredentials{
		KeyFactors: xdg.KeyFactors{Salt: string(k.Salt), Iters: k.Iterations}, StoredKey: k.StoredKey, ServerKey: k.ServerKey,
	}, err
}

// Next takes a message of the client and returns the one for the client. done says that it is the last, which proves to
// the client that we know the keys. Errors: ErrProof, ErrExchange, the lookup's.
func (s *Server) Next(message []byte) (answer []byte, done bool, err error) {
	text, err := s.conversation.Step(string(message))
	switch {
	case s.lookupErr != nil:
		return nil, false, s.lookupErr
	case text == xdg.ErrInvalidProof:
		return nil, false, ErrProof
	case err != nil:
		return nil, false, ErrExchange // the library's error quotes what the client sent
	}
	return []byte(text), s.conversation.Valid(), nil
}

// Login returns the name that the client gave; "" before its first message.
func (s *Server) Login() string { return s.conversation.Username() }

// Identity returns the name that the client wants to act as; usually "".
func (s *Server) Identity() string { return s.conversation.AuthzID() }

// Binding returns what ties a login to a TLS connection, the same at both ends of it and only there: "tls-exporter"
// (RFC 9266). It is nil without TLS, and with TLS 1.2 without extended master secret, which cannot tie it.
func Binding(state *tls.ConnectionState) []byte {
	if state == nil {
		return nil
	}
	cb, err := xdg.NewTLSExporterBinding(state)
	if err != nil {
		return nil
	}
	return cb.Data
}

// Mechanisms returns what can be offered on a connection with that binding, the best first.
func Mechanisms(binding []byte) []string {
	if binding == nil {
		return []string{SHA256}
	}
	return []string{SHA256Plus, SHA256}
}
