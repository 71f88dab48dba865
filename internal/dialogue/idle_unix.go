//go:build unix

package dialogue

import (
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// idleReader reads from a connection without holding a buffer while nothing comes: thousands of sessions wait at a time.
type idleReader struct {
	raw  syscall.RawConn
	read func(fd uintptr) bool // tryRead, made once
	conn *Conn
	err  error
}

// newIdleReader returns nil if nc is no connection of the operating system, as under TLS.
func newIdleReader(nc net.Conn) *idleReader {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	return &idleReader{raw: raw}
}

// fillIdle is Fill while there is no buffer.
func (c *Conn) fillIdle(deadline time.Time) error {
	i := c.idle
	if i.read == nil {
		i.conn, i.read = c, i.tryRead
	}
	c.Conn.SetReadDeadline(deadline) // if the connection is gone, the read says so
	i.err = nil
	if err := i.raw.Read(i.read); err != nil {
		return err
	}
	return i.err
}

// tryRead reads what there is into a buffer of the pool; false means that nothing is, and is to be waited for.
func (i *idleReader) tryRead(fd uintptr) bool {
	c := i.conn
	c.takeSmall()
	n, err := syscall.Read(int(fd), c.in)
	for err == syscall.EINTR {
		n, err = syscall.Read(int(fd), c.in)
	}
	if n > 0 {
		c.w = n
		return true
	}
	smallBuffers.Put(c.small)
	c.small, c.in = nil, nil
	switch {
	case err == syscall.EAGAIN:
		return false
	case err == nil:
		i.err = io.EOF
	default:
		i.err = os.NewSyscallError("read", err)
	}
	return true
}
