//go:build unix

package dialogue

import (
	"crypto/tls"
	"net"
	"syscall"
)

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
	quiet := false
	err = raw.Control(func(fd uintptr) {
		var octet [1]byte
		_, _, err := syscall.Recvfrom(int(fd), octet[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		quiet = err == syscall.EAGAIN
	})
	return quiet && err == nil
}
