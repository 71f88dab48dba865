package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"waybill/internal/control"
	"waybill/internal/directory"
	"waybill/internal/mail"
	"waybill/internal/mailbox"
	"waybill/internal/message"
	"waybill/internal/store"
	"waybill/internal/store/bodies"
	"waybill/internal/store/keys"
	"waybill/internal/trail"
)

// Bounds of one batch of an import.
const (
	importBatch  = 200
	importOctets = 8 << 20
)

// Imported says which messages of a source were imported into an account already.
func (k *core) Imported(ctx context.Context, account mail.Address, names []string) ([]bool, error) {
	if err := k.isAccount(ctx, account); err != nil {
		return nil, err
	}
	snap, err := k.engine.Snapshot()
	if err != nil {
		return nil, err
	}
	defer snap.Close()
	known := make([]bool, len(names))
	for i, name := range names {
		_, _, err := snap.Get(keys.Imported(account.Key(), name))
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		known[i] = err == nil
	}
	return known, nil
}

// isAccount says whether there is an account of that very name.
func (k *core) isAccount(ctx context.Context, addr mail.Address) error {
	a, err := k.directory.Lookup(ctx, addr)
	if err == nil && a.Key() != addr.Key() {
		err = directory.ErrNoAccount
	}
	if err != nil {
		return fmt.Errorf("account %s: %w", addr, err)
	}
	return nil
}

// Import files messages in durable batches. Each has in its batch the mark that it is there: so what was interrupted is
// gone on with, and nothing is imported twice. Quotas do not bind who imports.
func (k *core) Import(ctx context.Context, account mail.Address, next func() (control.ImportMessage, error)) (n int, err error) {
	if err := k.isAccount(ctx, account); err != nil {
		return 0, err
	}
	for {
		i := &importing{core: k, account: account, names: map[string]bool{}, boxes: map[string]bool{}}
		more, err := i.fill(ctx, next)
		if err == nil {
			err = i.commit(ctx)
		}
		i.end()
		if err != nil {
			return n, err
		}
		n += len(i.drafts)
		if !more {
			return n, nil
		}
	}
}

// importing is one batch.
type importing struct {
	*core
	account mail.Address
	batch   store.Batch
	drafts  []*bodies.Draft
	names   map[string]bool // in this batch
	boxes   map[string]bool // that are there
	octets  int64
}

// fill takes messages into the batch until it is full; more says that there may be others.
func (i *importing) fill(ctx context.Context, next func() (control.ImportMessage, error)) (more bool, err error) {
	for len(i.drafts) < importBatch && i.octets < importOctets {
		m, err := next()
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if err := i.add(ctx, m); err != nil {
			return false, fmt.Errorf("import %s: %w", m.Key, err)
		}
	}
	return true, nil
}

func (i *importing) add(ctx context.Context, m control.ImportMessage) error {
	known, err := i.Imported(ctx, i.account, []string{m.Key})
	if err != nil || known[0] || i.names[m.Key] {
		return err
	}
	if err := i.ensure(ctx, m.Mailbox); err != nil {
		return err
	}
	draft := i.spool.NewDraft()
	i.drafts = append(i.drafts, draft)
	parts := message.NewIndexer(draft)
	if _, err := io.Copy(parts, m.Content); err != nil {
		return err
	}
	draft.SetIndex(message.EncodeParts(parts.Parts()))
	body, err := draft.Finish(&i.batch, nil, "")
	if err != nil {
		return err
	}
	now := time.Now()
	if m.Date.IsZero() {
		m.Date = now
	}
	id := i.ids.New(now)
	err = i.mailboxes.File(ctx, &i.batch, i.account.Key(), m.Mailbox, mailbox.Message{ID: id, Body: body, Received: m.Date, Flags: m.Flags})
	if err != nil {
		return err
	}
	i.batch.Create(keys.Imported(i.account.Key(), m.Key), nil)
	i.names[m.Key] = true
	i.octets += body.Total()
	i.trail.Append(&i.batch, id, []trail.Event{{
		Kind: trail.Filed, At: now, Actor: i.config.Hostname, Role: "MDA", Message: id, Recipient: i.account.String(), Text: "imported: " + m.Key,
		Facts: []trail.Fact{{Name: "mailbox", Value: i.account.String() + "/" + m.Mailbox}, {Name: "size", Value: strconv.FormatInt(body.Total(), 10) + " octets"}},
	}})
	return nil
}

