package smtp

import (
	"bytes"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// half is one direction of a connection in memory: writes never block, reads obey deadlines in virtual time.
type half struct {
	mu       sync.Mutex
	changed  *sync.Cond
	buf      bytes.Buffer
	writes   int
	closed   bool
	deadline time.Time
	timer    *time.Timer
}

func newHalf() *half {
	h := &half{}
	h.changed = sync.NewCond(&h.mu)
	return h
}

func (h *half) read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case !h.deadline.IsZero() && !time.Now().Before(h.deadline):
			return 0, os.ErrDeadlineExceeded
		case h.buf.Len() > 0:
			return h.buf.Read(p)
		case h.closed:
			return 0, io.EOF
		}
		h.changed.Wait()
	}
}

func (h *half) write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return 0, io.ErrClosedPipe
	}
	h.writes++
	h.changed.Broadcast()
	return h.buf.Write(p)
}

func (h *half) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	if h.timer != nil {
		h.timer.Stop()
	}
	h.changed.Broadcast()
}

// discard forgets what was not read: who has closed a connection reads nothing more from it.
func (h *half) discard() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.buf.Reset()
}

func (h *half) setDeadline(t time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.deadline = t
	if h.timer != nil {
		h.timer.Stop()
	}
	if !t.IsZero() && !h.closed {
		h.timer = time.AfterFunc(time.Until(t), func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.changed.Broadcast()
		})
	}
	h.changed.Broadcast()
}

// memConn is one end of a connection in memory.
type memConn struct {
	in, out *half
	addr    net.Addr
}

// memPipe returns both ends; the first sees a peer at 192.0.2.24.
func memPipe() (near, far *memConn) {
	a, b := newHalf(), newHalf()
	peer := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 24), Port: 54321}
	return &memConn{in: a, out: b, addr: peer}, &memConn{in: b, out: a, addr: peer}
}

func (c *memConn) Read(p []byte) (int, error)         { return c.in.read(p) }
func (c *memConn) Write(p []byte) (int, error)        { return c.out.write(p) }
func (c *memConn) Close() error                       { c.in.close(); c.in.discard(); c.out.close(); return nil }
func (c *memConn) LocalAddr() net.Addr                { return c.addr }
func (c *memConn) RemoteAddr() net.Addr               { return c.addr }
func (c *memConn) SetDeadline(t time.Time) error      { return c.SetReadDeadline(t) }
func (c *memConn) SetReadDeadline(t time.Time) error  { c.in.setDeadline(t); return nil }
func (c *memConn) SetWriteDeadline(t time.Time) error { return nil }

// memListener hands out the connections that dial makes.
type memListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newMemListener() *memListener {
	return &memListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *memListener) dial() *memConn {
	near, far := memPipe()
	l.conns <- near
	return far
}

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *memListener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *memListener) Addr() net.Addr { return &net.TCPAddr{} }
