package maildrop

import (
	"fmt"
	"time"

	"waybill/internal/mail"
	"waybill/internal/mailbox"
	"waybill/internal/pop3"
	"waybill/internal/trail"
)

// story tells of a session: once by itself, and in the waybill of each message that it read or deleted.
type story struct {
	service *Service
	conn    *pop3.Conn

	tried   bool // somebody tried to log in
	account mail.Address
	opening trail.Event // told in the waybill of each message that is touched

	touched map[mail.ID]bool
	told    []mail.ID // the first of them, whose waybills have the whole session
	fetches int
	deleted int
}

// maxTold bounds the waybills that the dialogue of one session is copied to. The others have their own retrieval and
// deletion, with the session's name.
const maxTold = 16

// event returns an event of this session in the waybill of a message; "" for none.
func (s *story) event(kind trail.Kind, id mail.ID, at time.Time) trail.Event {
	return trail.Event{
		Kind: kind, At: at, Took: time.Since(at), Actor: s.service.Hostname, Role: "POP3 server",
		Message: id, Session: s.conn.ID(), Recipient: s.account.String(),
		Peer: &trail.Peer{Addr: s.conn.RemoteAddr().String(), Account: s.account.String()},
	}
}

// opened tells of a login.
func (s *story) opened(account mail.Address, began time.Time, infos []pop3.MessageInfo) {
	s.account = account
	var octets int64
	for _, m := range infos {
		octets += m.Size
	}
	s.opening = s.event(trail.MaildropOpened, "", began)
	s.opening.Text = fmt.Sprintf("%s logged in; the maildrop holds %s", account, count(len(infos)))
	s.opening.TLS = trail.TLSFacts(s.conn.TLS())
	s.opening.Facts = []trail.Fact{
		{Name: "messages", Value: fmt.Sprint(len(infos))}, {Name: "octets", Value: fmt.Sprint(octets)},
	}
	s.service.Trail.Record(s.opening)
}

// refused tells why somebody may not log in.
func (s *story) refused(d trail.Decision, login string) {
	e := s.event(trail.Refused, "", time.Now())
	e.Recipient, e.Decision = login, &d
	s.service.Trail.Record(e)
}

// touch begins the session's part of a message's waybill.
func (s *story) touch(id mail.ID) {
	if s.touched[id] {
		return
	}
	if s.touched == nil {
		s.touched = map[mail.ID]bool{}
	}
	s.touched[id] = true
	if len(s.told) < maxTold {
		s.told = append(s.told, id)
		opening := s.opening
		opening.Message = id
		s.service.Trail.Record(opening)
	}
}

// fetched tells that all of a message was sent.
func (s *story) fetched(id mail.ID, n int, info pop3.MessageInfo, began time.Time) {
	s.fetches++
	s.touch(id)
	e := s.event(trail.Fetched, id, began)
	e.Text = fmt.Sprintf("%s retrieved the message", s.account)
	e.Facts = []trail.Fact{
		{Name: "number", Value: fmt.Sprint(n)}, {Name: "octets", Value: fmt.Sprint(info.Size)}, {Name: "UIDL", Value: info.UIDL},
	}
	s.service.Trail.Record(e)
}

// deletions is events by message, in the order of the messages: one message can lie in a maildrop twice.
type deletions struct {
	order []mail.ID
	of    map[mail.ID][]trail.Event
}

func (s *story) deletions(doomed []mailbox.Entry, at time.Time) deletions {
	d := deletions{of: map[mail.ID][]trail.Event{}}
	for _, m := range doomed {
		e := s.event(trail.Deleted, m.ID, at)
		e.Took = 0 // the commit that it stands in is not over
		e.Text = fmt.Sprintf("%s deleted the message from the maildrop", s.account)
		if len(d.of[m.ID]) == 0 {
			d.order = append(d.order, m.ID)
		}
		d.of[m.ID] = append(d.of[m.ID], e)
	}
	return d
}

// closed tells of the session's end, with its dialogue; not if nobody even tried to log in.
func (s *story) closed(err error) {
	if !s.tried {
		return
	}
	e := s.event(trail.MaildropClosed, "", time.Now())
	e.Dialogue = s.conn.Transcript().Lines()
	e.Text = s.ending(err)
	e.TLS = trail.TLSFacts(s.conn.TLS())
	for _, id := range s.told {
		told := e
		told.Message = id
		s.service.Trail.Record(told)
	}
	s.service.Trail.Record(e) // last: who waits for the session's end has seen all of it then
}

func (s *story) ending(err error) string {
	did := fmt.Sprintf("%s retrieved, %d deleted", count(s.fetches), s.deleted)
	switch {
	case s.account.IsNull():
		return "nobody logged in"
	case err != nil:
		return fmt.Sprintf("the session ended without QUIT (%v): %s", err, did)
	}
	return "the session ended with QUIT: " + did
}

func count(n int) string {
	if n == 1 {
		return "1 message"
	}
	return fmt.Sprintf("%d messages", n)
}
