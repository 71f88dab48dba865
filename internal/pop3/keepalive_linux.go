package pop3

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// giveUpUnacknowledged ends the connection when the peer has acknowledged nothing for that long: while output
// is under way no probes are sent, and retransmission alone would go on for a quarter of an hour.
func giveUpUnacknowledged(nc net.Conn, after time.Duration) {
	c, ok := nc.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(after.Milliseconds()))
	})
}
