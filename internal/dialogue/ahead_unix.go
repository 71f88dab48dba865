//go:build unix

package dialogue

import "syscall"

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

// arrived says whether octets wait in the socket. That the peer has closed it is no octet.
func arrived(raw syscall.RawConn) bool {
	n := 0
	raw.Control(func(fd uintptr) {
		var octet [1]byte
		n, _, _ = syscall.Recvfrom(int(fd), octet[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	})
	return n > 0
}
