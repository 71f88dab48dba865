package maildrop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"waybill/internal/config"
	"waybill/internal/directory"
	"waybill/internal/guard"
	"waybill/internal/login"
	"waybill/internal/mail"
	"waybill/internal/mailbox"
	"waybill/internal/pop3"
	"waybill/internal/store"
	"waybill/internal/store/bodies"
	"waybill/internal/store/keys"
	"waybill/internal/store/lease"
	"waybill/internal/store/pebble"
	"waybill/internal/store/pebble/pebbletest"
	"waybill/internal/trail"
)

const (
	you      = "you@example.test"
	password = "pass wörd "
)

// site is a POP3 server over a real store in memory, for one account.
type site struct {
	t         *testing.T
	store     *obstinate
	bodies    *bodies.Bodies
	mailboxes *mailbox.Mailboxes
	trail     *notebook
	addr      string
	filed     int
}

func newSite(t *testing.T) *site {
	t.Helper()
	return newSiteOf(t, func(st store.Store) (store.Store, *lease.Lease) { return st, lease.Alone(1) })
}

// newSiteOf is newSite of a node with its way to the store.
func newSiteOf(t *testing.T, node func(st store.Store) (way store.Store, l *lease.Lease)) *site {
	t.Helper()
	st := pebbletest.Open(t)
	s := &site{t: t, store: &obstinate{Store: st}, bodies: bodies.New(st), trail: &notebook{}}
	way, l := node(st)
	s.mailboxes = mailbox.New(way, s.bodies, l)
	d := directory.New(st, []config.Domain{{Name: "example.test"}}, directory.Options{
		Hash: directory.Cost{Memory: 64, Passes: 1, Threads: 1},
	})
	b := &store.Batch{}
	addr := mail.Address{Local: "You", Domain: "example.test"}
	if err := d.Add(t.Context(), b, addr, password); err != nil {
		t.Fatal(err)
	}
	if err := s.mailboxes.Create(t.Context(), b, addr.Key(), mailbox.Inbox, time.Unix(1_700_000_000, 0)); err != nil {
		t.Fatal(err)
	}
	s.commit(b)
	s.serve(New(Options{
		Logins: &login.Service{
			Directory: d, Guard: guard.New(guard.Options{BanAfter: 3, BanTime: 15 * time.Minute, Delay: time.Nanosecond}), Logger: slog.New(slog.DiscardHandler),
		},
		Mailboxes: s.mailboxes, Trail: s.trail, Store: s.store, Hostname: "mail.example.test",
		CleartextFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	}))
	return s
}

func (s *site) serve(service *Service) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	server := &pop3.Server{Hostname: "mail.example.test", NewSession: service.NewSession}
	done := make(chan error, 1)
	go func() { done <- server.Serve(context.Background(), l) }()
	s.addr = l.Addr().String()
	s.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := errors.Join(server.Shutdown(ctx), <-done); err != nil {
			s.t.Error(err)
		}
	})
}

func (s *site) commit(b *store.Batch) {
	s.t.Helper()
	if _, err := s.store.Store.Commit(s.t.Context(), b); err != nil {
		s.t.Fatal(err)
	}
}

// file puts a message into the mailbox, as local delivery does: a Received field, if any, and a Return-Path.
func (s *site) file(received, content string) mail.ID {
	s.t.Helper()
	return s.fileAs(returnPath, received, content)
}

