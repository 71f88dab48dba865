package mailbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"waybill/internal/store"
	"waybill/internal/store/keys"
)

// Separator stands between the levels of mailboxes' names.
const Separator = "/"

// Errors of what is done with whole mailboxes.
var (
	ErrInbox = errors.New("INBOX cannot be removed, nor another mailbox be renamed to it")
	ErrName  = errors.New("that is no name for a mailbox")
)

// maxName bounds a mailbox's name, in octets.
const maxName = 250

// CheckName says what is wrong with the name of a mailbox: levels of UTF-8 text, none empty, without what would be a control
// character or a wildcard of IMAP.
func CheckName(name string) error {
	if name == "" || len(name) > maxName || !utf8.ValidString(name) {
		return fmt.Errorf("%w: %q is empty, too long or no UTF-8", ErrName, name)
	}
	for level := range strings.SplitSeq(name, Separator) {
		if level == "" || strings.ContainsAny(level, "%*") || strings.ContainsFunc(level, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }) {
			return fmt.Errorf("%w: %q has a level that is empty or has a character that is not allowed", ErrName, name)
		}
	}
	return nil
}

// Info is a mailbox as a whole.
type Info struct {
	Name        string
	UIDValidity uint32
	UIDNext     uint32 // what the next message gets, at least
	Messages    int64
	Change      int64 // the highest number of a change, HIGHESTMODSEQ in IMAP
}

// Boxes returns the mailboxes of an account, by name. Errors: those of the store.
func (m *Mailboxes) Boxes(ctx context.Context, account string) (boxes []Info, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	snap, err := m.st.Snapshot()
	if err != nil {
		return nil, fmt.Errorf("mailboxes of %s: %w", account, err)
	}
	defer snap.Close()
	for e, err := range snap.Scan(store.Prefix(keys.Mailboxes(account))) {
		if err != nil {
			return nil, fmt.Errorf("mailboxes of %s: %w", account, err)
		}
		info, err := m.info(snap, account, e)
		if err != nil {
			return nil, fmt.Errorf("mailboxes of %s: key %q: %w", account, e.Key, err)
		}
		boxes = append(boxes, info)
	}
	return boxes, nil
}

func (m *Mailboxes) info(snap store.Snapshot, account string, e store.Entry) (Info, error) {
	x, err := decodeBox(e.Value)
	if err != nil {
		return Info{}, err
	}
	x.Account = account
	info := Info{Name: keys.ParseMailbox(account, e.Key), UIDValidity: x.uidValidity}
	var numbers [3]int64
	for i, key := range [][]byte{x.UIDs(), x.Count(), x.Changes()} {
		value, _, err := snap.Get(key)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return Info{}, err
		}
		if err == nil {
			numbers[i] = store.ReadCounter(value)
		}
	}
	info.UIDNext, info.Messages, info.Change = uint32(numbers[0])+1, numbers[1], numbers[2]
	return info, nil
}

// Rename adds to the batch another name for a mailbox, and for those below it (RFC 9051 §6.3.6); their messages, UIDs and
// numbers stay. Of INBOX the messages go to the new mailbox, and an empty INBOX with a UIDVALIDITY of its own stays, with what
// is below it. The commit fails with store.ErrConflict if there is one of a new name, or one of them changed meanwhile.
// Errors: ErrInbox, ErrName, ErrNoMailbox, those of the store.
func (m *Mailboxes) Rename(ctx context.Context, b *store.Batch, account, from, to string, now time.Time) error {
	if canonical(to) == Inbox {
		return ErrInbox
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	snap, err := m.st.Snapshot()
	if err != nil {
		return fmt.Errorf("rename %s of %s: %w", from, account, err)
	}
	defer snap.Close()
	if canonical(from) == Inbox {
		return m.renameInbox(snap, b, account, to, now)
	}
	if err := m.renameOne(snap, b, account, from, to); err != nil {
		return err
	}
	for e, err := range snap.Scan(store.Prefix(keys.Mailboxes(account))) {
		if err != nil {
			return fmt.Errorf("rename %s of %s: %w", from, account, err)
		}
		name := keys.ParseMailbox(account, e.Key)
		if below, is := strings.CutPrefix(name, from+Separator); is {
			if err := m.renameOne(snap, b, account, name, to+Separator+below); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *Mailboxes) renameOne(snap store.Snapshot, b *store.Batch, account, from, to string) error {
	if err := addName(snap, b, account, from, to); err != nil {
		return err
	}
	b.Delete(keys.Mailbox(account, from))
	return nil
}

func (m *Mailboxes) renameInbox(snap store.Snapshot, b *store.Batch, account, to string, now time.Time) error {
	if err := addName(snap, b, account, Inbox, to); err != nil {
		return err
	}
	return create(snap, b, account, Inbox, now)
}

// addName adds to the batch the name to for the mailbox from.
func addName(snap store.Snapshot, b *store.Batch, account, from, to string) error {
	if err := CheckName(to); err != nil {
		return err
	}
	x, err := find(snap, account, from)
	if err != nil {
		return err
	}
	value, _ := x.encode() // it has its number
	b.Check(keys.Mailbox(account, canonical(from)), x.version)
	b.Create(keys.Mailbox(account, to), value)
	return nil
}

// Remove adds to the batch the end of a mailbox; what is in it is deleted by Purge. Errors: ErrInbox, ErrNoMailbox, those
// of the store.
func (m *Mailboxes) Remove(ctx context.Context, b *store.Batch, account, name string) error {
	if canonical(name) == Inbox {
		return ErrInbox
	}
	x, err := m.find(ctx, account, name)
	if err != nil {
		return err
	}
	b.Check(keys.Mailbox(account, name), x.version)
	b.Delete(keys.Mailbox(account, name))
	b.Put(x.Purge(), nil)
	return nil
}

func (m *Mailboxes) find(ctx context.Context, account, name string) (box, error) {
	if err := ctx.Err(); err != nil {
		return box{}, err
	}
	snap, err := m.st.Snapshot()
	if err != nil {
		return box{}, fmt.Errorf("mailbox %s of %s: %w", name, account, err)
	}
	defer snap.Close()
	return m.look(snap, account, name)
}

// SetFlags adds to the batch other flags for messages of one mailbox, as List returned them: those that change gives for the
// present ones. All get the number of this change. The commit fails with store.ErrConflict if one of them was changed or
// expunged meanwhile.
func (m *Mailboxes) SetFlags(b *store.Batch, entries []Entry, change func(Flags) Flags) {
	if len(entries) == 0 {
		return
	}
	x := entries[0].box
	number := b.Count(x.Changes(), 1, 0)
	for _, e := range entries {
		key := x.Message(e.UID)
		e.Flags = change(e.Flags)
		b.Check(key, e.version)
		b.Puts = append(b.Puts, store.Put{
			Key: key, Value: e.encode(), ValueSlots: []store.Slot{{Counter: number, At: changeAt, Width: 8}},
		})
	}
}
