package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"waybill/internal/mail"
	"waybill/internal/message"
	"waybill/internal/spool"
	"waybill/internal/store"
	"waybill/internal/store/bodies"
	"waybill/internal/trail"
)

const (
	// headerLimit bounds what is read, for the DSN, of the message that it is about, in octets.
	headerLimit = 2 * message.MaxQuoted
	// returnLimit bounds the message that a DSN returns whole, in octets. Of a longer one it has the header, although
	// the sender asked for all (RFC 3461 §4.3 leaves it to us how much a report can carry).
	returnLimit = 1 << 20
)

// tell adds the DSN with the notices to b and says so in s. Its reverse-path is null, so that nobody answers it with
// another (RFC 5321 §6.1); for the same reason a message without reverse-path gets none.
func (q *Queue) tell(ctx context.Context, b *store.Batch, s *settlement, notices []notice, now time.Time) error {
	item := s.item
	if len(notices) == 0 {
		return nil
	}
	if item.ReversePath.IsNull() {
		ev := q.event(item, trail.Suppressed, now)
		ev.Text = "nobody is told: the message has a null reverse-path, as bounces have, and a bounce is never bounced"
		s.events = append(s.events, ev)
		return nil
	}
	r, how, err := q.report(ctx, item, notices, now)
	if err != nil {
		return err
	}
	if err := q.enter(ctx, b, s, r, now); err != nil {
		return fmt.Errorf("enter the DSN of %s: %w", item.ID, err)
	}
	ev := q.event(item, trail.Bounced, now)
	ev.Ref = s.dsn.ID
	ev.Recipient = item.ReversePath.String()
	ev.Text = fmt.Sprintf("%s is told by message %s %s%s", item.ReversePath, s.dsn.ID, subject(notices), how)
	s.events = append(s.events, ev)

	accepted := q.event(s.dsn, trail.Accepted, now)
	accepted.Ref = item.ID
	accepted.Text = fmt.Sprintf("written here: the delivery status notification (DSN) about message %s", item.ID)
	accepted.Facts = []trail.Fact{{Name: "queue id", Value: string(s.dsn.ID)}, {Name: "reverse-path", Value: "<>"},
		{Name: "tells", Value: subject(notices)}}
	s.dsnEvents = []trail.Event{accepted}
	q.Trail.Append(b, s.dsn.ID, s.dsnEvents)
	return nil
}

// subject says what a DSN with these notices is about.
func subject(notices []notice) string {
	action := notices[0].action
	for _, n := range notices {
		if n.action != action {
			return "what became of it"
		}
	}
	return map[message.Action]string{
		message.ActionFailed:    "what was not delivered",
		message.ActionDelayed:   "what is not delivered yet",
		message.ActionDelivered: "that it was delivered, as NOTIFY asked for",
		message.ActionExpanded:  "that it was passed on to the several addresses of an alias, as NOTIFY asked for",
		message.ActionRelayed:   "that it was passed on to a host that does not offer DSN, as NOTIFY asked for",
	}[action]
}

// isPassing says whether err is the store's or ours at this moment, not the message's.
func isPassing(ctx context.Context, err error) bool {
	return err != nil && (ctx.Err() != nil || errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrClosed))
}

// enter adds the beginning of custody of the DSN r to b.
func (q *Queue) enter(ctx context.Context, b *store.Batch, s *settlement, r message.Report, now time.Time) error {
	draft := q.Spool.NewDraft()
	defer func() {
		if s.draft == nil {
			draft.Discard()
		}
	}()
	needs, err := r.Write(draft)
	if err != nil {
		return err
	}
	dsn := &spool.Item{
		ID: r.ID, Accepted: now, Due: now, Expires: now.Add(q.Expire), BodyType: needs.Body, UTF8: needs.UTF8,
		Recipients: []spool.Recipient{{ForwardPath: s.item.ReversePath}},
	}
	if q.IsLocal(s.item.ReversePath.Domain) {
		dsn.Recipients = q.Targets(ctx, s.item.ReversePath)
	}
	for i := range dsn.Recipients {
		dsn.Recipients[i].State = spool.Pending
	}
	if err := q.Spool.Enter(b, draft, nil, dsn); err != nil {
		return err
	}
	s.draft, s.dsn = draft, dsn
	return nil
}

