package proxyproto

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"waybill/internal/dialogue"
)

const (
	// HeaderTimeout is how long a proxy may take to send its header; it has it when it connects.
	HeaderTimeout = 5 * time.Second
	// maxPending bounds the connections whose header is awaited. Further ones are closed at once.
	maxPending = 1024
)

// Options say who must send headers.
type Options struct {
	From    []netip.Prefix // the proxies
	Refused func(Refusal)  // told of each connection that was closed; required
}

// Refusal is a connection of a proxy that was closed because it did not begin as it must.
type Refusal struct {
	At    time.Time
	Proxy net.Addr
	From  netip.Prefix // the entry of Options.From that holds it
	Err   error
}

// NewListener returns a listener on l. The connections from proxies have the address of the client that their header names;
// the others are left as they are. No proxy that dawdles holds up anyone else.
func NewListener(l net.Listener, o Options) net.Listener {
	p := &listener{Listener: l, o: o, ready: make(chan accepted), closed: make(chan struct{}), pending: map[net.Conn]bool{}}
	go p.acceptAll()
	return p
}

type listener struct {
	net.Listener
	o      Options
	ready  chan accepted
	closed chan struct{}
	once   sync.Once

	mu      sync.Mutex
	ended   bool
	pending map[net.Conn]bool // their header is awaited
}

type accepted struct {
	conn net.Conn
	err  error
}

// Accept returns the next connection that is ready to be served.
func (p *listener) Accept() (net.Conn, error) {
	select {
	case <-p.closed:
		return nil, net.ErrClosed
	case a := <-p.ready:
		return a.conn, a.err
	}
}

// Close ends the listener and the connections whose header has not come.
func (p *listener) Close() error {
	p.once.Do(func() { close(p.closed) })
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	for c := range p.pending {
		c.Close()
	}
	return p.Listener.Close()
}

// acceptAll accepts until the listener is closed. The pause after an error is that of whoever calls Accept.
func (p *listener) acceptAll() {
	for {
		conn, err := p.Listener.Accept()
		if err != nil {
			if !p.hand(nil, err) {
				return
			}
			continue
		}
		from, proxy := dialogue.Network(p.o.From, dialogue.PeerAddr(conn.RemoteAddr()))
		switch {
		case !proxy:
			p.hand(conn, nil)
		case p.await(conn):
			go p.header(conn, from)
		default:
			conn.Close()
		}
	}
}

// hand gives a connection or an error to Accept; false if nobody will call it again.
func (p *listener) hand(conn net.Conn, err error) bool {
	select {
	case p.ready <- accepted{conn, err}:
		return true
	case <-p.closed:
		if conn != nil {
			conn.Close()
		}
		return false
	}
}

func (p *listener) await(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended || len(p.pending) >= maxPending {
		return false
	}
	p.pending[conn] = true
	return true
}

func (p *listener) header(conn net.Conn, from netip.Prefix) {
	began := time.Now()
	conn.SetDeadline(began.Add(HeaderTimeout)) // a connection without it would end all the same
	h, err := Read(conn)
	if err == nil {
		err = conn.SetDeadline(time.Time{})
	}
	p.mu.Lock()
	delete(p.pending, conn)
	ended := p.ended
	p.mu.Unlock()
	switch {
	case err == nil:
		p.hand(named(conn, h), nil)
	case ended:
		conn.Close()
	default:
		conn.Close()
		p.o.Refused(Refusal{At: began, Proxy: conn.RemoteAddr(), From: from, Err: err})
	}
}

// named returns the connection as the client's. One of TCP stays one in all but its type, so that the engines can set what
// they set of it.
func named(conn net.Conn, h Header) net.Conn {
	if h.Local {
		return conn
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		return tcpConn{tcp, h.addr()}
	}
	return otherConn{conn, h.addr()}
}

type tcpConn struct {
	*net.TCPConn
	client net.Addr
}

// RemoteAddr is the client's address.
func (c tcpConn) RemoteAddr() net.Addr { return c.client }

type otherConn struct {
	net.Conn
	client net.Addr
}

// RemoteAddr is the client's address.
func (c otherConn) RemoteAddr() net.Addr { return c.client }
