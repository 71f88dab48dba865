package relay

import (
	"fmt"
	"strings"
	"time"

	"waybill/internal/mail"
	"waybill/internal/trail"
)

// recipient gives the recipient at position i the outcome of a transaction, and tells of it.
func (s *session) recipient(i int, v verdict) {
	s.settle(i, v)
	status := v.Status
	kind := trail.Attempted
	if status.Success() {
		kind, s.taken = trail.Relayed, true
	}
	ev := s.sessionEvent(kind)
	ev.Recipient = s.path(i).String()
	ev.Status = &status
	if status.Success() {
		ev.Ref = idIn(status.Text, ev.At)
		ev.Text = fmt.Sprintf("%s has taken custody", s.target)
		ev.Facts = append(ev.Facts, s.wishes(i)...)
	}
	s.add(ev)
}

// wishes says what became of what the sender asked to be told about the recipient at position i.
func (s *session) wishes(i int) []trail.Fact {
	asked := s.attempt.Item.Recipients[s.attempt.Recipients[i]].Report
	if asked == (mail.Report{}) {
		return nil
	}
	if s.speaksDSN() {
		return []trail.Fact{{Name: "DSN", Value: "what the sender asked to be told was passed on"}}
	}
	return []trail.Fact{{Name: "DSN", Value: "the host does not offer it: what the sender asked to be told was not passed on"}}
}

// attempted tells of a host that took the message for nobody.
func (s *session) attempted(v verdict, text string) {
	ev := s.sessionEvent(trail.Attempted)
	status := v.Status
	ev.Status, ev.Text = &status, text
	s.add(ev)
}

// sessionEvent begins an event with the evidence of the connection.
func (s *session) sessionEvent(kind trail.Kind) trail.Event {
	ev := s.event(kind, s.began)
	ev.Took = time.Since(s.began)
	ev.Session = s.id
	ev.Peer = &trail.Peer{Addr: s.target.addr.String()}
	ev.Facts = []trail.Fact{{Name: "host", Value: s.target.host}}
	if s.conn == nil {
		return ev
	}
	ev.TLS = s.conn.tls
	if s.before > 0 {
		ev.Facts = append(ev.Facts, trail.Fact{Name: "connection", Value: fmt.Sprintf("open since %s; %d before this one went the same way",
			s.conn.began.UTC().Format(time.TimeOnly), s.before)})
	}
	return ev
}

func (s *session) add(ev trail.Event) {
	if !s.told {
		s.told, s.at = true, len(s.events)
	}
	s.events = append(s.events, ev)
}

// addDialogue puts the dialogue, goodbye included, into the session's first event; the others have its Session.
func (s *session) addDialogue() {
	if s.told && s.conn != nil {
		s.events[s.at].Dialogue = s.conn.client.Transcript().Cut()
	}
}

// idIn finds a message id of ours in the text of the reply to the dot: the next hop may be one of us, and its
// waybill goes on where this one ends. A word that merely looks like an id names another time.
func idIn(text string, at time.Time) mail.ID {
	for _, word := range strings.Fields(text) {
		id, err := mail.ParseID(strings.Trim(word, "<>()[]:;,."))
		if err == nil && id.Time().Sub(at).Abs() < idAge {
			return id
		}
	}
	return ""
}

// idAge is how far the clocks of two servers are apart at most, for idIn.
const idAge = 24 * time.Hour
