// Package mailbox keeps delivered messages: the mailboxes of each account, in them messages by reference to their
// bodies, with the UIDs, change numbers and counters that POP3 and IMAP need.
//
// A mailbox has a number that its keys are made of, and a name that leads to the number. UIDs and change numbers are
// counters that the store advances in the batch itself: so two deliveries into one mailbox never conflict. Each
// change of a mailbox (a message filed, messages expunged) has one change number; a message knows that of its last
// change, and one that was expunged leaves a tombstone with that of its end. Both are what IMAP needs to tell a
// client what happened since it last looked.
//
// What this package does not do: it knows no protocol and no password, and a message's content is bodies' business.
package mailbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"waybill/internal/mail"
	"waybill/internal/store"
	"waybill/internal/store/bodies"
	"waybill/internal/store/keys"
	"waybill/internal/store/lease"
)

// Inbox is the name of the mailbox that every account has. In any other case it is the same one (RFC 9051 §5.1).
const Inbox = "INBOX"

// ErrNoMailbox is returned when an account has no mailbox of that name.
var ErrNoMailbox = errors.New("no such mailbox")

// Flags are the system flags of a message (RFC 9051 §2.3.2), one bit each.
type Flags uint32

const (
	Seen Flags = 1 << iota
	Answered
	Flagged
	Deleted
	Draft
)

// Message is what is filed.
type Message struct {
	ID       mail.ID       // finds its waybill
	Body     bodies.Body   // stays where it is
	From     bodies.Holder // holds the body now; "": nobody, the batch makes it
	Prefix   []byte        // header fields that final delivery adds: Return-Path, Delivered-To
	Received time.Time     // kept to the microsecond
	Quota    int64         // octets that the account may have with it; 0: any
	Flags    Flags
}

// Entry is a message in a mailbox.
type Entry struct {
	UID      uint32
	ID       mail.ID
	Body     bodies.Body
	Prefix   []byte
	Received time.Time
	Size     int64 // octets: prefix and body
	Flags    Flags
	Change   int64 // number of the mailbox's change that last touched it

	box     keys.Box
	version store.Version
}

// Listing is a mailbox with its messages, as of one instant.
type Listing struct {
	UIDValidity uint32   // changes if UIDs are given anew (RFC 9051 §2.3.1.1)
	Entries     []Entry  // by UID
	Damaged     []uint32 // UIDs of messages whose records cannot be read: the others are served all the same
}

// Mailboxes is the mailboxes of a store. It is safe for concurrent use.
type Mailboxes struct {
	st     store.Store
	bodies *bodies.Bodies
	lease  *lease.Lease

	mu     sync.Mutex
	locked map[string]struct{} // accounts whose maildrop is open here
	left   map[string]struct{} // accounts whose lock may have been left in the store

	found   recentBoxes
	purging sync.Mutex
}

// New returns the mailboxes in st, whose bodies are b, for the node that has that lease.
func New(st store.Store, b *bodies.Bodies, l *lease.Lease) *Mailboxes {
	return &Mailboxes{st: st, bodies: b, lease: l, locked: map[string]struct{}{}, left: map[string]struct{}{}, found: recentBoxes{known: map[boxName]box{}}}
}

func canonical(name string) string {
	if strings.EqualFold(name, Inbox) {
		return Inbox
	}
	return name
}

// find returns a mailbox, or ErrNoMailbox.
func find(snap store.Snapshot, account, name string) (box, error) {
	value, version, err := snap.Get(keys.Mailbox(account, canonical(name)))
	if errors.Is(err, store.ErrNotFound) {
		return box{}, fmt.Errorf("mailbox %s of %s: %w", name, account, ErrNoMailbox)
	}
	if err != nil {
		return box{}, fmt.Errorf("mailbox %s of %s: %w", name, account, err)
	}
	x, err := decodeBox(value)
	if err != nil {
		return box{}, fmt.Errorf("mailbox %s of %s: %w", name, account, err)
	}
	x.version = version
	x.Account = account
	return x, nil
}

// look finds a mailbox and remembers it for File: whoever meets a conflict there need only look to be right the next time.
func (m *Mailboxes) look(snap store.Snapshot, account, name string) (box, error) {
	x, err := find(snap, account, name)
	switch {
	case err == nil:
		m.found.put(boxName{account, canonical(name)}, x)
	case errors.Is(err, ErrNoMailbox):
		m.found.forget(boxName{account, canonical(name)})
	}
	return x, err
}

// File adds a message to a mailbox by adding to the batch: its entry with the next UID, a reference to its body, and
// the counters. Nothing is filed before the commit, which fails with store.ErrConflict if the mailbox was deleted or
// m.From let the body go meanwhile, and with store.ErrLimit beyond the quota. Errors: ErrNoMailbox, bodies.ErrReleased, those of the store.
func (m *Mailboxes) File(ctx context.Context, b *store.Batch, account, name string, msg Message) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	named := boxName{account, canonical(name)}
	if x, ok := m.found.get(named); ok && msg.From == "" {
		return m.file(nil, b, x, named.name, msg)
	}
	snap, err := m.st.Snapshot()
	if err != nil {
		return fmt.Errorf("file %s for %s: %w", msg.ID, account, err)
	}
	defer snap.Close()
	x, err := m.look(snap, account, name)
	if err != nil {
		return fmt.Errorf("file %s: %w", msg.ID, err)
	}
	return m.file(snap, b, x, named.name, msg)
}

