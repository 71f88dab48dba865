package dnstest

import (
	"context"
	"net"
	"os"
	"sync"
	"time"
)

// packetConn is a net.PacketConn whose messages come from pipes.
type packetConn struct {
	incoming chan message
	ended    chan struct{} // closed when nothing is read any more
	end      func()
}

// message is a datagram and the pipe that it came from.
type message struct {
	data []byte
	from pipeAddr
}

// pipeAddr is the address of who is at the other end of a pipe.
type pipeAddr struct{ net.Conn }

// Network names the network.
func (pipeAddr) Network() string { return "udp" }

// String returns an address from the range for examples.
func (pipeAddr) String() string { return "192.0.2.1:1024" }

func newPacketConn() *packetConn {
	p := &packetConn{incoming: make(chan message), ended: make(chan struct{})}
	p.end = sync.OnceFunc(func() { close(p.ended) })
	return p
}

// feed hands what comes from a pipe to the reader, until the pipe or the reader ends.
func (p *packetConn) feed(conn net.Conn) {
	defer conn.Close()
	for {
		buffer := make([]byte, 64*1024)
		n, err := conn.Read(buffer)
		if err != nil {
			return
		}
		select {
		case p.incoming <- message{buffer[:n], pipeAddr{conn}}:
		case <-p.ended:
			return
		}
	}
}

// ReadFrom waits for the next message.
func (p *packetConn) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case m := <-p.incoming:
		return copy(b, m.data), m.from, nil
	case <-p.ended:
		return 0, nil, os.ErrDeadlineExceeded
	}
}

// WriteTo writes to the pipe that a message came from.
func (p *packetConn) WriteTo(b []byte, to net.Addr) (int, error) { return to.(pipeAddr).Write(b) }

// Close ends reading.
func (p *packetConn) Close() error { p.end(); return nil }

// LocalAddr returns the address of the pipes' other end.
func (p *packetConn) LocalAddr() net.Addr { return pipeAddr{} }

// SetDeadline is SetReadDeadline.
func (p *packetConn) SetDeadline(t time.Time) error { return p.SetReadDeadline(t) }

// SetReadDeadline ends reading for good if t has passed, which is all that servers use it for.
func (p *packetConn) SetReadDeadline(t time.Time) error {
	if !t.IsZero() && t.Before(time.Now()) {
		p.end()
	}
	return nil
}

// SetWriteDeadline does nothing: who reads the pipe sets a deadline.
func (p *packetConn) SetWriteDeadline(time.Time) error { return nil }

// listener is a net.Listener whose connections are pipes.
type listener struct {
	incoming chan net.Conn
	ended    chan struct{}
	end      func()
}

func newListener() *listener {
	l := &listener{incoming: make(chan net.Conn), ended: make(chan struct{})}
	l.end = sync.OnceFunc(func() { close(l.ended) })
	return l
}

// accepts hands a connection to Accept.
func (l *listener) accepts(ctx context.Context, conn net.Conn) error {
	select {
	case l.incoming <- conn:
		return nil
	case <-l.ended:
		return net.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Accept waits for the next connection.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.incoming:
		return conn, nil
	case <-l.ended:
		return nil, net.ErrClosed
	}
}

// Close ends accepting.
func (l *listener) Close() error { l.end(); return nil }

// Addr returns the address of the pipes' other end.
func (l *listener) Addr() net.Addr { return pipeAddr{} }
