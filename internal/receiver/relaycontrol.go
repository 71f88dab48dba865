package receiver

import (
	"context"
	"strings"
	"time"

	"waybill/internal/mail"
	"waybill/internal/smtp"
	"waybill/internal/spool"
	"waybill/internal/trail"
)

// Rcpt decides about one recipient: is it ours, and if not, may this client relay?
func (s *session) Rcpt(ctx context.Context, forward mail.Address, p smtp.RcptParams) mail.Status {
	if forward.Domain == "" || s.r.Directory.IsLocal(forward.Domain) {
		return s.rcptLocal(ctx, forward, p.Report)
	}
	rule, allowed := s.relayAllowed()
	d := trail.Decision{Question: "may this client relay?", Outcome: "allowed", Rule: rule}
	if !allowed {
		d.Outcome = "refused"
		d.Reason = forward.Domain + " is not ours, " + s.peer.String() + " is in no trusted network, and nobody has logged in"
		if rule != closed {
			d.Reason = forward.Domain + " is not ours, and nobody has logged in"
		}
		status := relayingDenied.WithText("%s... Relaying denied", forward)
		s.refuse(d, status, forward.String())
		return status
	}
	s.addRecipient(elsewhere(forward), spool.Recipient{ForwardPath: forward, Report: p.Report, State: spool.Pending})
	return s.rcptTaken(forward, d)
}

func (s *session) rcptTaken(forward mail.Address, d trail.Decision) mail.Status {
	s.decided(d, forward.String())
	return recipientOK.WithText("%s... Recipient ok", forward)
}

// decided keeps a decision for the waybill of the message that is on its way in.
func (s *session) decided(d trail.Decision, recipient string) {
	s.tx.decisions = append(s.tx.decisions, trail.Event{
		Kind: trail.Decided, At: time.Now(), Actor: s.r.Hostname, Role: string(s.kind), Session: s.conn.ID(),
		Recipient: recipient, Decision: &d,
	})
}

// closed is the rule where nothing else is said.
const closed = "closed by default"

// relayAllowed says whether this client may send to other networks, and by which rule: closed unless somebody logged in
// or the client's address is in a network that the configuration trusts, and no gateway.
func (s *session) relayAllowed() (rule string, allowed bool) {
	if !s.account.IsNull() {
		return "AUTH: " + s.account.String(), true
	}
	network, ok := s.trusted()
	if !ok {
		return closed, false
	}
	if rule := s.r.gateways.distrust(s.peer); rule != "" {
		return rule, false
	}
	return "[relay] trusted: " + network.String(), true
}

// isPostmaster says whether an address is that of a postmaster, which is always accepted (RFC 5321 §4.5.1).
func isPostmaster(a mail.Address) bool { return strings.EqualFold(a.Local, "postmaster") }
