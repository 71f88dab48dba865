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
func (k *core) dial(ctx context.Context, network, address string) (net.Conn, error) {
	return k.network.Dial(ctx, network, k.source(address), address)
}

// source returns the address to connect from: the first of [relay] source, or of the smtp listeners, that can reach the
// target, so that others see the address that our name leads to. A loopback address reaches loopback only, and another one
// is no good there: name servers on this machine answer loopback alone. An invalid address leaves it to the system.
func (k *core) source(address string) netip.Addr {
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return netip.Addr{}
	}
	to := target.Addr().Unmap()
	for _, s := range k.sources() {
		if !s.IsUnspecified() && s.Is4() == to.Is4() && s.IsLoopback() == to.IsLoopback() {
			return s
		}
	}
	return netip.Addr{}
}

func (k *core) sources() []netip.Addr {
	if len(k.config.Relay.Source) > 0 {
		return k.config.Relay.Source
	}
	var sources []netip.Addr
	for _, l := range k.config.Listen.SMTP {
		sources = append(sources, l.Addr())
	}
	return sources
}

// isSelf says whether mail relayed to an address and port would come back to this node.
func (k *core) isSelf(to netip.AddrPort) bool {
	addr := to.Addr()
	for _, l := range slices.Concat(k.config.Listen.SMTP, k.config.Listen.Submission, k.config.Listen.Submissions) {
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
func (k *core) targets(ctx context.Context, to mail.Address) []spool.Recipient {
	if srs.Is(to) {
		if author, err := k.directory.Unwrap(ctx, to, time.Now()); err == nil {
			return []spool.Recipient{{ForwardPath: author, Original: to}}
		}
	}
	found, err := k.directory.Resolve(ctx, to)
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
func (k *core) limits(nextHop string) (connections int, rate float64) {
	r := config.Route{}
	if route := k.routes.Of(nextHop); route != nil {
		r = route.Route
	}
	return cmp.Or(r.Connections, k.config.Queue.Connections), cmp.Or(r.Rate, k.config.Queue.Rate)
}
