//go:build !unix

package dialogue

import (
	"net"
	"syscall"
)

func (c *Conn) socket() syscall.RawConn { return nil }

func arrived(syscall.RawConn) bool { return false }

// Quiet says whether a connection is open and nothing waits in it; here that cannot be told.
func Quiet(net.Conn) bool { return false }