func (s *site) fileAs(prefix, received, content string) mail.ID {
	s.t.Helper()
	s.filed++
	id := mail.ID(fmt.Sprintf("MESSAGE%07d", s.filed))
	draft := s.bodies.NewDraft()
	defer draft.Discard()
	if _, err := io.WriteString(draft, content); err != nil {
		s.t.Fatal(err)
	}
	b := &store.Batch{}
	from := bodies.Holder("test/" + string(id))
	body, err := draft.Finish(b, []byte(received), from)
	if err != nil {
		s.t.Fatal(err)
	}
	s.commit(b)
	draft.Committed()
	b = &store.Batch{}
	err = s.mailboxes.File(s.t.Context(), b, you, mailbox.Inbox, mailbox.Message{
		ID: id, Body: body, From: from, Prefix: []byte(prefix), Received: time.Now(),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.bodies.Release(b, body, from)
	s.commit(b)
	return id
}

const (
	returnPath = "Return-Path: <me@example.test>\r\n"
	received   = "Received: from client\r\n"
)

// login returns a client that has logged in.
func (s *site) login() *pop3.Client {
	s.t.Helper()
	c := s.connect()
	if err := c.Login(s.t.Context(), "YOU@Example.Test", password); err != nil {
		s.t.Fatal(err)
	}
	return c
}

func (s *site) connect() *pop3.Client {
	s.t.Helper()
	nc, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	c := pop3.NewClient(nc, pop3.ClientOptions{})
	s.t.Cleanup(func() { c.Close() })
	if err := c.Greet(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	return c
}

func (s *site) left() int {
	s.t.Helper()
	l, err := s.mailboxes.List(s.t.Context(), you, mailbox.Inbox)
	if err != nil {
		s.t.Fatal(err)
	}
	return len(l.Entries)
}

// notebook is a Trail that remembers.
type notebook struct {
	mu        sync.Mutex
	events    []trail.Event
	committed []trail.Event
	ended     map[mail.ID]chan struct{} // closed when the session's end is told of the message
}

func (n *notebook) Append(b *store.Batch, id mail.ID, events []trail.Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.committed = append(n.committed, events...)
	b.Put([]byte("trail/"+string(id)), nil) // a key may be written once in a batch: the store would object to a second
}

func (n *notebook) Publish(events []trail.Event) {
	for _, e := range events {
		n.Record(e)
	}
}

func (n *notebook) Record(e trail.Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.events = append(n.events, e)
	if ended := n.ended[e.Message]; e.Kind == trail.MaildropClosed && ended != nil {
		close(ended)
		n.ended = nil
	}
}

// sessionEnd returns a channel that is closed when the next session's end is told of a message, or of none.
func (n *notebook) sessionEnd(id mail.ID) <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	ended := make(chan struct{})
	n.ended = map[mail.ID]chan struct{}{id: ended}
	return ended
}

// kinds returns what was told of a message, in order.
func (n *notebook) kinds(id mail.ID) []trail.Kind {
	n.mu.Lock()
	defer n.mu.Unlock()
	var kinds []trail.Kind
	for _, e := range n.events {
		if e.Message == id {
			kinds = append(kinds, e.Kind)
		}
	}
	return kinds
}

func (n *notebook) find(kind trail.Kind, id mail.ID) trail.Event {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.events {
		if e.Kind == kind && e.Message == id {
			return e
		}
	}
	return trail.Event{}
}

// obstinate is a Store whose commits fail first with these errors, after doing it or not.
type obstinate struct {
	*pebble.Store
	mu       sync.Mutex
	fail     []error
	before   func() // called before the next commit
	barriers int
	broken   error // what Barrier returns
}

func (o *obstinate) Barrier(ctx context.Context) error {
	o.mu.Lock()
	o.barriers++
	broken := o.broken
	o.broken = nil
	o.mu.Unlock()
	if broken != nil {
		return broken
	}
	return o.Store.Barrier(ctx)
}

func (o *obstinate) Commit(ctx context.Context, b *store.Batch) (store.Result, error) {
	o.mu.Lock()
	before, fail := o.before, error(nil)
	o.before = nil
	if len(o.fail) > 0 {
		fail, o.fail = o.fail[0], o.fail[1:]
	}
	o.mu.Unlock()
	if before != nil {
		before()
	}
	if fail != nil && !errors.Is(fail, store.ErrUnknown) {
		return store.Result{}, fail
	}
	r, err := o.Store.Commit(ctx, b)
	if fail != nil {
		return store.Result{}, fail
	}
	return r, err
}

func TestReadAndDelete(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	one := s.file(received, "Subject: one\r\n\r\n.body\r\n")
	two := s.file(received, "Subject: two\r\n\r\n"+strings.Repeat("x\r\n", 100_000))
	ended := s.trail.sessionEnd(one)
	c := s.login()
	ctx := t.Context()

	list, err := c.List(ctx)
	if err != nil || len(list) != 2 {
		t.Fatal(list, err)
	}
	ids, err := c.Uidl(ctx)
	if err != nil || ids[1] != "1700000000.1" || ids[2] != "1700000000.2" {
		t.Errorf("unique ids %v, %v", ids, err)
	}
	var got bytes.Buffer
	if err := c.Retr(ctx, 1, &got); err != nil {
		t.Fatal(err)
	}
	if want := returnPath + received + "Subject: one\r\n\r\n.body\r\n"; got.String() != want || list[0].Size != int64(len(want)) {
		t.Errorf("got %q with size %d, want %q", got.String(), list[0].Size, want)
	}
	late := s.file(received, "Subject: late\r\n\r\n")
	if n, _, err := c.Stat(ctx); n != 2 || err != nil {
		t.Errorf("new mail shows in an open maildrop: %d messages, %v", n, err)
	}
	if err := c.Dele(ctx, 1); err != nil {
		t.Fatal(err)
	}
	if s.left() != 3 {
		t.Error("deleted before QUIT")
	}
	if err := c.Quit(ctx); err != nil {
		t.Fatal(err)
	}
	<-ended
	if s.left() != 2 {
		t.Errorf("%d messages left, want 2", s.left())
	}
	s.trail.checkStories(t, one, two, late)
	if s.store.barriers == 0 {
		t.Error("what was listed may not be durable")
	}
	if ids, err := s.login().Uidl(ctx); err != nil || ids[1] != "1700000000.2" || ids[2] != "1700000000.3" {
		t.Errorf("next session: unique ids %v, %v", ids, err)
	}
}

// checkStories checks what was told of the message that was read and deleted, and of two that were not touched.
func (n *notebook) checkStories(t *testing.T, touched mail.ID, others ...mail.ID) {
	t.Helper()
	if got := n.kinds(""); !slices.Equal(got, []trail.Kind{trail.MaildropOpened, trail.MaildropClosed}) {
		t.Errorf("of the session: %v", got)
	}
	want := []trail.Kind{trail.MaildropOpened, trail.Fetched, trail.Deleted, trail.MaildropClosed}
	if got := n.kinds(touched); !slices.Equal(got, want) {
		t.Errorf("of the message: %v, want %v", got, want)
	}
	for _, id := range others {
		if got := n.kinds(id); got != nil {
			t.Errorf("of a message that was not touched: %v", got)
		}
	}
	if len(n.committed) != 1 || n.committed[0].Kind != trail.Deleted {
		t.Errorf("in the deletion's batch: %+v", n.committed)
	}
	e := n.find(trail.MaildropClosed, touched)
	if e.Actor != "mail.example.test" || e.Role != "POP3 server" || e.Session == "" || e.Peer.Account != "You@example.test" ||
		e.Text != "the session ended with QUIT: 1 message retrieved, 1 deleted" {
		t.Errorf("the end is told as %+v", e)
	}
	var said strings.Builder
	for _, l := range e.Dialogue {
		said.WriteString(l.Text + "\n")
	}
	if !strings.Contains(said.String(), "RETR 1\n") || strings.Contains(said.String(), "Subject") || strings.Contains(said.String(), "wörd") {
		t.Errorf("the dialogue is\n%s", said.String())
	}
}

func TestLogins(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ended := s.trail.sessionEnd("")
	c := s.connect()
	for _, wrong := range [][2]string{{you, "pass wörd"}, {"nobody@example.test", password}} {
		if err := c.Login(t.Context(), wrong[0], wrong[1]); !errors.Is(err, pop3.ErrAuth) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	c.Close()
	<-ended
	if e := s.trail.find(trail.MaildropClosed, ""); e.Text != "nobody logged in" || len(e.Dialogue) == 0 {
		t.Errorf("the session is told as %+v", e)
	}
	first := s.login()
	second := s.connect()
	if err := second.Login(t.Context(), you, password); !errors.Is(err, pop3.ErrInUse) {
		t.Errorf("second session: %v", err)
	}
	if err := first.Quit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := second.Login(t.Context(), you, password); err != nil {
		t.Errorf("after the first session: %v", err)
	}
}

// TestBan: after too many failures the right password does not help, and the waybill says why.
func TestBan(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := s.connect()
	for range 2 {
		if err := c.Login(t.Context(), you, "wrong"); !errors.Is(err, pop3.ErrAuth) {
			t.Error(err)
		}
	}
	c.Close()
	c = s.connect()
	if err := c.Login(t.Context(), you, "wrong"); !errors.Is(err, pop3.ErrAuth) {
		t.Error(err)
	}
	refused, ok := errors.AsType[*pop3.RefusedError](c.Login(t.Context(), you, password))
	if !ok || refused.Code != "SYS/TEMP" || !strings.HasSuffix(refused.Text, "too many failed logins from your address, try again after 15 minutes") {
		t.Errorf("got %+v", refused)
	}
	var told []string
	s.trail.mu.Lock()
	defer s.trail.mu.Unlock()
	for _, e := range s.trail.events {
		if e.Kind == trail.Refused {
			told = append(told, e.Decision.Outcome+" "+e.Recipient+" "+e.Decision.Rule)
		}
	}
	const wrong, ban = "refused you@example.test AUTH SCRAM-SHA-256", "[auth] ban_after: 3 failed logins from 127.0.0.1, until "
	if len(told) != 4 || told[0] != wrong || told[1] != wrong || !strings.HasPrefix(told[2], wrong+"; "+ban) ||
		!strings.HasPrefix(told[3], "refused you@example.test "+ban) {
		t.Errorf("told %q", told)
	}
}

// TestMaildropThatCannotBeOpened is not locked, and the client may try again.
func TestMaildropThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.store.broken = store.ErrUnavailable
	c := s.connect()
	refused, ok := errors.AsType[*pop3.RefusedError](c.Login(t.Context(), you, password))
	if !ok || refused.Code != "SYS/TEMP" || strings.Contains(refused.Text, "store") {
		t.Errorf("got %v", refused)
	}
	if err := c.Login(t.Context(), you, password); err != nil {
		t.Error(err)
	}
}

// TestSessionsWithoutLoginAreNotTold: nobody fills the trail by connecting.
func TestSessionsWithoutLoginAreNotTold(t *testing.T) {
	t.Parallel()
	book := &notebook{}
	st := story{service: New(Options{Trail: book})}
	st.closed(nil)
	if len(book.events) != 0 {
		t.Errorf("told %v", book.events)
	}
}

func TestCleartextOnlyFromExceptedNetworks(t *testing.T) {
	t.Parallel()
	service := New(Options{CleartextFrom: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}})
	for addr, want := range map[string]bool{
		"192.0.2.7:1":          true,
		"[::ffff:192.0.2.7]:1": true,
		"[2001:db8::1%eth0]:1": true,
		"192.0.3.7:1":          false,
		"[::1]:1":              false,
	} {
		tcp, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil {
			tcp = net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr))
		}
		if got := service.mayLogInClear(tcp); got != want {
			t.Errorf("%s: %v, want %v", addr, got, want)
		}
	}
	near, _ := net.Pipe()
	if service.mayLogInClear(near.RemoteAddr()) {
		t.Error("an address that is none is in a network")
	}
}

func TestLostConnectionDeletesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.file(received, "Subject: one\r\n\r\n")
	ended := s.trail.sessionEnd("")
	c := s.login()
	if err := c.Dele(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	c.Close()
	<-ended
	if s.left() != 1 {
		t.Error("deleted without QUIT")
	}
	if e := s.trail.find(trail.MaildropClosed, ""); !strings.HasPrefix(e.Text, "the session ended without QUIT (connection lost") {
		t.Errorf("the end is told as %q", e.Text)
	}
	s.login() // the maildrop is free
}

// TestDeletionFails: none is deleted, and nothing says so.
func TestDeletionFails(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	id := s.file(received, "Subject: one\r\n\r\n")
	s.file(received, "Subject: two\r\n\r\n")
	c := s.login()
	s.store.fail = []error{store.ErrUnavailable}
	if err := errors.Join(c.Dele(t.Context(), 1), c.Dele(t.Context(), 2)); err != nil {
		t.Fatal(err)
	}
	refused, ok := errors.AsType[*pop3.RefusedError](c.Quit(t.Context()))
	if !ok || refused.Code != "SYS/TEMP" {
		t.Errorf("QUIT: %v", refused)
	}
	if s.left() != 2 {
		t.Errorf("%d messages left", s.left())
	}
	if slices.Contains(s.trail.kinds(id), trail.Deleted) {
		t.Error("the deletion is told although it failed")
	}
	s.login()
}

