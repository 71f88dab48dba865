package smtp

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// wire is a connection whose reader can be told to stop between transactions, without losing the race
// against the reader's own deadlines.
type wire struct {
	net.Conn
	network netip.Prefix // that it is counted under

	mu       sync.Mutex
	draining bool // the server shuts down
	idle     bool // the session waits for a command, with no transaction open
}

// SyscallConn lets the line reader wait without a buffer. Deadlines stay those of this wire.
func (w *wire) SyscallConn() (syscall.RawConn, error) {
	if sc, ok := w.Conn.(syscall.Conn); ok {
		return sc.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// SetReadDeadline is overruled while the session idles on a server that shuts down.
func (w *wire) SetReadDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.draining && w.idle {
		t = longAgo
	}
	return w.Conn.SetReadDeadline(t)
}

// drain asks the session to end as soon as it has no transaction open.
func (w *wire) drain() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.draining = true
	if w.idle {
		w.Conn.SetReadDeadline(longAgo)
	}
}

// setIdle says whether the session may be ended from now on; it returns false if it must end now.
func (w *wire) setIdle(idle bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.idle = idle
	return !(idle && w.draining)
}

// stopped says whether it is the shutdown that ended the reader's wait.
func (w *wire) stopped() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.draining && w.idle
}
