//go:build unix

package dialogue

import (
	"crypto/tls"
	"net"
	"syscall"
)

// socket is the connection of the operating system that this one is, or was before TLS; nil if there is none.
func (c *Conn) socket() syscall.RawConn {
	if c.under != nil {
		return c.under.raw
	}
	if c.idle != nil {
		return c.idle.raw
	}
	return nil
}

// peek says how many octets, one at most, wait in the socket, without taking them or waiting for them. syscall.EAGAIN says
// that none do, and no error with none that the peer has closed.
func peek(raw syscall.RawConn) (n int, err error) {
	gone := raw.Control(func(fd uintptr) {
		var octet [1]byte
		n, _, err = syscall.Recvfrom(int(fd), octet[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	})
	if gone != nil {
		return 0, gone
	}
	return n, err
}

// arrived says whether octets wait in the socket. That the peer has closed it is no octet.
func arrived(raw syscall.RawConn) bool {
	n, _ := peek(raw)
	return n > 0
}

// Quiet says whether a connection is open as far as the operating system knows, and nothing of the peer's waits in it, not
// even the end of TLS. It is false too where that cannot be told. It does not wait, and takes nothing away.
func Quiet(nc net.Conn) bool {
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	_, err = peek(raw)
	return err == syscall.EAGAIN
}
