package smtp

import (
	"net"
	"net/netip"

	"waybill/internal/mail"
)

func (s *Server) addListener(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return false
	}
	if s.listeners == nil {
		s.listeners = make(map[net.Listener]bool)
	}
	s.listeners[l] = true
	return true
}

func (s *Server) removeListener(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
}

func (s *Server) isDraining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}

// admit counts a new session, or returns the reply that refuses it.
func (s *Server) admit(w *wire, l Limits) mail.Status {
	network := networkOf(w.RemoteAddr())
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.draining:
		return shuttingDown
	case len(s.sessions) >= l.Sessions:
		return tooManySessions
	case network.IsValid() && s.networks[network] >= l.SessionsPerAddress:
		return addressSessions
	}
	if s.sessions == nil {
		s.sessions, s.networks = make(map[*wire]netip.Prefix), make(map[netip.Prefix]int)
	}
	s.sessions[w] = network
	s.networks[network]++
	s.running.Add(1)
	return mail.Status{}
}

// Sessions returns how many there are now.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

// release closes the connection of a session that has ended, and forgets it.
func (s *Server) release(w *wire) {
	w.Close() // of a session with TLS, its end was said before
	s.mu.Lock()
	network := s.sessions[w]
	delete(s.sessions, w)
	if s.networks[network]--; s.networks[network] == 0 {
		delete(s.networks, network)
	}
	s.mu.Unlock()
	s.running.Done()
}

// networkOf returns what sessions are counted under: an IPv4 address, or an IPv6 /64, as one customer has
// that many addresses. Loopback and what is not IP are not counted: that is the machine's own business.
func networkOf(addr net.Addr) netip.Prefix {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	if ip.IsLoopback() {
		return netip.Prefix{}
	}
	network, _ := ip.Prefix(bits)
	return network
}
