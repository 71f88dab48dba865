package node

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"slices"
	"time"

	"waybill/internal/config"
	"waybill/internal/mail"
	"waybill/internal/spool"
	"waybill/internal/srs"
)

// dial connects from the source address that suits the target.
func (n *Node) dial(ctx context.Context, network, address string) (net.Conn, error) {
	return n.network.Dial(ctx, network, n.source(address), address)
}

// source returns the address to connect from: the first of [relay] source, or of the smtp listeners, that can reach the
// target, so that others see the address that our name leads to. A loopback address reaches loopback only, and another one
// is no good there: name servers on this machine answer loopback alone. An invalid address leaves it to the system.
func (n *Node) source(address string) netip.Addr {
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return netip.Addr{}
	}
	to := target.Addr().Unmap()
	for _, s := range n.sources() {
		if !s.IsUnspecified() && s.Is4() == to.Is4() && s.IsLoopback() == to.IsLoopback() {
			return s
		}
	}
	return netip.Addr{}
}

func (n *Node) sources() []netip.Addr {
	if len(n.config.Relay.Source) > 0 {
		return n.config.Relay.Source
	}
	var sources []netip.Addr
	for _, l := range n.config.Listen.SMTP {
		sources = append(sources, l.Addr())
	}
	return sources
}

// isSelf says whether mail relayed to an address and port would come back to this node.
func (n *Node) isSelf(to netip.AddrPort) bool {
	addr := to.Addr()
	for _, l := range slices.Concat(n.config.Listen.SMTP, n.config.Listen.Submission, n.config.Listen.Submissions) {
		if l.Port() != to.Port() {
			continue
		}
		if l.Addr() == addr || l.Addr().IsUnspecified() && (addr.IsLoopback() || addr.IsUnspecified() || ofThisMachine(addr)) {
			return true
		}
	}
	return false
}

// ofThisMachine says whether one of the machine's interfaces has the address.
func ofThisMachine(addr netip.Addr) bool {
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, i := range interfaces {
		if own, err := netip.ParsePrefix(i.String()); err == nil && own.Addr() == addr {
			return true
		}
	}
	return false
}

// targets returns who gets a report that goes to a local address. If that cannot be found out, it is for the MDA to say.
func (n *Node) targets(ctx context.Context, to mail.Address) []spool.Recipient {
	if srs.Is(to) {
		if author, err := n.directory.Unwrap(ctx, to, time.Now()); err == nil {
			return []spool.Recipient{{ForwardPath: author, Original: to}}
		}
	}
	found, err := n.directory.Resolve(ctx, to)
	if err != nil || !found.Alias {
		return []spool.Recipient{{ForwardPath: to}}
	}
	var recipients []spool.Recipient
	for _, t := range found.Targets {
		recipients = append(recipients, spool.Recipient{ForwardPath: t.Path, Original: to})
	}
	return recipients
}

// limits says how many connections to a next hop there may be, and how many messages a second it gets.
func (n *Node) limits(nextHop string) (connections int, rate float64) {
	r := config.Route{}
	if route := n.routes.Of(nextHop); route != nil {
		r = route.Route
	}
	return cmp.Or(r.Connections, n.config.Queue.Connections), cmp.Or(r.Rate, n.config.Queue.Rate)
}
