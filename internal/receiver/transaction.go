package receiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"waybill/internal/dialogue"
	"waybill/internal/mail"
	"waybill/internal/message"
	"waybill/internal/smtp"
	"waybill/internal/spool"
	"waybill/internal/store"
	"waybill/internal/store/bodies"
	"waybill/internal/trail"
)

// transaction is one message on its way in: MAIL to the reply to the dot.
type transaction struct {
	reversePath  mail.Address
	params       smtp.MailParams
	began        time.Time
	forwardPaths []mail.Address
	decisions    []trail.Event  // one for each forward-path
	accounts     []mail.Address // those of the forward-paths that are ours
	hops         *message.Hops  // nil: too much to be kept
}

// maxHops bounds what is kept in memory of a header that holds many Delivered-To fields.
const maxHops = 4

// idTries is how often an id is drawn; once is enough but for a clash.
const idTries = 3

// Data streams the content into a draft and takes custody of it.
func (s *session) Data(ctx context.Context, content io.Reader) mail.Status {
	if status, ok := s.r.room(time.Now(), s.tx.params.Size); !ok {
		return status
	}
	draft := s.r.Spool.NewDraft()
	defer draft.Discard()
	var header message.Head
	if _, err := io.Copy(io.MultiWriter(&header, meter{s.r.space}, draft), content); err != nil {
		return s.contentRefused(err)
	}
	// Refused here a loop ends with the peer; bounced later it would end at a reverse-path that may be forged.
	hops := message.HopsOf(header.Bytes())
	if rule := hops.Loop(s.tx.accounts...); rule != "" {
		s.refuse(trail.Decision{Question: "is the message in a loop?", Outcome: "refused", Rule: rule}, mailLoop, "")
		return mailLoop
	}
	if len(hops.DeliveredTo) <= maxHops {
		s.tx.hops = &hops
	}
	<-s.reverse.done
	return s.commit(ctx, draft, claims(header.Bytes()))
}

// contentRefused gives the reply for content that could not be taken to its end.
func (s *session) contentRefused(err error) mail.Status {
	status := s.failed("content could not be taken", err)
	d := trail.Decision{Question: "can the content be taken?", Outcome: "refused"}
	refusal, said := errors.AsType[*mail.Error](err)
	switch {
	case said:
		d.Rule, d.Reason = "line ends, size, and room for it", dialogue.Printable(refusal.Status.Text)
	case ours(err):
		d.Rule, d.Reason = "a store that works", "it failed"
	default:
		d.Rule, d.Reason = "the whole content must come", "the client was gone before the end of it"
	}
	s.refuse(d, status, "")
	return status
}

// commit is the single instant at which custody moves: body, envelope, due entry and first events in one
// batch. Only after it is durable does the 250 leave.
func (s *session) commit(ctx context.Context, draft *bodies.Draft, fields []string) mail.Status {
	var err error
	for range idTries {
		var item *spool.Item
		if item, err = s.tryCommit(ctx, draft, fields); err == nil {
			draft.Committed()
			s.conn.Transcript().Cut()
			s.last, s.told = item.ID, 1 // the reply to come is told already
			s.r.Queue.Enqueue(item)
			return accepted.WithText("%s Message accepted for delivery", item.ID)
		}
		if !errors.Is(err, store.ErrConflict) {
			break
		}
	}
	return s.failed("message could not be committed", err)
}

func (s *session) tryCommit(ctx context.Context, draft *bodies.Draft, fields []string) (*spool.Item, error) {
	now := time.Now()
	item := s.newItem(now)
	prefix := s.received(item.ID, now)
	var b store.Batch
	if err := s.r.Spool.Enter(&b, draft, prefix, item); err != nil {
		return nil, err
	}
	events := s.events(item, fields, prefix, now)
	s.r.Trail.Append(&b, item.ID, events)
	// The batch is not given up when the session's context ends: its outcome would be unknown.
	result, err := s.r.Store.Commit(context.WithoutCancel(ctx), &b)
	if err != nil {
		return nil, err
	}
	item.Version = result.Version
	s.r.Trail.Publish(events)
	s.r.Trail.Record(trail.Event{Kind: trail.Durable, At: now, Took: time.Since(now), Actor: s.r.Hostname,
		Role: string(s.kind), Message: item.ID, Session: s.conn.ID()})
	return item, nil
}

