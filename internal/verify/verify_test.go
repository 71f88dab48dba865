package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"waybill/internal/config"
	"waybill/internal/directory"
	"waybill/internal/guard"
	"waybill/internal/mail"
	"waybill/internal/mailbox"
	"waybill/internal/spool"
	"waybill/internal/store"
	"waybill/internal/store/bodies"
	"waybill/internal/store/keys"
	"waybill/internal/store/layout"
	"waybill/internal/store/lease"
	"waybill/internal/store/pebble"
	"waybill/internal/trail"
)

// fixture is a store with an account that has two messages, and two messages in the queue.
type fixture struct {
	*testing.T
	dir   string
	st    *pebble.Store
	body  bodies.Body
	box   keys.Box
	item  *spool.Item
	alice mail.Address
	team  mail.Address // an alias, when it is furnished
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{T: t, dir: t.TempDir(), alice: mail.Address{Local: "alice", Domain: "a.test"}}
	f.open()
	t.Cleanup(func() { f.st.Close() })
	held := bodies.New(f.st)
	boxes, sp := mailbox.New(f.st, held, lease.Alone(1)), spool.New(f.st, held, lease.Alone(1))
	d := directory.New(f.st, []config.Domain{{Name: "a.test"}}, directory.Options{Hash: directory.Cost{Memory: 8, Passes: 1, Threads: 1}, Iterations: 4096})
	f.change(func(b *store.Batch) error {
		if err := boxes.Create(t.Context(), b, f.alice.Key(), mailbox.Inbox, time.Now()); err != nil {
			return err
		}
		return d.Add(t.Context(), b, f.alice, "secret")
	})
	now := time.Now()
	for i := range 2 {
		item := &spool.Item{ID: mail.NewIDs(uint16(i)).New(now), ReversePath: f.alice, Accepted: now, Due: now, Expires: now.Add(time.Hour),
			Recipients: []spool.Recipient{{ForwardPath: f.alice, State: spool.Pending}}}
		draft := sp.NewDraft()
		io.WriteString(draft, "Subject: x\r\n\r\n"+strings.Repeat("0123456789abcdef\r\n", 30_000)) // three chunks
		f.change(func(b *store.Batch) error { return sp.Enter(b, draft, []byte("Received: x\r\n"), item) })
		draft.Committed()
		draft.Discard()
		f.item, f.body = item, item.Body
		f.change(func(b *store.Batch) error {
			return boxes.File(t.Context(), b, f.alice.Key(), mailbox.Inbox, mailbox.Message{ID: item.ID, Body: item.Body, From: item.Holder(), Prefix: []byte("P: x\r\n"), Received: now})
		})
	}
	f.box = keys.Box{Account: f.alice.Key(), Number: 1}
	return f
}

// guess lets somebody guess at passwords until that ends in a ban, from where alice logs in.
func (f *fixture) guess() {
	f.Helper()
	g, err := guard.NewShared(f.Context(), guard.Options{BanAfter: 1, BanTime: time.Hour, Delay: time.Nanosecond}, f.st)
	if err != nil {
		f.Fatal(err)
	}
	client := netip.MustParseAddr("192.0.2.7")
	g.Succeeded(client, f.alice.Key())
	g.Failed(f.Context(), client, f.alice.Key())
	g.Failed(f.Context(), client, "nobody@a.test")
	ctx, cancel := context.WithCancel(f.Context())
	cancel()
	g.Share(ctx) // says what there is to say
}

// first returns the first key with that prefix.
func (f *fixture) first(prefix []byte) []byte {
	f.Helper()
	snap, err := f.st.Snapshot()
	if err != nil {
		f.Fatal(err)
	}
	defer snap.Close()
	for e, err := range snap.Scan(store.Prefix(prefix)) {
		if err != nil {
			f.Fatal(err)
		}
		return slices.Clone(e.Key)
	}
	f.Fatalf("there is no key that begins with %q", prefix)
	return nil
}

