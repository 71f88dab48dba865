package node

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// Network is how a node reaches the world and is reached by it. The lab gives another one.
type Network interface {
	// Listen opens a TCP listener on address:port.
	Listen(ctx context.Context, address string) (net.Listener, error)
	// Dial connects to address:port from source; an invalid source leaves the choice to the system.
	Dial(ctx context.Context, network string, source netip.Addr, address string) (net.Conn, error)
}

// System is the operating system's network.
type System struct{}

// Listen opens a listener that finds out about silent, dead peers within two minutes.
func (System) Listen(ctx context.Context, address string) (net.Listener, error) {
	lc := net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: time.Minute, Interval: 15 * time.Second, Count: 4,
	}}
	return lc.Listen(ctx, "tcp", address)
}

// Dial connects.
func (System) Dial(ctx context.Context, network string, source netip.Addr, address string) (net.Conn, error) {
	var d net.Dialer
	if source.IsValid() {
		if network == "udp" {
			d.LocalAddr = &net.UDPAddr{IP: source.AsSlice()}
		} else {
			d.LocalAddr = &net.TCPAddr{IP: source.AsSlice()}
		}
	}
	return d.DialContext(ctx, network, address)
}
