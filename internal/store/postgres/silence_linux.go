package postgres

import (
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// silence is for how many milliseconds what was sent may stay without the network's acknowledgement. It ends a
// connection to a host that has gone; a server that takes its time acknowledges all the same.
const silence = 20000

// boundSilence sets TCP_USER_TIMEOUT (RFC 5482) on a connection to be.
func boundSilence(network, _ string, c syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	// Without it the system's own limit is in force, which is about fifteen minutes.
	return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, silence) })
}