// file adds a message to the mailbox x. Without msg.From no snapshot is needed.
func (m *Mailboxes) file(snap store.Snapshot, b *store.Batch, x box, name string, msg Message) error {
	account := x.Account
	uid := len(b.Counters)
	err := m.bodies.Refer(snap, b, bodies.Reference{
		Body: msg.Body.ID, From: msg.From, To: bodies.Holder(x.Holder(0)), Slots: uidSlot(uid, x.Holder(0)),
	})
	if err != nil {
		return fmt.Errorf("file %s for %s: %w", msg.ID, account, err)
	}
	b.Check(keys.Mailbox(account, name), x.version)
	b.Count(x.UIDs(), 1, maxUID)
	change := b.Count(x.Changes(), 1, 0)
	b.Count(x.Count(), 1, 0)
	entry := Entry{ID: msg.ID, Body: msg.Body, Prefix: msg.Prefix, Received: msg.Received, Flags: msg.Flags}
	b.Count(keys.Octets(account), int64(len(entry.Prefix))+entry.Body.Total(), msg.Quota)
	key := x.Message(0)
	b.Puts = append(b.Puts, store.Put{
		Key: key, KeySlots: uidSlot(uid, string(key)),
		Value: entry.encode(), ValueSlots: []store.Slot{{Counter: change, At: changeAt, Width: 8}},
	})
	return nil
}

// maxUID: UIDs have 32 bits and are never 0 (RFC 9051 §2.3.1.1).
const maxUID = 1<<32 - 1

// uidSlot is the place of the UID at the end of a key or holder.
func uidSlot(counter int, of string) []store.Slot {
	return []store.Slot{{Counter: counter, At: len(of) - keys.UIDWidth, Width: keys.UIDWidth}}
}

// List returns the messages of a mailbox; what it shows may not be durable yet (store.Store.Barrier). Errors:
// ErrNoMailbox, those of the store.
func (m *Mailboxes) List(ctx context.Context, account, name string) (Listing, error) {
	if err := ctx.Err(); err != nil {
		return Listing{}, err
	}
	snap, err := m.st.Snapshot()
	if err != nil {
		return Listing{}, fmt.Errorf("list %s of %s: %w", name, account, err)
	}
	defer snap.Close()
	x, err := m.look(snap, account, name)
	if err != nil {
		return Listing{}, fmt.Errorf("list: %w", err)
	}
	return x.list(snap, name, 0, 0)
}

// list returns the messages behind a UID; up to limit, if that is not 0.
func (x box) list(snap store.Snapshot, name string, after uint32, limit int) (Listing, error) {
	r := store.Prefix(x.Messages())
	r.Start, r.Limit = append(x.Message(after), 0), limit
	l := Listing{UIDValidity: x.uidValidity, Entries: make([]Entry, 0, x.expected(snap, limit))}
	for e, err := range snap.Scan(r) {
		if err != nil && isDamage(err) {
			err = x.listOneByOne(snap, &l, after, limit)
			return l, err
		}
		if err != nil {
			return Listing{}, fmt.Errorf("list %s of %s: %w", name, x.Account, err)
		}
		after = keys.ParseUID(e.Key)
		l.add(x, after, e.Value, e.Version)
	}
	return l, nil
}

// maxExpected bounds the room that is made for a listing before its entries are read.
const maxExpected = 1 << 20

// expected is how many messages a listing is going to have, as far as it is known.
func (x box) expected(snap store.Snapshot, limit int) int {
	value, _, err := snap.Get(x.Count())
	if err != nil { // the scan will tell
		return 0
	}
	n := min(max(store.ReadCounter(value), 0), maxExpected)
	if limit > 0 {
		n = min(n, int64(limit))
	}
	return int(n)
}

func (l *Listing) add(x box, uid uint32, value []byte, version store.Version) {
	entry, err := DecodeEntry(value)
	if err != nil {
		l.Damaged = append(l.Damaged, uid)
		return
	}
	entry.UID, entry.version, entry.box = uid, version, x.Box
	l.Entries = append(l.Entries, entry)
}

// Page returns up to limit messages behind a UID, so that a large mailbox need not be held at once; none at the end. Errors:
// ErrNoMailbox, those of the store.
func (m *Mailboxes) Page(ctx context.Context, account, name string, after uint32, limit int) (Listing, error) {
	if err := ctx.Err(); err != nil {
		return Listing{}, err
	}
	snap, err := m.st.Snapshot()
	if err != nil {
		return Listing{}, fmt.Errorf("list %s of %s: %w", name, account, err)
	}
	defer snap.Close()
	x, err := m.look(snap, account, name)
	if err != nil {
		return Listing{}, fmt.Errorf("list: %w", err)
	}
	return x.list(snap, name, after, limit)
}

// Expunge adds to the batch the end of messages of a mailbox, as List returned them: each leaves a tombstone with the
// number of this change, and lets its body go. The commit fails with store.ErrConflict if one of them was changed or
// expunged meanwhile; nothing is expunged then.
func (m *Mailboxes) Expunge(b *store.Batch, account, _ string, entries []Entry) {
	if len(entries) == 0 {
		return
	}
	x := entries[0].box
	change := b.Count(x.Changes(), 1, 0)
	var octets int64
	for _, e := range entries {
		key := x.Message(e.UID)
		b.Check(key, e.version)
		b.Delete(key)
		gone, at := x.Gone(0, e.UID)
		b.Puts = append(b.Puts, store.Put{Key: gone, KeySlots: []store.Slot{{Counter: change, At: at, Width: 8}}})
		m.bodies.Drop(b, e.Body, bodies.Holder(x.Holder(e.UID)))
		octets += e.Size
	}
	b.Count(x.Count(), -int64(len(entries)), 0)
	b.Count(keys.Octets(account), -octets, 0)
}

// Watch returns a channel that gets a value after each change of one of the account's mailboxes, as store.Store.Watch
// says. Call cancel when done.
func (m *Mailboxes) Watch(account string) (changed <-chan struct{}, cancel func()) {
	return m.st.Watch(keys.MailboxCounters(account))
}