// report is the DSN (RFC 3464) with the notices; how says in an event what is particular about it.
func (q *Queue) report(ctx context.Context, item *spool.Item, notices []notice, now time.Time) (r message.Report, how string, err error) {
	r = message.Report{
		ReportingMTA: q.Hostname, ID: q.IDs.New(now), Original: item.ID, EnvelopeID: item.DSN.EnvelopeID,
		To: item.ReversePath, ArrivalDate: item.Accepted, International: item.UTF8,
	}
	for _, n := range notices {
		r.Recipients = append(r.Recipients, n.about(item, now))
	}
	r.Header, err = q.header(ctx, item)
	if err == nil {
		r.Message, how, err = q.whole(ctx, item, notices)
	}
	if isPassing(ctx, err) {
		return r, "", fmt.Errorf("read the message %s for its DSN: %w", item.ID, err)
	}
	if err != nil { // that will not get better, and the sender must be told all the same
		q.Logger.Error("the DSN goes without all of its message", "message", item.ID, "error", err)
		r.Message = nil
	}
	return r, how, nil
}

// about is what the DSN says about a recipient.
func (n notice) about(item *spool.Item, now time.Time) message.ReportRecipient {
	recipient := item.Recipients[n.recipient]
	p := message.ReportRecipient{
		ForwardPath: recipient.ForwardPath, Original: recipient.Original, ORCPT: recipient.Report.Original,
		Action: n.action, Status: recipient.Status, LastAttempt: now,
	}
	if n.host != "" {
		p.RemoteMTA, p.Diagnostic = n.host, n.last
	}
	if n.action == message.ActionFailed && n.last.Temporary() {
		p.Explanation = recipient.Status.Text
	}
	if n.action == message.ActionDelayed {
		p.RetryUntil = item.Expires
	}
	return p
}

// whole returns what writes the whole message for its DSN, or nil if the DSN is to have its header alone: the sender
// asks for it with RET=FULL, and it is for failures only (RFC 3461 §4.3).
func (q *Queue) whole(ctx context.Context, item *spool.Item, notices []notice) (func(io.Writer) error, string, error) {
	failed := slices.ContainsFunc(notices, func(n notice) bool { return n.action == message.ActionFailed })
	if !failed || item.DSN.Return != mail.ReturnFull {
		return nil, "", nil
	}
	if item.Body.Total() > returnLimit {
		return nil, fmt.Sprintf(", with its header alone although RET=FULL asked for all: it is longer than %d octets", returnLimit), nil
	}
	write := func(w io.Writer) error {
		return q.reading(ctx, item, func(content *bodies.Reader) error {
			_, err := content.WriteTo(w)
			return err
		})
	}
	return write, ", which has all of it as RET=FULL asked", write(io.Discard)
}

// reading calls do with the content of a message.
func (q *Queue) reading(ctx context.Context, item *spool.Item, do func(*bodies.Reader) error) error {
	content, err := q.Spool.Open(ctx, item)
	if err != nil {
		return err
	}
	defer content.Close()
	return do(content)
}

// header returns the header of a message, without the empty line, as far as headerLimit allows.
func (q *Queue) header(ctx context.Context, item *spool.Item) (header []byte, err error) {
	err = q.reading(ctx, item, func(content *bodies.Reader) error {
		header, err = io.ReadAll(io.LimitReader(content, headerLimit))
		return err
	})
	if err != nil {
		return nil, err
	}
	if end := bytes.Index(header, []byte("\r\n\r\n")); end >= 0 {
		return header[:end+2], nil
	}
	if i := bytes.LastIndex(header, []byte("\r\n")); i >= 0 { // cut within a field
		return header[:i+2], nil
	}
	return nil, nil
}
