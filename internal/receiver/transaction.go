package receiver

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"waybill/internal/dialogue"
	"waybill/internal/mail"
	"waybill/internal/message"
	"waybill/internal/smtp"
	"waybill/internal/spool"
	"waybill/internal/store"
	"waybill/internal/store/bodies"
	"waybill/internal/store/objects"
	"waybill/internal/trail"
)

// transaction is one message on its way in: MAIL to the reply to the dot.
type transaction struct {
	reversePath mail.Address
	params      smtp.MailParams
	began       time.Time
	recipients  []spool.Recipient
	decisions   []trail.Event        // one for each recipient, and what was decided about the header
	accounts    []mail.Address       // those of the recipients that are ours
	forwarded   []int                // recipients to whom an alias forwards the message
	known       map[mail.Address]int // the last recipient that is whom, by identity
	limited     int                  // recipients for whom a message may be too large: their mailboxes have a quota
	room        int64                // octets of the largest message, as stored, that one of these could ever hold
}

// commitTries is how often a batch is made. The first may meet a mailbox that was deleted a moment ago, the others an id
// that a node with our number gave as well.
const commitTries = 4

// Data streams the content into a draft and takes custody of it.
func (s *session) Data(ctx context.Context, content io.Reader) mail.Status {
	if status, ok := s.r.room(time.Now(), s.tx.params.Size); !ok {
		return status
	}
	draft := s.r.Spool.NewDraft()
	defer draft.Discard()
	h := &header{ctx: ctx, session: s}
	parts := message.NewIndexer(draft)
	gate := &message.HeaderGate{Next: parts, Limit: s.r.HeaderSize, Pass: h.pass}
	_, err := io.Copy(io.MultiWriter(meter{s.r.space}, gate), content)
	if err == nil {
		err = gate.Close()
	}
	if err != nil {
		return s.contentRefused(err)
	}
	draft.SetIndex(message.EncodeParts(parts.Parts()))
	for _, d := range h.decisions {
		s.decided(d, "")
	}
	<-s.reverse.done
	return s.commit(ctx, draft, h)
}

// contentRefused gives the reply for content that could not be taken to its end.
func (s *session) contentRefused(err error) mail.Status {
	if errors.Is(err, message.ErrHeaderTooLarge) {
		err = s.r.tooLarge()
	}
	if policy, ok := errors.AsType[*refusal](err); ok {
		s.refuse(policy.decision, policy.status, "")
		return policy.status
	}
	status := s.failed("content could not be taken", err)
	d := trail.Decision{Question: "can the content be taken?", Outcome: "refused"}
	spoken, said := errors.AsType[*mail.Error](err)
	switch {
	case said:
		d.Rule, d.Reason = "line ends, size, and room for it", dialogue.Printable(spoken.Status.Text)
	case ours(err):
		d.Rule, d.Reason = "a store that works", "it failed"
	default:
		d.Rule, d.Reason = "the whole content must come", "the client was gone before the end of it"
	}
	s.refuse(d, status, "")
	return status
}

// commit is the single instant at which custody moves: body, first events, and either the mailboxes' entries or envelope
// and due entry in one batch. Only after it is durable does the 250 leave.
func (s *session) commit(ctx context.Context, draft *bodies.Draft, h *header) mail.Status {
	// Neither attempt nor batch is given up when the session's context ends: the outcome would be unknown.
	ctx = context.WithoutCancel(ctx)
	var err error
	for try := range commitTries {
		var item *spool.Item
		if item, err = s.tryCommit(ctx, draft, h, try == 0); err == nil {
			draft.Committed()
			s.conn.Transcript().Cut()
			s.last, s.told = item.ID, 1 // the reply to come is told already
			return acceptedAs(item.ID)
		}
		if errors.Is(err, store.ErrLimit) && len(s.tx.recipients) == 1 { // somebody else's message was faster
			return mailboxFull.WithText("%s... Mailbox full", s.tx.recipients[0].ForwardPath)
		}
		if !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrLimit) {
			break
		}
	}
	if policy, ok := errors.AsType[*refusal](err); ok {
		s.refuse(policy.decision, policy.status, "")
		return policy.status
	}
	return s.failed("message could not be committed", err)
}

// tryCommit takes custody; and hands it on at once to mailboxes here, if wanted and all recipients have one.
func (s *session) tryCommit(ctx context.Context, draft *bodies.Draft, h *header, atOnce bool) (*spool.Item, error) {
	now := time.Now()
	item := s.newItem(now, h)
	added := append([]string{s.received(item.ID, now)}, h.added(item.ID, now)...)
	prefix := []byte(strings.Join(added, ""))
	if err := s.neverFits(int64(len(prefix)) + draft.Size()); err != nil {
		return nil, err
	}
	var b store.Batch
	var delivered []trail.Event
	if atOnce {
		if err := s.r.Spool.Pass(&b, draft, prefix, item); err != nil {
			return nil, err
		}
		delivered, atOnce = s.r.Queue.AtOnce(ctx, &b, item)
	}
	if !atOnce {
		b = store.Batch{}
		if err := s.rewrite(ctx, &b, item, now); err != nil {
			return nil, err
		}
		if err := s.r.Spool.Enter(&b, draft, prefix, item); err != nil {
			return nil, err
		}
	}
	events := s.events(item, h.claims, added, delivered, now)
	s.r.Trail.Append(&b, item.ID, events)
	result, err := s.r.Store.Commit(ctx, &b)
	if err != nil {
		return nil, err
	}
	s.durable(item.ID, events, now)
	if !atOnce {
		item.Version = result.Version
		s.r.Queue.Enqueue(item)
	}
	return item, nil
}

