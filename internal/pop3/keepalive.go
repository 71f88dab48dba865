package pop3

import (
	"net"
	"time"
)

// A client that vanished without a word keeps its maildrop locked until the connection is known to be dead:
// after the first probe and probeCount more, 105 seconds, instead of ten minutes of inactivity.
const (
	probeIdle     = 30 * time.Second
	probeInterval = 15 * time.Second
	probeCount    = 5
	deadAfter     = probeIdle + probeCount*probeInterval
)

// keepAlive lets the kernel notice that the peer of a TCP connection is gone; other connections stay as they are.
func keepAlive(nc net.Conn) {
	c, ok := nc.(interface {
		SetKeepAliveConfig(net.KeepAliveConfig) error
	})
	if !ok {
		return
	}
	// A connection that refuses this is as good as before.
	_ = c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: probeIdle, Interval: probeInterval, Count: probeCount})
	giveUpUnacknowledged(nc, deadAfter)
}
