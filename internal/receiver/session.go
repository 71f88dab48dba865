package receiver

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"waybill/internal/dialogue"
	"waybill/internal/mail"
	"waybill/internal/smtp"
	"waybill/internal/trail"
)

// session is the policy of one SMTP connection. It outlives its transactions.
type session struct {
	r       *Receiver
	kind    Kind
	conn    *smtp.Conn
	peer    netip.Addr
	started time.Time

	hello   string         // claimed
	account mail.Address   // proven by AUTH; null before
	reverse *reverseLookup // begun with the first MAIL
	told    int            // lines of the transcript that stand in some message's waybill already
	last    mail.ID        // the newest message of the session
	refused []trail.Event  // decisions of transactions that came to nothing
	watched bool           // the relay guard has seen the session
	tx      transaction
}

// maxRefused bounds what one session may add to the trail.
const maxRefused = 20

// Hello answers HELO and EHLO. The name can be anything; the address is what we saw.
func (s *session) Hello(_ context.Context, name string, _ bool) mail.Status {
	s.hello = name
	// Not by fmt: an idle session keeps the stack that it grew to.
	return mail.Status{Code: 250, Text: s.r.Hostname + " Hello " + name + " [" + s.peer.String() + "], pleased to meet you"}
}

// Reset drops the transaction.
func (s *session) Reset() { s.tx = transaction{} }

// Close records what no message's waybill tells yet: the end of the session, or a session without a message.
func (s *session) Close(err error) {
	name := ""
	if s.reverse != nil {
		<-s.reverse.done
		name = s.reverse.name
		if s.last == "" {
			s.r.Trail.Record(s.reverseEvent())
		}
	}
	lines := s.conn.Transcript().Lines()
	e := trail.Event{
		Kind: trail.Ended, At: s.started, Took: time.Since(s.started),
		Actor: s.r.Hostname, Role: string(s.kind), Session: s.conn.ID(),
		Message: s.last, Peer: s.trailPeer(name),
		Dialogue: lines[min(s.told, len(lines)):],
	}
	if err != nil {
		e.Text = "the session ended early: " + err.Error()
	}
	for _, refused := range s.refused {
		refused.Message, refused.Peer.Name = s.last, name
		s.r.Trail.Record(refused)
	}
	s.r.Trail.Record(e)
}

// reverseEvent tells the lookup of the peer's name, which is over.
func (s *session) reverseEvent() trail.Event {
	e := trail.Event{
		Kind: trail.ReverseLookup, At: s.reverse.began, Took: s.reverse.took,
		Actor: s.r.Hostname, Role: string(s.kind), Session: s.conn.ID(),
		Peer: s.trailPeer(s.reverse.name), DNS: trail.Evidence(s.reverse.answer),
	}
	if s.reverse.err != nil {
		e.Text = "the reverse lookup failed: " + dialogue.Printable(strings.ReplaceAll(s.reverse.err.Error(), "\n", "; "))
	}
	return e
}

// trailPeer is who the peer is: the confirmed reverse name, if it is known by now, and what was claimed.
func (s *session) trailPeer(name string) *trail.Peer {
	return &trail.Peer{Addr: s.conn.RemoteAddr().String(), Name: name, Hello: s.hello, Account: s.account.String()}
}

// refuse keeps a refusal for the trail.
func (s *session) refuse(d trail.Decision, status mail.Status, recipient string) {
	if len(s.refused) >= maxRefused {
		return
	}
	s.refused = append(s.refused, trail.Event{
		Kind: trail.Refused, At: time.Now(), Actor: s.r.Hostname, Role: string(s.kind), Session: s.conn.ID(),
		Recipient: recipient, Decision: &d, Status: &status, Peer: s.trailPeer(""),
	})
}
