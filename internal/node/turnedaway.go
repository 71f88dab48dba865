package node

import (
	"errors"
	"net"
	"time"

	"waybill/internal/dialogue"
	"waybill/internal/mail"
	"waybill/internal/pop3"
	"waybill/internal/trail"
)

// turnedAway tells the trail of a connection that became no session: it has no other record of it. Of a flood the trail keeps
// some for each address, and the number of the others.
func (n *Node) turnedAway(role string, peer net.Addr, status mail.Status, err error) {
	d := &trail.Decision{
		Question: "may this connection become a session?", Outcome: "refused",
		Rule: "[limits] sessions and sessions_per_address", Reason: status.Text,
	}
	switch {
	case err != nil && !errors.Is(err, pop3.ErrSessions):
		d.Rule, d.Reason = "TLS from the first byte", dialogue.Printable(err.Error())
	case n.draining.Load():
		d.Rule = "a server that ends takes nobody in"
	}
	e := trail.Event{Kind: trail.Refused, At: time.Now(), Actor: n.config.Hostname, Role: role,
		Peer: &trail.Peer{Addr: peer.String()}, Decision: d}
	if status.Code != 0 {
		e.Status = &status
	}
	n.trail.Record(e)
}