// TestUnknownOutcome: the batch is committed again under its id, and happens once.
func TestUnknownOutcome(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.file(received, "Subject: one\r\n\r\n")
	s.file(received, "Subject: two\r\n\r\n")
	c := s.login()
	s.store.fail = []error{store.ErrUnknown, store.ErrUnavailable}
	if err := errors.Join(c.Dele(t.Context(), 1), c.Quit(t.Context())); err != nil {
		t.Fatal(err)
	}
	if s.left() != 1 {
		t.Errorf("%d messages left", s.left())
	}
}

// TestConflict: a message that somebody else removed during the session does not keep the others from going.
func TestConflict(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.file(received, "Subject: one\r\n\r\n")
	s.file(received, "Subject: two\r\n\r\n")
	s.file(received, "Subject: three\r\n\r\n")
	c := s.login()
	s.store.before = func() { s.expunge(1) }
	if err := errors.Join(c.Dele(t.Context(), 1), c.Dele(t.Context(), 2), c.Quit(t.Context())); err != nil {
		t.Fatal(err)
	}
	if s.left() != 1 {
		t.Errorf("%d messages left, want 1", s.left())
	}
}

// TestGone: a message whose body is gone is refused; the session goes on.
func TestGone(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.file(received, "Subject: one\r\n\r\n")
	s.file(received, "Subject: two\r\n\r\n")
	c := s.login()
	s.expunge(1)
	if n, err := s.bodies.Sweep(t.Context(), time.Hour); n != 1 || err != nil {
		t.Fatalf("swept %d bodies, %v", n, err)
	}
	if _, ok := errors.AsType[*pop3.RefusedError](c.Retr(t.Context(), 1, io.Discard)); !ok {
		t.Error("a message that is gone was sent")
	}
	if err := c.Retr(t.Context(), 2, io.Discard); err != nil {
		t.Error(err)
	}
}

