package receiver

import (
	"context"
	"errors"
	"time"

	"waybill/internal/dialogue"
	"waybill/internal/directory"
	"waybill/internal/mail"
	"waybill/internal/smtp"
	"waybill/internal/trail"
)

// Rcpt decides about one recipient: is it ours, and if not, may this client relay?
func (s *session) Rcpt(ctx context.Context, forward mail.Address, _ smtp.RcptParams) mail.Status {
	if forward.Domain == "" || s.r.Directory.IsLocal(forward.Domain) {
		return s.rcptLocal(ctx, forward)
	}
	rule, allowed := s.relayAllowed()
	d := trail.Decision{Question: "may this client relay?", Outcome: "allowed", Rule: rule}
	if !allowed {
		d.Outcome = "refused"
		d.Reason = forward.Domain + " is not ours, " + s.peer.String() + " is in no trusted network, and nobody has logged in"
		status := relayingDenied.WithText("%s... Relaying denied", forward)
		s.refuse(d, status, forward.String())
		return status
	}
	return s.takeRcpt(forward, d)
}

// rcptLocal asks the directory for a recipient in one of our domains.
func (s *session) rcptLocal(ctx context.Context, forward mail.Address) mail.Status {
	account, err := s.r.Directory.Lookup(ctx, forward)
	d := trail.Decision{Question: "is the recipient ours?", Outcome: "local"}
	switch {
	case err == nil:
		d.Rule = "account " + account.Address.String()
		s.tx.accounts = append(s.tx.accounts, account.Address)
		return s.takeRcpt(forward, d)
	case errors.Is(err, directory.ErrNoAccount):
		d.Outcome, d.Rule = "refused", "domain "+forward.Domain+" is ours"
		d.Reason = "it has no account " + forward.String()
		status := userUnknown.WithText("%s... User unknown", forward)
		s.refuse(d, status, forward.String())
		return status
	}
	s.r.Logger.Error("recipient could not be looked up", "session", s.conn.ID(), "error", err)
	return storeDown
}

func (s *session) takeRcpt(forward mail.Address, d trail.Decision) mail.Status {
	s.tx.forwardPaths = append(s.tx.forwardPaths, forward)
	s.tx.decisions = append(s.tx.decisions, trail.Event{
		Kind: trail.Decided, At: time.Now(), Actor: s.r.Hostname, Role: string(s.kind), Session: s.conn.ID(),
		Recipient: forward.String(), Decision: &d,
	})
	return mail.NewStatus(250, "2.1.5", forward.String()+"... Recipient ok")
}

// relayAllowed says whether this client may send to other networks, and by which rule: closed unless
// somebody logged in or the client's address is in a network that the configuration trusts.
func (s *session) relayAllowed() (rule string, allowed bool) {
	if !s.account.IsNull() {
		return "AUTH: " + s.account.String(), true
	}
	if s.kind == MTA {
		if network, ok := dialogue.Network(s.r.Trusted, s.peer); ok {
			return "[relay] trusted: " + network.String(), true
		}
	}
	return "closed by default", false
}
