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

// Listen opens a listener that finds out about silent, dead peers within two minutes. An IPv4 address listens to IPv4 only and
// an IPv6 address to IPv6 only, so that 0.0.0.0 and [::] can stand side by side and a peer's address is what it seems.
func (System) Listen(ctx context.Context, address string) (net.Listener, error) {
	lc := net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: time.Minute, Interval: 15 * time.Second, Count: 4,
	}}
	family := "tcp4"
	if addr, err := netip.ParseAddrPort(address); err == nil && addr.Addr().Is6() {
		family = "tcp6"
	}
	return lc.Listen(ctx, family, address)
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