// expunge removes the message with that UID behind the session's back.
func (s *site) expunge(uid uint32) {
	l, err := s.mailboxes.List(context.Background(), you, mailbox.Inbox)
	if err != nil {
		s.t.Error(err)
	}
	b := &store.Batch{}
	s.mailboxes.Expunge(b, you, mailbox.Inbox, slices.DeleteFunc(l.Entries, func(e mailbox.Entry) bool { return e.UID != uid }))
	if _, err := s.store.Store.Commit(context.Background(), b); err != nil {
		s.t.Error(err)
	}
}

// TestDamagedContents: what can be read of a damaged store is served. A message whose content breaks off ends the session,
// since a part of it must not be taken for the whole; but the next session refuses it and goes on.
func TestDamagedContents(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	long := strings.Repeat("0123456789abcdef\r\n", 30_000) // three chunks
	s.file(received, "Subject: one\r\n\r\n")
	s.file(received, "Subject: torn\r\n\r\n"+long)
	s.file(received, "Subject: no content\r\n\r\n")
	s.fileAs("", "", "Subject: no end\r\n\r\n"+long)
	s.file(received, "Subject: five\r\n\r\n"+long)
	s.file(received, "Subject: no record\r\n\r\n")
	l, err := s.mailboxes.List(t.Context(), you, mailbox.Inbox)
	if err != nil {
		t.Fatal(err)
	}
	b := &store.Batch{}
	b.Put(keys.Chunk(l.Entries[1].Body.ID, 1), []byte("x"))
	b.Put(keys.Chunk(l.Entries[2].Body.ID, 0), []byte("x"))
	b.Put(keys.Chunk(l.Entries[3].Body.ID, 2), []byte("x"))
	b.Put(keys.Box{Account: you, Number: 1}.Message(6), []byte("\x01broken"))
	s.commit(b)

	refused := func(err error) bool { _, is := errors.AsType[*pop3.RefusedError](err); return is }
	c := s.login()
	if err := errors.Join(c.Retr(t.Context(), 1, io.Discard)); err != nil {
		t.Fatal(err)
	}
	if err := c.Retr(t.Context(), 2, io.Discard); err == nil || refused(err) {
		t.Errorf("a content that breaks off: %v", err)
	}
	c = s.login()
	list, err := c.List(t.Context())
	if err != nil || len(list) != 5 {
		t.Errorf("%v, %v", list, err)
	}
	for n, want := range []bool{true, false, false, false, true} {
		err := c.Retr(t.Context(), n+1, io.Discard)
		if want && err != nil || !want && !refused(err) {
			if n == 3 && err != nil { // it breaks off for the first time
				c = s.login()
				continue
			}
			t.Errorf("message %d: %v", n+1, err)
		}
	}
	if err := errors.Join(c.Dele(t.Context(), 2), c.Dele(t.Context(), 3), c.Quit(t.Context())); err != nil || s.left() != 3 {
		t.Errorf("%v; %d messages are left", err, s.left())
	}
}

