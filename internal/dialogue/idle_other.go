//go:build !unix

package dialogue

import (
	"net"
	"time"
)

// idleReader is not built where the operating system has no file descriptors that can be read without a buffer at hand.
type idleReader struct{}

func newIdleReader(net.Conn) *idleReader { return nil }

func (c *Conn) fillIdle(time.Time) error { return nil }
