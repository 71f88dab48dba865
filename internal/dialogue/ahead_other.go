//go:build !unix

package dialogue

import "syscall"

func (c *Conn) socket() syscall.RawConn { return nil }

func arrived(syscall.RawConn) bool { return false }
