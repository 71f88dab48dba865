package pop3

import (
	"net"
	"net/netip"
)

// census knows the connections that are served now. Its owner locks it.
type census struct {
	conns      map[*Conn]netip.Prefix
	perNetwork map[netip.Prefix]int
}

// admit adds a connection unless there would be too many.
func (p *census) admit(c *Conn, l Limits) bool {
	from := network(c.RemoteAddr())
	if len(p.conns) >= l.Sessions || from.IsValid() && p.perNetwork[from] >= l.SessionsPerAddress {
		return false
	}
	if p.conns == nil {
		p.conns, p.perNetwork = map[*Conn]netip.Prefix{}, map[netip.Prefix]int{}
	}
	p.conns[c] = from
	p.perNetwork[from]++
	return true
}

func (p *census) leave(c *Conn) {
	from := p.conns[c]
	delete(p.conns, c)
	if p.perNetwork[from]--; p.perNetwork[from] <= 0 {
		delete(p.perNetwork, from)
	}
}

func (p *census) each(do func(*Conn)) {
	for c := range p.conns {
		do(c)
	}
}

// network returns what counts as one client: an IPv4 address, or the /64 that an IPv6 host can choose from.
// The zero Prefix stands for an address of another kind.
func network(addr net.Addr) netip.Prefix {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	prefix, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}
