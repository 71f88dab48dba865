package smtp

import (
	"net"
	"net/netip"
	"sync"

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

// Admission bounds how many sessions there are at a time, in all and from one network. Servers that share one share the
// bounds. It remembers no more than the sessions that there are.
type Admission struct {
	sessions, perNetwork int

	mu       sync.Mutex
	present  int
	networks map[netip.Prefix]int
}

// NewAdmission returns an Admission for so many sessions in all, and from one IPv4 address or IPv6 /64.
func NewAdmission(sessions, perAddress int) *Admission {
	return &Admission{sessions: sessions, perNetwork: perAddress, networks: make(map[netip.Prefix]int)}
}

// enter counts a new session, or returns the reply that refuses it.
func (a *Admission) enter(network netip.Prefix) mail.Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.present >= a.sessions:
		return tooManySessions
	case network.IsValid() && a.networks[network] >= a.perNetwork:
		return addressSessions
	}
	a.present++
	if network.IsValid() {
		a.networks[network]++
	}
	return mail.Status{}
}

// leave forgets a session that entered.
func (a *Admission) leave(network netip.Prefix) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.present--
	if !network.IsValid() {
		return
	}
	if a.networks[network]--; a.networks[network] == 0 {
		delete(a.networks, network)
	}
}

// admit counts a new session, or returns the reply that refuses it.
func (s *Server) admit(w *wire, l *Limits) mail.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return shuttingDown
	}
	if s.sessions == nil {
		s.sessions, s.stopping = make(map[*wire]struct{}), make(chan struct{})
	}
	if s.Admission == nil {
		s.Admission = NewAdmission(l.Sessions, l.SessionsPerAddress)
	}
	if refusal := s.Admission.enter(w.network); refusal.Code != 0 {
		return refusal
	}
	s.sessions[w] = struct{}{}
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
	delete(s.sessions, w)
	s.mu.Unlock()
	s.Admission.leave(w.network)
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
