package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"waybill/internal/mail"
	"waybill/internal/message"
	"waybill/internal/spool"
	"waybill/internal/store"
	"waybill/internal/trail"
)

// headerLimit bounds what is read, for the DSN, of the message that it is about, in octets.
const headerLimit = 2 * message.MaxQuoted

// bounce adds the DSN about the recipients given up to b and says so in s. Its reverse-path is null, so that
// nobody answers it with another (RFC 5321 §6.1); for the same reason a message without reverse-path gets none.
func (q *Queue) bounce(ctx context.Context, b *store.Batch, s *settlement, failed []failure, now time.Time) error {
	item := s.item
	if failed = q.untold(s, failed, now); len(failed) == 0 {
		return nil
	}
	if item.ReversePath.IsNull() {
		ev := q.event(item, trail.Suppressed, now)
		ev.Text = "nobody is told: the message has a null reverse-path, as bounces have, and a bounce is never bounced"
		s.events = append(s.events, ev)
		return nil
	}
	header, err := q.header(ctx, item)
	if isPassing(ctx, err) {
		return fmt.Errorf("read the header of %s: %w", item.ID, err)
	}
	if err != nil { // that will not get better, and the sender must be told all the same
		q.Logger.Error("the DSN goes without the header of its message", "message", item.ID, "error", err)
	}
	dsn := &spool.Item{
		ID: mail.NewID(now, q.Node), Accepted: now, Due: now, Expires: now.Add(q.Expire),
		Recipients: []spool.Recipient{{ForwardPath: item.ReversePath, State: spool.Pending}},
	}
	content := q.report(item, dsn.ID, failed, header, now).Bytes() // 7-bit
	if err := q.enter(b, s, dsn, content); err != nil {
		return fmt.Errorf("enter the DSN of %s: %w", item.ID, err)
	}
	ev := q.event(item, trail.Bounced, now)
	ev.Ref = dsn.ID
	ev.Recipient = item.ReversePath.String()
	ev.Text = fmt.Sprintf("%s is told by message %s what was not delivered", item.ReversePath, dsn.ID)
	s.events = append(s.events, ev)

	accepted := q.event(dsn, trail.Accepted, now)
	accepted.Ref = item.ID
	accepted.Text = fmt.Sprintf("written here: the delivery status notification (DSN) about message %s", item.ID)
	accepted.Facts = []trail.Fact{{Name: "queue id", Value: string(dsn.ID)}, {Name: "reverse-path", Value: "<>"}}
	s.dsnEvents = []trail.Event{accepted}
	q.Trail.Append(b, dsn.ID, s.dsnEvents)
	return nil
}

// untold says in s of which failures the sender is not told, and returns the others.
func (q *Queue) untold(s *settlement, failed []failure, now time.Time) (told []failure) {
	for _, f := range failed {
		if f.untold == "" {
			told = append(told, f)
			continue
		}
		ev := q.recipientEvent(s.item, trail.Suppressed, now, f.recipient)
		ev.Text = "nobody is told: " + f.untold
		s.events = append(s.events, ev)
	}
	return told
}

// isPassing says whether err is the store's or ours at this moment, not the message's.
func isPassing(ctx context.Context, err error) bool {
	return err != nil && (ctx.Err() != nil || errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrClosed))
}

// enter adds the beginning of custody of a DSN to b.
func (q *Queue) enter(b *store.Batch, s *settlement, dsn *spool.Item, content []byte) error {
	draft := q.Spool.NewDraft()
	defer func() {
		if s.draft == nil {
			draft.Discard()
		}
	}()
	if _, err := draft.Write(content); err != nil {
		return err
	}
	if err := q.Spool.Enter(b, draft, nil, dsn); err != nil {
		return err
	}
	s.draft, s.dsn = draft, dsn
	return nil
}

// report is the content of the DSN (RFC 3464).
func (q *Queue) report(item *spool.Item, id mail.ID, failed []failure, header []byte, now time.Time) message.Report {
	r := message.Report{
		ReportingMTA: q.Hostname, ID: id, Original: item.ID, To: item.ReversePath,
		ArrivalDate: item.Accepted, Header: header,
	}
	for _, f := range failed {
		recipient := item.Recipients[f.recipient]
		p := message.ReportRecipient{
			ForwardPath: recipient.ForwardPath, Original: recipient.Original, Action: message.ActionFailed,
			Status: recipient.Status, LastAttempt: now,
		}
		if f.host != "" {
			p.RemoteMTA, p.Diagnostic = f.host, f.last
		}
		if f.last.Temporary() {
			p.Explanation = recipient.Status.Text
		}
		r.Recipients = append(r.Recipients, p)
	}
	return r
}

// header returns the header of a message, without the empty line, as far as headerLimit allows.
func (q *Queue) header(ctx context.Context, item *spool.Item) ([]byte, error) {
	content, err := q.Spool.Open(ctx, item)
	if err != nil {
		return nil, err
	}
	defer content.Close()
	head, err := io.ReadAll(io.LimitReader(content, headerLimit))
	if err != nil {
		return nil, err
	}
	if end := bytes.Index(head, []byte("\r\n\r\n")); end >= 0 {
		return head[:end+2], nil
	}
	if i := bytes.LastIndex(head, []byte("\r\n")); i >= 0 { // cut within a field
		return head[:i+2], nil
	}
	return nil, nil
}
