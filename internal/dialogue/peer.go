package dialogue

import (
	"net"
	"net/netip"
)

// PeerAddr returns the IP address in addr, IPv4 as IPv4 and without a zone; the zero Addr, which is in no network, if
// there is none.
func PeerAddr(addr net.Addr) netip.Addr {
	if tcp, ok := addr.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	if ap, err := netip.ParseAddrPort(addr.String()); err == nil {
		return ap.Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// Network returns the first of the networks that holds addr.
func Network(networks []netip.Prefix, addr netip.Addr) (netip.Prefix, bool) {
	for _, network := range networks {
		if network.Contains(addr) {
			return network, true
		}
	}
	return netip.Prefix{}, false
}