// TestSizeWithoutLastLineEnd: size and transfer agree for messages that were not made by SMTP.
func TestSizeWithoutLastLineEnd(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, content := range []string{"a: 1\r\n\r\nno end", "a: 1\r\n\r\nCR\r", "a: 1\r\n", "\n", ""} {
		s.file("", content)
	}
	c := s.login()
	list, err := c.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range list {
		var got bytes.Buffer
		if err := c.Retr(t.Context(), m.Number, &got); err != nil || int64(got.Len()) != m.Size {
			t.Errorf("message %d: listed with %d octets, sent %d: %q, %v", m.Number, m.Size, got.Len(), got.String(), err)
		}
	}
}

// TestManyMessages: one batch deletes all, and only the first waybills get the whole dialogue.
func TestManyMessages(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var ids []mail.ID
	for range 40 {
		ids = append(ids, s.file(received, "Subject: many\r\n\r\n"))
	}
	ended := s.trail.sessionEnd("")
	c := s.login()
	for n := range ids {
		if err := errors.Join(c.Retr(t.Context(), n+1, io.Discard), c.Dele(t.Context(), n+1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Quit(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-ended
	if s.left() != 0 {
		t.Errorf("%d messages left", s.left())
	}
	if got, want := s.trail.kinds(ids[39]), []trail.Kind{trail.Fetched, trail.Deleted}; !slices.Equal(got, want) {
		t.Errorf("of the last message: %v, want %v", got, want)
	}
}

var _ Mailboxes = (*mailbox.Mailboxes)(nil)