// furnish adds what else there can be in a store: a mailbox Archive with the number 2, one with the number 3 and an account that
// are being deleted, what was expunged, and all else of which the fixture has nothing.
func (f *fixture) furnish() {
	f.Helper()
	ctx, now := f.Context(), time.Now()
	held := bodies.New(f.st)
	boxes, account := mailbox.New(f.st, held, lease.Alone(1)), f.alice.Key()
	d := directory.New(f.st, []config.Domain{{Name: "a.test"}}, directory.Options{Hash: directory.Cost{Memory: 8, Passes: 1, Threads: 1}, Iterations: 4096})
	f.team = mail.Address{Local: "team", Domain: "a.test"}
	file := func(account, name string) {
		f.change(func(b *store.Batch) error {
			return boxes.File(ctx, b, account, name, mailbox.Message{ID: f.item.ID, Body: f.body, From: f.item.Holder(), Received: now})
		})
	}
	f.change(func(b *store.Batch) error { return boxes.Create(ctx, b, account, "Archive", now) })
	f.change(func(b *store.Batch) error { return boxes.Create(ctx, b, account, "Old", now) })
	f.change(func(b *store.Batch) error { return boxes.Create(ctx, b, "bob@a.test", mailbox.Inbox, now) })
	for _, to := range [][2]string{{account, "Archive"}, {account, "Old"}, {account, mailbox.Inbox}, {"bob@a.test", mailbox.Inbox}} {
		file(to[0], to[1])
	}
	f.change(func(b *store.Batch) error { boxes.Abandon(b, "bob@a.test"); return nil })
	f.change(func(b *store.Batch) error { return boxes.Remove(ctx, b, account, "Old") })
	l, err := boxes.List(ctx, account, mailbox.Inbox)
	if err != nil {
		f.Fatal(err)
	}
	f.change(func(b *store.Batch) error { boxes.Expunge(b, account, mailbox.Inbox, l.Entries[2:]); return nil })
	f.change(func(b *store.Batch) error { return d.PutDomain(b, config.Domain{Name: "b.test"}, true) })
	f.change(func(b *store.Batch) error {
		return d.PutAlias(ctx, b, directory.Alias{Address: f.team, Targets: []mail.Address{f.alice}}, true)
	})
	f.change(func(b *store.Batch) error {
		_, err := d.Rewrite(ctx, b, mail.Address{Local: strings.Repeat("long", 15), Domain: "elsewhere.test"}, "a.test", now)
		return err
	})
	f.change(func(b *store.Batch) error { b.Create(keys.Imported(account, "x"), nil); return nil })
	f.join()
	f.tell(now)
	f.guess()
	draft := held.NewDraft() // is under way
	io.WriteString(draft, strings.Repeat("0123456789abcdef\r\n", 30_000))
	f.Cleanup(draft.Discard)
}

// tell writes a step of a waybill, events of a session, and that some were left out.
func (f *fixture) tell(now time.Time) {
	f.Helper()
	told := trail.New(f.st, trail.Options{})
	f.change(func(b *store.Batch) error {
		told.Append(b, f.item.ID, []trail.Event{{Kind: trail.Filed, At: now, Message: f.item.ID}})
		b.Count(keys.Omitted(f.item.ID), 1, 0)
		return nil
	})
	told.Record(trail.Event{Kind: trail.Refused, At: now})
	if err := told.Close(context.Background()); err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) value(key []byte) []byte {
	f.Helper()
	snap, err := f.st.Snapshot()
	if err != nil {
		f.Fatal(err)
	}
	defer snap.Close()
	value, _, err := snap.Get(key)
	if err != nil {
		f.Fatalf("%q: %v", key, err)
	}
	return value
}

func (f *fixture) open() {
	f.Helper()
	st, err := pebble.Open(pebble.Options{Dir: filepath.Join(f.dir, "store"), MemTableSize: 1 << 20})
	if err != nil {
		f.Fatal(err)
	}
	f.st = st
}

// join makes the store one that nodes share, in which a POP3 session has a maildrop, an operator did something, and a place for objects is claimed.
func (f *fixture) join() {
	f.Helper()
	l, err := lease.Join(f.Context(), lease.Options{Store: f.st})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { l.Leave(context.Background()) })
	if _, err := mailbox.New(f.st, bodies.New(f.st), l).LockMaildrop(f.Context(), f.alice.Key()); err != nil {
		f.Fatal(err)
	}
	if _, err := layout.Upgrade(f.Context(), f.st); err != nil {
		f.Fatal(err)
	}
	f.change(func(b *store.Batch) error { b.Put(keys.Nudge(f.item.ID), nil); b.Put(keys.Claiming(), nil); return nil })
}

