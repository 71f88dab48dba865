// Package spool keeps the messages in custody: those that we have answered for with a 250 and have not yet handed
// on. A message is in custody exactly as long as its record is there.
//
// # Legal states
//
// The keys of a message, as package keys names them, in each state. Every change from one state to another is one
// batch; so there are no others, whatever step the machine stops at.
//
//	state              spool/<id>  due/<due>/<id>     ref/<body>/spool/<id>  body/<body>     draft/…/<body>
//	1 draft, small     -           -                  -                      -               -
//	2 draft, large     -           -                  -                      chunks 1 to n   yes       (or objects: package bodies)
//	3 in custody       yes         yes, one           yes                    all chunks      -
//	4 settled in part  yes         yes, one, moved    yes                    all chunks      -
//	5 ended, held      -           -                  -                      all chunks      -
//	6 ended, not held  -           -                  -                      none, or swept  -
//
// 1 and 2 are a message that is still coming in; nobody answers for it. In 2 each further chunk is a batch that waits
// for no sync.
//
// 1 or 2 to 3 is Enter, the single instant at which custody begins: the 250 is sent after this batch is durable.
// It makes everything durable that was applied before, so all chunks too, and it checks that they are there.
//
// 1 or 2 to 5 is Pass: where mailboxes here take the message for all recipients, one batch is its whole custody.
//
// 3 to 4, and 4 to 4, is Settle with recipients still pending: the record has their outcomes, and the due entry
// stands at the time of the next attempt. Of an item there is always exactly one due entry, at the time in its record.
//
// 3 or 4 to 5 or 6 is Settle with none pending. In 5 mailboxes hold the body; those that got it now are in the same
// batch. In 6 nobody does: if no mailbox ever did, a small body ends in the same batch; else the batch leaves a mark for
// bodies.Sweep.
//
// Settle checks the record's version, so of two who settle the same state one is refused; and a batch that settles is
// applied after the one that entered, so the end of custody never becomes durable without what it rests on: the
// mailbox entry that stands in the same batch.
//
// After a stop each message is in one of these states. Recovery does nothing to 3 and 4 but walk the due index; 2 is
// deleted by the first bodies.Sweep, 6 by any; 5 is the mailboxes' business. A batch that waits for no sync may be
// lost, and its message is back in the state before: it is attempted again.
package spool

import (
	"context"
	"fmt"
	"time"

	"waybill/internal/mail"
	"waybill/internal/message"
	"waybill/internal/store"
	"waybill/internal/store/bodies"
	"waybill/internal/store/keys"
)

// State is what has become of a recipient.
type State string

const (
	Pending   State = "pending"   // to be attempted, again or for the first time
	Delivered State = "delivered" // somebody else has taken custody, or a mailbox has the message
	Failed    State = "failed"    // given up
)

// Recipient is one forward-path of a message with what has become of it.
type Recipient struct {
	ForwardPath mail.Address
	Original    mail.Address // as given in RCPT, if an alias led to ForwardPath; else null
	Sender      mail.Address // the reverse-path under which an alias forwards it; null: the message's own
	Report      mail.Report  // what the sender asked for
	State       State
	Status      mail.Status // of the last attempt; zero before the first
	DelayTold   bool        // the sender was told that it takes long, or is not to be: that comes once
	// Expanded: ForwardPath is an alias with several targets, which are recipients of their own. Nothing is delivered for it:
	// it is there for the sender to be told, who wants to hear of success, that it was expanded (RFC 3461 §5.2.7.3).
	Expanded bool
}

// Item is a message in custody. Times are kept to the microsecond.
type Item struct {
	ID          mail.ID
	Body        bodies.Body
	ReversePath mail.Address
	BodyType    mail.BodyType
	UTF8        bool // it needs SMTPUTF8 (RFC 6531)
	DSN         mail.DSN
	Accepted    time.Time // when custody began
	Expires     time.Time // when it is given up
	Due         time.Time // when it is to be attempted
	Attempts    int       // rounds of attempts so far
	Recipients  []Recipient

	// Hops is what its header says, taken while it came in, so that filing need not read the header again. It is not part
	// of the record: nil for an item that comes from there.
	Hops *message.Hops

	// Sole says that nobody else ever held its body. It is not part of the record: only the process that took the message in
	// knows it.
	Sole bool

	Version store.Version // of its record, not part of it; after a commit the caller sets it to Result.Version
}

// Holder is how the item holds its body.
func (i *Item) Holder() bodies.Holder { return bodies.Holder(keys.SpoolHolder(i.ID)) }