// durable tells what is true from now on.
func (s *session) durable(id mail.ID, events []trail.Event, now time.Time) {
	s.r.Trail.Publish(events)
	s.r.Trail.Record(trail.Event{Kind: trail.Durable, At: now, Took: time.Since(now), Actor: s.r.Hostname,
		Role: string(s.kind), Message: id, Session: s.conn.ID()})
}

func (s *session) newItem(now time.Time, h *header) *spool.Item {
	return &spool.Item{
		ID: s.r.IDs.New(now), ReversePath: s.tx.reversePath, BodyType: s.tx.params.Body, DSN: s.tx.params.DSN,
		UTF8: s.needsUTF8(h), Hops: h.hops,
		Accepted: now, Due: now, Expires: now.Add(s.r.Expire),
		Recipients: slices.Clone(s.tx.recipients),
	}
}

// needsUTF8 says whether the message can go to hosts with SMTPUTF8 only: some address in the envelope or in a field that
// we add is not ASCII, or SMTPUTF8 was declared and the header is not. What declared it without need can go everywhere;
// and 8-bit octets in a header that declared nothing are no UTF-8 that anybody vouched for, and go on as they came.
func (s *session) needsUTF8(h *header) bool {
	if h.utf8 && s.tx.params.UTF8 || !isASCII(h.sender.Local) || !isASCII(s.tx.reversePath.Local) {
		return true
	}
	return slices.ContainsFunc(s.tx.recipients, func(r spool.Recipient) bool {
		return !r.Expanded && !isASCII(r.ForwardPath.Local)
	})
}

// received builds the trace field (RFC 5321 §4.4): what the peer claimed, what we saw, and the id.
func (s *session) received(id mail.ID, now time.Time) string {
	field := message.Received{
		From: s.hello, Name: s.reverse.name, Addr: s.peer, By: s.r.Hostname,
		With: protocol(s.conn.Extended(), s.tx.params.UTF8, s.conn.TLS() != nil, !s.account.IsNull()), ID: id, At: now, TLS: tlsText(trail.TLSFacts(s.conn.TLS())),
	}
	if len(s.tx.recipients) == 1 { // with more, "for" would tell one recipient of another
		field.For = s.tx.recipients[0].ForwardPath
		if original := s.tx.recipients[0].Original; !original.IsNull() {
			field.For = original
		}
	}
	return field.String()
}

// protocol is what the Received field says of the session (RFC 3848, RFC 6531 §4.3).
func protocol(extended, utf8, tls, login bool) string {
	if !extended {
		return "SMTP"
	}
	name := "ESMTP"
	if utf8 {
		name = "UTF8SMTP"
	}
	if tls {
		name += "S"
	}
	if login {
		name += "A"
	}
	return name
}

func tlsText(facts *trail.TLS) string {
	if facts == nil {
		return ""
	}
	return facts.Version + " " + facts.Cipher
}

// events tells the transaction: the peer and its name, each decision, the dialogue with the reply to come,
// and the fields that were in the message already beside those that we added; and how it was delivered, if it was at once.
func (s *session) events(item *spool.Item, fields, added []string, delivered []trail.Event, now time.Time) []trail.Event {
	base := trail.Event{Actor: s.r.Hostname, Role: string(s.kind), Message: item.ID, Session: s.conn.ID()}
	reverse := s.reverseEvent()
	reverse.Message = item.ID
	events := make([]trail.Event, 0, len(s.tx.decisions)+3+len(delivered))
	events = append(events, reverse)
	for _, d := range s.tx.decisions {
		d.Message = item.ID
		events = append(events, d)
	}

	lines := s.conn.Transcript().Lines()
	spoken := append([]dialogue.Line(nil), lines[min(s.told, len(lines)):]...)
	reply := acceptedAs(item.ID)
	received := base
	received.Kind, received.At, received.Took = trail.Received, s.tx.began, now.Sub(s.tx.began)
	received.Peer, received.TLS = s.trailPeer(s.reverse.name), trail.TLSFacts(s.conn.TLS())
	received.Dialogue = append(spoken, dialogue.Line{At: now, Side: dialogue.Server, Text: reply.String()})
	received.Header = fields
	received.Facts = []trail.Fact{
		{Name: "reverse-path", Value: item.ReversePath.Path()},
		{Name: "size", Value: strconv.FormatInt(item.Body.Size, 10) + " octets"},
	}
	received.Status = &reply

	taken := base
	taken.Kind, taken.At = trail.Accepted, now
	taken.Header = added
	taken.Facts = []trail.Fact{{Name: "queue id", Value: string(item.ID)}}
	return append(append(events, received, taken), delivered...)
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
	if ours(err) && !errors.Is(err, objects.ErrUnavailable) { // which the object store tells, once
		level = slog.LevelError
	}
	s.r.Logger.Log(context.Background(), level, what, "session", s.conn.ID(), "peer", s.peer.String(), "error", err)
	return mail.StatusOf(err)
}
