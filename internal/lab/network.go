package lab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"syscall"
)

// network maps the lab's addresses and standard ports to the sockets that this machine lets it have. The parts
// know nothing of it: they listen on and dial 127.0.0.x:25, :53, :110.
//
// Where the machine has the whole of 127/8, each address is itself and every port is moved by one offset, the same
// for all (0 where the standard ports may be bound). Where only 127.0.0.1 exists, a table leads from address:port
// to a socket of it, and back from a client's socket to the client's address.
type network struct {
	offset uint16
	table  bool

	mu      sync.Mutex
	tcp     map[netip.AddrPort]net.Listener   // opened, not handed out yet
	udp     map[netip.AddrPort]net.PacketConn // opened, not handed out yet
	sockets map[netip.AddrPort]string         // logical → real, of every listener
	sources map[string]netip.Addr             // table: a client's real socket → its address in the lab
}

// Offsets are tried in this order: none, then these; the first at which every socket is free is taken.
const (
	firstOffset = 10000
	offsetStep  = 2000
	lastOffset  = 64000 // with 995, the highest of the ports, still a port
)

// openNetwork opens all the sockets that the lab listens on, so that nobody else can take one in between.
func openNetwork(tcp, udp []netip.AddrPort) (*network, error) {
	if !wholeLoopback() {
		return openTable(tcp, udp)
	}
	var err error
	for offset := 0; offset <= lastOffset; offset = max(firstOffset, offset+offsetStep) {
		n := newNetwork(uint16(offset), false)
		if err = n.open(tcp, udp); err == nil {
			return n, nil
		}
	}
	return nil, fmt.Errorf("every range of ports that the lab tries is in use (how many labs are running?); the last one: %w", err)
}

// tableTries bounds how often other ports are taken because somebody has one for UDP that was free for TCP.
const tableTries = 20

// openTable opens all the sockets on 127.0.0.1.
func openTable(tcp, udp []netip.AddrPort) (n *network, err error) {
	for range tableTries {
		n = newNetwork(0, true)
		if err = n.open(tcp, udp); !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return n, err
}

// wholeLoopback says whether this machine has more of 127/8 than 127.0.0.1.
func wholeLoopback() bool {
	l, err := net.Listen("tcp", net.JoinHostPort(senderMail.addr, "0"))
	if err != nil {
		return false
	}
	l.Close()
	return true
}

func newNetwork(offset uint16, table bool) *network {
	return &network{
		offset: offset, table: table,
		tcp: map[netip.AddrPort]net.Listener{}, udp: map[netip.AddrPort]net.PacketConn{},
		sockets: map[netip.AddrPort]string{}, sources: map[string]netip.Addr{},
	}
}

// open opens everything or nothing.
func (n *network) open(tcp, udp []netip.AddrPort) error {
	for _, addr := range tcp {
		l, err := net.Listen("tcp", n.real(addr))
		if err != nil {
			return errors.Join(err, n.close())
		}
		n.tcp[addr], n.sockets[addr] = l, l.Addr().String()
	}
	for _, addr := range udp {
		// In a table, TCP got some port: UDP must have the same one.
		real := n.real(addr)
		if socket, ok := n.sockets[addr]; ok {
			real = socket
		}
		pc, err := net.ListenPacket("udp", real)
		if err != nil {
			return errors.Join(err, n.close())
		}
		n.udp[addr], n.sockets[addr] = pc, pc.LocalAddr().String()
	}
	return nil
}

func (n *network) real(addr netip.AddrPort) string {
	if n.table {
		return "127.0.0.1:0"
	}
	return netip.AddrPortFrom(addr.Addr(), addr.Port()+n.offset).String()
}

// close closes what nobody has taken.
func (n *network) close() error {
	var errs []error
	for _, l := range n.tcp {
		errs = append(errs, l.Close())
	}
	for _, pc := range n.udp {
		errs = append(errs, pc.Close())
	}
	clear(n.tcp)
	clear(n.udp)
	return errors.Join(errs...)
}

// socket returns the real address:port behind one of the lab's.
func (n *network) socket(addr netip.AddrPort) string { return n.sockets[addr] }

// note says in one sentence how the lab's addresses are mapped; "" when they are what they seem.
func (n *network) note() string {
	switch {
	case n.table:
		text := "this machine has only 127.0.0.1, so a table leads from each address to a socket of it"
		for _, addr := range slices.SortedFunc(maps.Keys(n.sockets), netip.AddrPort.Compare) {
			text += fmt.Sprintf("\n  %-18s = %s", addr, n.sockets[addr])
		}
		return text
	case n.offset != 0:
		return fmt.Sprintf("the standard ports may not be bound here, so every port is %d higher (25 is %d)", n.offset, 25+n.offset)
	}
	return ""
}

// Listen hands out the listener of address (node.Network).
func (n *network) Listen(_ context.Context, address string) (net.Listener, error) {
	addr, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	l, ok := n.tcp[addr]
	if !ok {
		return nil, fmt.Errorf("%s is not a listener of the lab, or is in use", addr)
	}
	delete(n.tcp, addr)
	if n.table {
		return tableListener{l, n}, nil
	}
	return l, nil
}

// listenPacket hands out the UDP socket of addr.
func (n *network) listenPacket(addr netip.AddrPort) (net.PacketConn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	pc, ok := n.udp[addr]
	if !ok {
		return nil, fmt.Errorf("%s is not a UDP socket of the lab, or is in use", addr)
	}
	delete(n.udp, addr)
	return pc, nil
}

// Dial connects to one of the lab's addresses from source (node.Network).
func (n *network) Dial(ctx context.Context, proto string, source netip.Addr, address string) (net.Conn, error) {
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	if n.table {
		return n.dialTable(ctx, proto, source, target)
	}
	return (&net.Dialer{LocalAddr: localAddr(proto, source)}).DialContext(ctx, proto, n.real(target))
}

func localAddr(proto string, source netip.Addr) net.Addr {
	switch {
	case !source.IsValid():
		return nil
	case proto == "udp":
		return &net.UDPAddr{IP: source.AsSlice()}
	}
	return &net.TCPAddr{IP: source.AsSlice()}
}

// dialTable holds the lock until the source is in the table, so that who accepts finds it there.
func (n *network) dialTable(ctx context.Context, proto string, source netip.Addr, target netip.AddrPort) (net.Conn, error) {
	real, ok := n.sockets[target]
	if !ok {
		return nil, fmt.Errorf("dial %s: connection refused: nothing in the lab listens there", target)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	conn, err := (&net.Dialer{}).DialContext(ctx, proto, real)
	if err == nil && source.IsValid() && proto == "tcp" {
		n.sources[conn.LocalAddr().String()] = source
	}
	return conn, err
}

// tableListener gives accepted connections the address that their client has in the lab.
type tableListener struct {
	net.Listener
	n *network
}

func (l tableListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.n.mu.Lock()
	defer l.n.mu.Unlock()
	key := conn.RemoteAddr().String()
	source, ok := l.n.sources[key]
	if !ok {
		return conn, nil // from outside the lab: a person's terminal
	}
	delete(l.n.sources, key)
	_, port, _ := net.SplitHostPort(key)
	number, _ := strconv.Atoi(port)
	return tableConn{conn, &net.TCPAddr{IP: source.AsSlice(), Port: number}}, nil
}

type tableConn struct {
	net.Conn
	remote net.Addr
}

func (c tableConn) RemoteAddr() net.Addr { return c.remote }