// Attempt is one try to deliver an item to the recipients of one next hop.
type Attempt struct {
	Item       *Item
	Number     int // 1 for the first round
	NextHop    string
	Recipients []int // indexes into Item.Recipients
	// Valid says whether the message is still this node's: it is asked right before it is handed over to another server.
	// nil: nobody else can have it.
	Valid   func() bool
	Passing bool // the item is in custody for the batch of this attempt only (Pass): nobody holds its body yet
}

// ReversePath is the one for these recipients, who all have the same.
func (a Attempt) ReversePath() mail.Address {
	if len(a.Recipients) > 0 {
		if sender := a.Item.Recipients[a.Recipients[0]].Sender; !sender.IsNull() {
			return sender
		}
	}
	return a.Item.ReversePath
}

// Outcome is what an attempt came to for one recipient: 2xx delivered, 5xx failed, anything else still pending.
type Outcome struct {
	Recipient int // index into Item.Recipients
	Status    mail.Status
	RemoteMTA string // host whose words Status are; "" for our own. Not kept
	Passed    bool   // that host took over what the sender asked to be told, and tells it (RFC 3461 §5.2.1). Not kept
	Untold    string // why the sender gets no DSN about this failure; "": it does. Not kept
}

// Spool is the messages in custody of a store. It is safe for concurrent use.
type Spool struct {
	st     store.Store
	bodies *bodies.Bodies
	lease  Lease
	index  index
}

// Lease says which slices of the due index this node works on (package lease).
type Lease interface {
	// Slices returns them, in order.
	Slices() []uint16
	// Fence makes the batch fail with store.ErrConflict unless the node still works on that slice.
	Fence(b *store.Batch, slice uint16)
}

// New returns the spool in st, whose bodies are b, with what of it is this node's.
func New(st store.Store, b *bodies.Bodies, l Lease) *Spool {
	return &Spool{st: st, bodies: b, lease: l}
}

// NewDraft returns a draft for a message that comes in.
func (s *Spool) NewDraft() *bodies.Draft { return s.bodies.NewDraft() }

// Enter adds to the batch the beginning of custody: the body, with prefix before it, and the item's record and due
// entry. It sets item.Body and item.Sole. The commit fails with store.ErrConflict if the item's ID is taken, or of a slice that this
// node does not work on any more; then Enter is called again with another ID and a fresh batch.
func (s *Spool) Enter(b *store.Batch, d *bodies.Draft, prefix []byte, item *Item) error {
	body, err := d.Finish(b, prefix, item.Holder())
	if err != nil {
		return fmt.Errorf("enter %s: %w", item.ID, err)
	}
	item.Body, item.Sole = body, true
	item.Due = item.Due.Truncate(time.Microsecond)
	b.Create(keys.Spool(item.ID), item.encode())
	b.Put(keys.Due(item.Due, item.ID), nil)
	s.lease.Fence(b, item.ID.Node())
	s.index.announce(item.Due)
	return nil
}

// Pass adds to the batch the body of an item that is in custody for this batch only: whoever it is for gets it in the same
// one, and holds the body from then on. It sets item.Body.
func (s *Spool) Pass(b *store.Batch, d *bodies.Draft, prefix []byte, item *Item) error {
	body, err := d.Finish(b, prefix, "")
	if err != nil {
		return fmt.Errorf("pass on %s: %w", item.ID, err)
	}
	item.Body = body
	return nil
}

// Settle changes item by the outcomes and adds to the batch what follows from it: the record and the due entry at
// due, or, when no recipient is pending, the end of custody. The commit fails with store.ErrConflict if the record
// is not of item.Version any more. What holds the body from then on must have been added to the batch before.
func (s *Spool) Settle(b *store.Batch, item *Item, outcomes []Outcome, due time.Time) {
	for _, o := range outcomes {
		r := &item.Recipients[o.Recipient]
		r.Status = o.Status
		switch {
		case o.Status.Success():
			r.State = Delivered
		case o.Status.Permanent():
			r.State = Failed
		}
	}
	record := keys.Spool(item.ID)
	b.Check(record, item.Version)
	item.Sole = item.Sole && !bodies.Refers(b, item.Body.ID)
	if !item.pending() {
		b.Delete(record)
		b.Delete(keys.Due(item.Due, item.ID))
		s.letGo(b, item)
		return
	}
	due = due.Truncate(time.Microsecond)
	if !due.Equal(item.Due) {
		b.Delete(keys.Due(item.Due, item.ID))
		b.Put(keys.Due(due, item.ID), nil)
		s.index.announce(due)
	}
	item.Due = due
	b.Put(record, item.encode())
}

