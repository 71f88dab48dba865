package node

import (
	"net"
	"time"

	"waybill/internal/proxyproto"
	"waybill/internal/trail"
)

// proxyRole is our side of a connection whose proxy has not said for whom it is.
const proxyRole = "PROXY"

// behindProxy lets the proxies of the configuration say for whom they connect. What does not begin as it must is told in
// the trail, as the session that it did not become.
func (n *Node) behindProxy(l net.Listener, protocol string) net.Listener {
	if len(n.config.Proxy.From) == 0 {
		return l
	}
	return proxyproto.NewListener(l, proxyproto.Options{
		From: n.config.Proxy.From,
		Refused: func(r proxyproto.Refusal) {
			n.trail.Record(trail.Event{
				Kind: trail.Refused, At: r.At, Took: time.Since(r.At), Actor: n.config.Hostname, Role: proxyRole,
				Peer: &trail.Peer{Addr: r.Proxy.String()},
				Decision: &trail.Decision{
					Question: "for whom does the proxy connect to listen." + protocol + "?", Outcome: "refused",
					Rule: "[proxy] from: " + r.From.String(), Reason: r.Err.Error(),
				},
			})
		},
	})
}