func (s *session) newItem(now time.Time) *spool.Item {
	item := &spool.Item{
		ID: mail.NewID(now, s.r.Node), ReversePath: s.tx.reversePath, BodyType: s.tx.params.Body,
		Accepted: now, Due: now, Expires: now.Add(s.r.Expire), Hops: s.tx.hops,
		Recipients: make([]spool.Recipient, len(s.tx.forwardPaths)),
	}
	for i, path := range s.tx.forwardPaths {
		item.Recipients[i] = spool.Recipient{ForwardPath: path, State: spool.Pending}
	}
	return item
}

// received builds the trace field (RFC 5321 §4.4): what the peer claimed, what we saw, and the id.
func (s *session) received(id mail.ID, now time.Time) []byte {
	field := message.Received{
		From: s.hello, Name: s.reverse.name, Addr: s.peer, By: s.r.Hostname,
		With: s.with(), ID: id, At: now, TLS: tlsText(trail.TLSFacts(s.conn.TLS())),
	}
	if len(s.tx.forwardPaths) == 1 { // with more, "for" would tell one recipient of another
		field.For = s.tx.forwardPaths[0]
	}
	return []byte(field.String())
}

// with is the protocol of the Received field (RFC 3848).
func (s *session) with() string {
	if !s.conn.Extended() {
		return "SMTP"
	}
	with := "ESMTP"
	if s.conn.TLS() != nil {
		with += "S"
	}
	if !s.account.IsNull() {
		with += "A"
	}
	return with
}

func tlsText(facts *trail.TLS) string {
	if facts == nil {
		return ""
	}
	return facts.Version + " " + facts.Cipher
}

// events tells the transaction: the peer and its name, each decision, the dialogue with the reply to come,
// and the fields that were in the message already beside the one that we added.
func (s *session) events(item *spool.Item, fields []string, prefix []byte, now time.Time) []trail.Event {
	base := trail.Event{Actor: s.r.Hostname, Role: string(s.kind), Message: item.ID, Session: s.conn.ID()}
	reverse := s.reverseEvent()
	reverse.Message = item.ID
	events := make([]trail.Event, 0, len(s.tx.decisions)+3)
	events = append(events, reverse)
	for _, d := range s.tx.decisions {
		d.Message = item.ID
		events = append(events, d)
	}

	lines := s.conn.Transcript().Lines()
	spoken := append([]dialogue.Line(nil), lines[min(s.told, len(lines)):]...)
	reply := accepted.WithText("%s Message accepted for delivery", item.ID)
	received := base
	received.Kind, received.At, received.Took = trail.Received, s.tx.began, now.Sub(s.tx.began)
	received.Peer, received.TLS = s.trailPeer(s.reverse.name), trail.TLSFacts(s.conn.TLS())
	received.Dialogue = append(spoken, dialogue.Line{At: now, Side: dialogue.Server, Text: reply.String()})
	received.Header = fields
	received.Facts = []trail.Fact{
		{Name: "reverse-path", Value: item.ReversePath.Path()},
		{Name: "size", Value: fmt.Sprintf("%d octets", item.Body.Size)},
	}
	received.Status = &reply

	taken := base
	taken.Kind, taken.At = trail.Accepted, now
	taken.Header = []string{string(prefix)}
	taken.Facts = []trail.Fact{{Name: "queue id", Value: string(item.ID)}}
	return append(events, received, taken)
}

// ours says whether an error is the store's, and not something that a peer did.
func ours(err error) bool {
	return errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrUnknown) || errors.Is(err, store.ErrConflict) ||
		errors.Is(err, store.ErrClosed)
}

// failed gives the reply for err; the cause stays with us. What the peer did wrong is no error of ours and stands in the
// session's events.
func (s *session) failed(what string, err error) mail.Status {
	level := slog.LevelDebug
	if ours(err) {
		level = slog.LevelError
	}
	s.r.Logger.Log(context.Background(), level, what, "session", s.conn.ID(), "peer", s.peer.String(), "error", err)
	return mail.StatusOf(err)
}