// letGo adds to the batch that the item holds its body no more.
func (s *Spool) letGo(b *store.Batch, item *Item) {
	if item.Sole {
		s.bodies.End(b, item.Body, item.Holder())
	} else {
		s.bodies.Release(b, item.Body, item.Holder())
	}
}

func (i *Item) pending() bool {
	for k := range i.Recipients {
		if i.Recipients[k].State == Pending {
			return true
		}
	}
	return false
}

// Held is the due time of an item that is tried no more until somebody releases it. No clock comes there.
func Held() time.Time { return time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC) }

// IsHeld says whether the item is tried no more until somebody releases it.
func (i *Item) IsHeld() bool { return i.Due.Equal(Held()) }

// Reschedule changes the time of an item's next attempt and adds to the batch what follows from it. The commit fails with
// store.ErrConflict if the record is not of item.Version any more.
func (s *Spool) Reschedule(b *store.Batch, item *Item, due time.Time) {
	s.Settle(b, item, nil, due)
}

// Scan returns items in custody behind that id in the order of their ids, which is that of their acceptance; at most limit,
// and none at the end. One whose record cannot be read has its ID only.
func (s *Spool) Scan(ctx context.Context, after mail.ID, limit int) ([]*Item, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	snap, err := s.st.Snapshot()
	if err != nil {
		return nil, fmt.Errorf("scan the spool: %w", err)
	}
	defer snap.Close()
	r := store.Prefix(keys.Spool(""))
	r.Limit = limit
	if after != "" {
		r.Start = append(keys.Spool(after), 0)
	}
	var items []*Item
	for e, err := range snap.Scan(r) {
		if err != nil {
			return nil, fmt.Errorf("scan the spool: %w", err)
		}
		item, err := Decode(e.Value)
		if err != nil {
			item = &Item{}
		}
		item.ID, item.Version = mail.ID(e.Key[len(keys.Spool("")):]), e.Version
		items = append(items, item)
	}
	return items, nil
}

// Load returns an item in custody, or store.ErrNotFound. record.ErrCorrupt says that its record cannot be read.
func (s *Spool) Load(ctx context.Context, id mail.ID) (*Item, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	snap, err := s.st.Snapshot()
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", id, err)
	}
	defer snap.Close()
	return load(snap, id)
}

// LoadEach calls f with each of those items, or with the error that Load would return for it. It ends with the first error
// of f, which it returns. Other errors: those of the store.
func (s *Spool) LoadEach(ctx context.Context, ids []mail.ID, f func(mail.ID, *Item, error) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	snap, err := s.st.Snapshot()
	if err != nil {
		return fmt.Errorf("load messages: %w", err)
	}
	defer snap.Close()
	for _, id := range ids {
		item, err := load(snap, id)
		if err := f(id, item, err); err != nil {
			return err
		}
	}
	return nil
}

// Erase adds to the batch the end of an item whose record cannot be read: it looks for all that belongs to it, through the
// whole due index and all references. Errors: store.ErrNotFound, those of the store.
func (s *Spool) Erase(ctx context.Context, b *store.Batch, id mail.ID) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	snap, err := s.st.Snapshot()
	if err != nil {
		return fmt.Errorf("erase %s: %w", id, err)
	}
	defer snap.Close()
	_, version, err := snap.Get(keys.Spool(id))
	if err != nil {
		return fmt.Errorf("erase %s: %w", id, err)
	}
	b.Check(keys.Spool(id), version)
	b.Delete(keys.Spool(id))
	for e, err := range snap.Scan(store.Prefix(keys.DueAll())) {
		if err != nil {
			return fmt.Errorf("erase %s: %w", id, err)
		}
		if due, of, ok := keys.ParseDue(e.Key); ok && of == id {
			b.Delete(keys.Due(due, id))
		}
	}
	for e, err := range snap.Scan(store.Prefix(keys.RefAll())) {
		if err != nil {
			return fmt.Errorf("erase %s: %w", id, err)
		}
		if body, holder, ok := keys.ParseRef(e.Key); ok && holder == keys.SpoolHolder(id) {
			s.bodies.DropLost(b, body, bodies.Holder(holder))
		}
	}
	return nil
}

func load(snap store.Snapshot, id mail.ID) (*Item, error) {
	value, version, err := snap.Get(keys.Spool(id))
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", id, err)
	}
	item, err := Decode(value)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", id, err)
	}
	item.ID, item.Version = id, version
	return item, nil
}

// Open returns a reader of the item's content, our prefix included. The item must be in custody while it is read.
func (s *Spool) Open(ctx context.Context, item *Item) (*bodies.Reader, error) {
	r, err := s.bodies.Open(ctx, item.Body)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", item.ID, err)
	}
	return r, nil
}