func (f *fixture) change(fill func(b *store.Batch) error) {
	f.Helper()
	var b store.Batch
	if err := fill(&b); err != nil {
		f.Fatal(err)
	}
	if _, err := f.st.Commit(context.Background(), &b); err != nil {
		f.Fatal(err)
	}
}

// A store with all that there can be is sound, and each key in it was read by the check of its kind.
func TestSoundStore(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.furnish()
	told := 0
	r, err := Run(t.Context(), f.st, bodies.New(f.st), func(Report) { told++ })
	if err != nil || len(r.Findings) != 0 || r.Messages != 5 || r.Queued != 2 || r.Bodies != 3 || r.Octets < 1_000_000 {
		t.Errorf("%+v, %v", r, err)
	}
	snap, err := f.st.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	for _, k := range new(verifier).kinds() {
		n := 0
		for range snap.Scan(store.Prefix([]byte(k.name))) {
			n++
		}
		if (n > 0) != (k.name != "nobody/" && k.name != "copying") {
			t.Errorf("%d keys of the kind %s were looked at", n, k.name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, f.st, bodies.New(f.st), nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestEveryKindIsChecked: each kind of key that the table in package keys has is one that is checked, and the other way round.
func TestEveryKindIsChecked(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("../store/keys/keys.go")
	if err != nil {
		t.Fatal(err)
	}
	doc, _, _ := strings.Cut(string(source), "\npackage keys")
	inTable := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^//\t([a-z]+/?) `).FindAllStringSubmatch(doc, -1) {
		inTable[m[1]] = true
	}
	delete(inTable, "key") // its heading
	checked := map[string]bool{}
	for _, k := range new(verifier).kinds() {
		checked[k.name] = true
		if !inTable[k.name] {
			t.Errorf("%s is checked, and is not in the table of keys", k.name)
		}
	}
	for name := range inTable {
		if !checked[name] {
			t.Errorf("the table of keys has %s, and nothing says how it is checked", name)
		}
	}
	if len(inTable) < 20 {
		t.Errorf("the table has %d kinds: it was not understood", len(inTable))
	}
}

// Each kind of damage is found, and what is said names the message or account that it hits.
func TestDamage(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		damage func(f *fixture, b *store.Batch)
		want   string // severity: what: part of the detail
	}{
		"chunk lost":         {func(f *fixture, b *store.Batch) { b.Delete(keys.Chunk(f.body.ID, 2)) }, "damage: message 2 of alice@a.test, mailbox 1: its content has 2 parts of 3"},
		"first chunk lost":   {func(f *fixture, b *store.Batch) { b.Delete(keys.Chunk(f.body.ID, 0)) }, "damage: message 2 of alice@a.test, mailbox 1: its content is lost"},
		"chunk cut":          {func(f *fixture, b *store.Batch) { b.Put(keys.Chunk(f.body.ID, 1), []byte("x")) }, "damage: message 2 of alice@a.test, mailbox 1: part 1 of its content has 1 octets"},
		"reference lost":     {func(f *fixture, b *store.Batch) { b.Delete(keys.Ref(f.body.ID, f.box.Holder(2))) }, "damage: message 2 of alice@a.test, mailbox 1: it does not hold its content"},
		"record broken":      {func(f *fixture, b *store.Batch) { b.Put(f.box.Message(2), []byte("\x01broken")) }, "damage: message 2 of alice@a.test, mailbox 1: its record cannot be read"},
		"message lost":       {func(f *fixture, b *store.Batch) { b.Delete(f.box.Message(1)) }, "damage: mailbox 1 of alice@a.test: it has 1 messages and is said to have 2"},
		"queue record":       {func(f *fixture, b *store.Batch) { b.Put(keys.Spool(f.item.ID), []byte{9}) }, "damage: message ID in the queue: its record cannot be read"},
		"due lost":           {func(f *fixture, b *store.Batch) { b.Delete(keys.Due(f.item.Due, f.item.ID)) }, "damage: message ID in the queue: it has no place in the schedule"},
		"due for nobody":     {func(f *fixture, b *store.Batch) { b.Put(keys.Due(f.item.Due, "0W6TGW001EEYT2"), nil) }, "untidy: the place "},
		"account":            {func(f *fixture, b *store.Batch) { b.Put(keys.Account(f.alice), []byte{7, 7}) }, "damage: the account of key "},
		"no password":        {func(f *fixture, b *store.Batch) { b.Delete(keys.Password(f.alice)) }, "damage: account alice@a.test: it has no password"},
		"password":           {func(f *fixture, b *store.Batch) { b.Put(keys.Password(f.alice), []byte("x")) }, "damage: the password of alice@a.test: it cannot be read"},
		"no inbox":           {func(f *fixture, b *store.Batch) { b.Delete(keys.Mailbox(f.alice.Key(), "INBOX")) }, "damage: account alice@a.test: it has no INBOX"},
		"octets":             {func(f *fixture, b *store.Batch) { b.Count(keys.Octets(f.alice.Key()), 5, 0) }, "damage: account alice@a.test: its mail has "},
		"body of nobody":     {func(_ *fixture, b *store.Batch) { b.Put(keys.Chunk([16]byte{9}, 0), []byte("x")) }, "untidy: content 09000000000000000000000000000000: nobody holds it"},
		"holder gone":        {func(f *fixture, b *store.Batch) { b.Put(keys.Ref(f.body.ID, f.box.Holder(77)), nil) }, "untidy: content "},
		"alias":              {func(f *fixture, b *store.Batch) { b.Put(keys.Alias(f.alice), nil) }, "damage: the alias of key "},
		"alias moved":        {func(f *fixture, b *store.Batch) { b.Put(keys.Alias(f.alice), f.value(keys.Alias(f.team))) }, "damage: the alias of key "},
		"domain":             {func(_ *fixture, b *store.Batch) { b.Put(keys.Domain("b.test"), []byte{1}) }, "damage: the domain of key "},
		"domain moved":       {func(f *fixture, b *store.Batch) { b.Put(keys.Domain("c.test"), f.value(keys.Domain("b.test"))) }, "damage: the domain of key "},
		"account moved":      {func(f *fixture, b *store.Batch) { b.Put(keys.Account(f.team), f.value(keys.Account(f.alice))) }, "damage: account team@a.test: its record is that of alice@a.test"},
		"account lost":       {func(f *fixture, b *store.Batch) { b.Delete(keys.Account(f.alice)) }, "damage: account alice@a.test: there is no account of that name, so its 2 mailboxes with 4 messages"},
		"password of nobody": {func(f *fixture, b *store.Batch) { b.Put(keys.Password(f.team), f.value(keys.Password(f.alice))) }, "untidy: the password of team@a.test: there is no account"},
		"scram":              {func(f *fixture, b *store.Batch) { b.Put(keys.SCRAM(f.alice), []byte{9, 9}) }, "damage: the keys for SCRAM of alice@a.test: it cannot be read"},
		"secret":             {func(_ *fixture, b *store.Batch) { b.Put(keys.Secret("srs"), []byte{}) }, "damage: the secret of key "},
		"secret lost":        {func(_ *fixture, b *store.Batch) { b.Delete(keys.Secret("srs")) }, "damage: the reverse-path of key "},
		"ban":                {func(f *fixture, b *store.Batch) { b.Put(f.first(keys.BannedAll()), nil) }, "untidy: a ban of 192.0.2.7/32: it cannot be read"},
		"known network":      {func(f *fixture, b *store.Batch) { b.Put(f.first(keys.KnownAll()), nil) }, "untidy: a login from 192.0.2.7/32: it cannot be read"},
		"news":               {func(f *fixture, b *store.Batch) { b.Put(f.first(keys.NewsAll()), nil) }, "untidy: what process "},
		"news of nobody":     {func(_ *fixture, b *store.Batch) { b.Put(keys.NewsOn("guard"), nil) }, "damage: key "},
		"forward":            {func(_ *fixture, b *store.Batch) { b.Put(keys.Forward("token"), []byte{1}) }, "damage: the reverse-path of key "},
		"node":               {func(_ *fixture, b *store.Batch) { b.Put(keys.Node(5), []byte{9}) }, "damage: node 5: its record cannot be read, so no node can join"},
		"node key":           {func(_ *fixture, b *store.Batch) { b.Put([]byte("node/x"), nil) }, `damage: key "node/x": its fields`},
		"beat":               {func(_ *fixture, b *store.Batch) { b.Put([]byte("beat/x"), nil) }, `damage: key "beat/x": its fields`},
		"nudge":              {func(_ *fixture, b *store.Batch) { b.Put([]byte("nudge/x"), nil) }, `damage: key "nudge/x": its fields`},
		"maildrop lock":      {func(f *fixture, b *store.Batch) { b.Put(keys.Maildrop(f.alice.Key()), []byte{9}) }, "untidy: the lock of the maildrop of alice@a.test: it cannot be read"},
		"maildrop lock key":  {func(_ *fixture, b *store.Batch) { b.Put([]byte("maildrop/x"), nil) }, `damage: key "maildrop/x": its fields`},
		"form":               {func(_ *fixture, b *store.Batch) { b.Put(keys.Layout(), []byte{99}) }, `damage: key "layout": the form of the store is none`},
		"purge mark":         {func(_ *fixture, b *store.Batch) { b.Put([]byte("purge/x"), nil) }, `damage: key "purge/x": its fields`},
		"INBOX record":       {func(f *fixture, b *store.Batch) { b.Put(keys.Mailbox(f.alice.Key(), "INBOX"), []byte{9, 9}) }, "damage: mailbox INBOX of alice@a.test: its record cannot be read"},
		"INBOX unreachable":  {func(f *fixture, b *store.Batch) { b.Put(keys.Mailbox(f.alice.Key(), "INBOX"), []byte{9, 9}) }, "damage: mailbox 1 of alice@a.test: no mailbox has that number, so its 2 messages"},
		"mailbox lost":       {func(f *fixture, b *store.Batch) { b.Delete(keys.Mailbox(f.alice.Key(), "Archive")) }, "damage: mailbox 2 of alice@a.test: no mailbox has that number, so its 1 messages"},
		"mailbox twice": {func(f *fixture, b *store.Batch) {
			b.Put(keys.Mailbox(f.alice.Key(), "Again"), f.value(keys.Mailbox(f.alice.Key(), "Archive")))
		}, "damage: mailbox 2 of alice@a.test: 2 names lead to it"},
		"mailbox 0": {func(f *fixture, b *store.Batch) {
			b.Put(keys.Mailbox(f.alice.Key(), "Zero"), []byte{1, 0, 0, 0, 0, 1, 1, 1, 1})
		}, "damage: mailbox Zero of alice@a.test: it has the number 0"},
		"newest validity": {func(f *fixture, b *store.Batch) { b.Put(keys.UIDValidity(f.alice.Key()), []byte{1}) }, "damage: the newest U"},
		"numbers lost":    {func(f *fixture, b *store.Batch) { b.Delete(keys.MailboxNumbers(f.alice.Key())) }, "damage: account alice@a.test: it has a mailbox with the number 3, and the next one would get 1"},
		"counter cut":     {func(f *fixture, b *store.Batch) { b.Put(keys.Octets(f.alice.Key()), []byte{1}) }, "damage: the counter of key "},
		"UIDs lost":       {func(f *fixture, b *store.Batch) { b.Delete(f.box.UIDs()) }, "damage: mailbox 1 of alice@a.test: it has, or had, a message with U"},
		"changes lost":    {func(f *fixture, b *store.Batch) { b.Delete(f.box.Changes()) }, "damage: mailbox 1 of alice@a.test: its last change has the number 4"},
		"all messages lost": {func(f *fixture, b *store.Batch) {
			b.DeleteRanges = append(b.DeleteRanges, store.Prefix(f.box.Messages()))
		}, "damage: mailbox 1 of alice@a.test: it has 0 messages and is said to have 2"},
		"expunged and there": {func(f *fixture, b *store.Batch) { key, _ := f.box.Gone(2, 2); b.Put(key, nil) }, "damage: message 2 of alice@a.test, mailbox 1: it is there, and is said to have been expunged"},
		"tombstone":          {func(f *fixture, b *store.Batch) { b.Put(append(f.box.Tombstones(), 1), nil) }, `damage: key "gone/`},
		"left of nobody":     {func(_ *fixture, b *store.Batch) { b.Put(keys.Imported("nobody@a.test", "x"), nil) }, "untidy: account nobody@a.test: there is no account of that name, and something is left"},
		"left of a mailbox": {func(f *fixture, b *store.Batch) {
			b.Count(keys.Box{Account: f.alice.Key(), Number: 3}.UIDs(), 1, 0)
			b.Delete(keys.Box{Account: f.alice.Key(), Number: 3}.Purge())
		}, "damage: mailbox 3 of alice@a.test: no mailbox has that number"},
		"due twice":           {func(f *fixture, b *store.Batch) { b.Put(keys.Due(f.item.Due.Add(time.Hour), f.item.ID), nil) }, "untidy: the place "},
		"sweep mark":          {func(f *fixture, b *store.Batch) { b.Put(keys.Sweep(f.body.ID, "x"), nil) }, `damage: the mark "sweep/`},
		"draft mark":          {func(_ *fixture, b *store.Batch) { b.Put([]byte("draft/x"), nil) }, `damage: key "draft/x": its fields`},
		"index left":          {func(_ *fixture, b *store.Batch) { b.Put(keys.Index([16]byte{9}), []byte("x")) }, "untidy: content 09000000000000000000000000000000: it is gone, and the index"},
		"index broken":        {func(f *fixture, b *store.Batch) { b.Put(keys.Index(f.body.ID), []byte{0xff}) }, "damage: message 2 of alice@a.test, mailbox 1: the index of its parts cannot be read"},
		"step":                {func(f *fixture, b *store.Batch) { b.Put(keys.Step(f.item.ID, time.Now(), 7), []byte{9}) }, "damage: a step in the waybill of message ID"},
		"session":             {func(_ *fixture, b *store.Batch) { b.Put(keys.Sessions(time.Now(), 7), []byte{9}) }, "damage: what is told of the sessions of "},
		"sessions miscounted": {func(_ *fixture, b *store.Batch) { b.Count(keys.SessionOctets(), 5, 0) }, "untidy: what is told of sessions: "},
		"stranger":            {func(_ *fixture, b *store.Batch) { b.Put([]byte("mailx/1"), nil) }, `untidy: key "mailx/1": it is of no kind`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.furnish()
			f.change(func(b *store.Batch) error { test.damage(f, b); return nil })
			r, err := Run(t.Context(), f.st, bodies.New(f.st), nil)
			if err != nil {
				t.Fatal(err)
			}
			want := strings.ReplaceAll(test.want, "ID", string(f.item.ID))
			var all []string
			for _, x := range r.Findings {
				text := fmt.Sprintf("%s: %s: %s", x.Severity, x.What, x.Detail)
				if strings.HasPrefix(text, want) {
					return
				}
				all = append(all, text)
			}
			t.Errorf("findings:\n%s\nwant %s", strings.Join(all, "\n"), want)
		})
	}
}

// A flipped bit in a file of the store is found by its checksum, and the store is read as far as it can be.
func TestFlippedBit(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for i := range 2000 { // until all that counts has left the log for a table
		f.change(func(b *store.Batch) error {
			b.Put(keys.Chunk([16]byte{1, byte(i >> 8), byte(i)}, 0), make([]byte, 4000))
			b.Put(keys.Draft(time.Now(), [16]byte{1, byte(i >> 8), byte(i)}), nil)
			return nil
		})
	}
	if r, err := Run(t.Context(), f.st, bodies.New(f.st), nil); err != nil || len(r.Findings) > 0 {
		t.Fatalf("before: %+v, %v", r, err)
	}
	if err := f.st.Close(); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(f.dir, "store", "*.blob"))
	if len(files) == 0 {
		t.Fatal("no value has left the log for a file")
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		content[len(content)/2] ^= 4
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f.open()
	r, err := Run(t.Context(), f.st, bodies.New(f.st), nil)
	if err != nil || r.Damage == 0 || r.Messages != 2 || r.Queued != 2 || !strings.Contains(r.Findings[0].What, "the files of the store") {
		t.Errorf("%+v, %v", r, err)
	}
}
