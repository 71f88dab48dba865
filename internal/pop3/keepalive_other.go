//go:build !linux

package pop3

import (
	"net"
	"time"
)

// giveUpUnacknowledged is for Linux only; elsewhere the limits on writes and inactivity have to do.
func giveUpUnacknowledged(net.Conn, time.Duration) {}