// ensure makes a mailbox that is not there. It looks once in each batch, so that after a conflict the next import is right.
func (i *importing) ensure(ctx context.Context, name string) error {
	if i.boxes[name] {
		return nil
	}
	i.boxes[name] = true
	if err := mailbox.CheckName(name); err != nil {
		return err
	}
	for range maxConflicts {
		_, err := i.mailboxes.Page(ctx, i.account.Key(), name, 0, 1)
		if !errors.Is(err, mailbox.ErrNoMailbox) {
			return err
		}
		var b store.Batch
		if err := i.mailboxes.Create(ctx, &b, i.account.Key(), name, time.Now()); err != nil {
			return err
		}
		if _, err = i.engine.Commit(ctx, &b); !errors.Is(err, store.ErrConflict) { // with it, somebody else has made this one or another
			return err
		}
	}
	return fmt.Errorf("mailbox %s of %s: %w", name, i.account, store.ErrConflict)
}

// maxConflicts bounds how often a mailbox is looked for that others keep making and removing.
const maxConflicts = 10

func (i *importing) commit(ctx context.Context) error {
	if len(i.drafts) == 0 {
		return nil
	}
	if _, err := i.engine.Commit(ctx, &i.batch); err != nil {
		return err
	}
	for _, d := range i.drafts {
		d.Committed()
	}
	return nil
}

func (i *importing) end() {
	for _, d := range i.drafts {
		d.Discard()
	}
}

// exportPage bounds the messages of an ExportPage.
const exportPage = 500

// Export returns some messages of a mailbox.
func (k *core) Export(ctx context.Context, q control.ExportQuery) (control.ExportPage, error) {
	l, err := k.mailboxes.Page(ctx, q.Account.Key(), q.Mailbox, q.After, exportPage)
	if err != nil {
		return control.ExportPage{}, err
	}
	page := control.ExportPage{UIDValidity: l.UIDValidity}
	for _, e := range l.Entries {
		page.Messages = append(page.Messages, control.ExportMessage{
			UID: e.UID, ID: e.ID, Size: e.Size, Flags: e.Flags, Received: e.Received, Sender: message.ReturnPathOf(e.Prefix),
		})
		page.Next = e.UID
	}
	page.Damaged = l.Damaged
	for _, uid := range l.Damaged {
		page.Next = max(page.Next, uid)
	}
	if len(l.Entries)+len(l.Damaged) < exportPage {
		page.Next = 0
	}
	return page, nil
}

// Content opens the message whose UID is q.After.
func (k *core) Content(ctx context.Context, q control.ExportQuery) (io.ReadCloser, error) {
	if q.After == 0 {
		return nil, errors.New("a UID is 1 or more")
	}
	l, err := k.mailboxes.Page(ctx, q.Account.Key(), q.Mailbox, q.After-1, 1)
	if err != nil {
		return nil, err
	}
	if slices.Contains(l.Damaged, q.After) {
		return nil, fmt.Errorf("message %d of %s: %w", q.After, q.Mailbox, control.ErrDamaged)
	}
	if len(l.Entries) == 0 || l.Entries[0].UID != q.After {
		return nil, fmt.Errorf("message %d of %s: %w", q.After, q.Mailbox, control.ErrGone)
	}
	content, err := k.mailboxes.Open(ctx, l.Entries[0])
	if err != nil {
		return nil, k.lost(ctx, q, err)
	}
	return &exported{content: content, lost: func(err error) error { return k.lost(ctx, q, err) }}, nil
}

// exported is the content of a message. It tells what goes wrong on the way as Content does.
type exported struct {
	content io.ReadCloser
	lost    func(error) error
}

// Read implements io.Reader.
func (x *exported) Read(p []byte) (int, error) {
	n, err := x.content.Read(p)
	if err != nil && err != io.EOF {
		err = x.lost(err)
	}
	return n, err
}

// Close implements io.Closer.
func (x *exported) Close() error { return x.content.Close() }

// lost tells a message whose content cannot be read from one that was expunged, and its content deleted, since it was looked
// up. Where the store as a whole cannot be read, or nobody waits any more, the message is not to blame.
func (k *core) lost(ctx context.Context, q control.ExportQuery, cause error) error {
	if ctx.Err() != nil || errors.Is(cause, store.ErrUnavailable) || errors.Is(cause, store.ErrClosed) {
		return cause
	}
	l, err := k.mailboxes.Page(ctx, q.Account.Key(), q.Mailbox, q.After-1, 1)
	if err != nil {
		return err
	}
	there := len(l.Entries) > 0 && l.Entries[0].UID == q.After || slices.Contains(l.Damaged, q.After)
	if !there {
		return fmt.Errorf("message %d of %s: %w", q.After, q.Mailbox, control.ErrGone)
	}
	return fmt.Errorf("message %d of %s: %w: %w", q.After, q.Mailbox, control.ErrDamaged, cause)
}
