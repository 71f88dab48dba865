package receiver

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"waybill/internal/config"
	"waybill/internal/directory"
	"waybill/internal/dns/dnstest"
	"waybill/internal/guard"
	"waybill/internal/login"
	"waybill/internal/mail"
	"waybill/internal/mailbox"
	"waybill/internal/smtp"
	"waybill/internal/spool"
	"waybill/internal/store"
	"waybill/internal/store/bodies"
	"waybill/internal/store/keys"
	"waybill/internal/store/lease"
	"waybill/internal/store/pebble"
	"waybill/internal/trail"
)

// TestTranscripts plays testdata/*.txt against the policy of a listener, over real sockets with the real store. A file
// is lines of
//
//	L: MTA | MSA        the listener's kind; further words: "trusted", "cleartext", "full", "down", "crowded", "nobody" (no account
//	                    exists), and "header=N", "received=N", "rate=N", "ban=N", "mailbox=N" for limits. "aliases": list
//	                    leads to alice, bob and you@example.net; all else, *, to alice; bob is disabled. "toofar": far leads to
//	                    1001 addresses
//	C: text             sent with CR LF; {login NAME PASSWORD} becomes the base64 of AUTH PLAIN
//	S: text             expected; "*" stands for any run of characters
//	V: text             expected in the session's waybill, once the session is over: "outcome | rule | reason"
//	R: text             the recipients of the accepted message, in order: forward-path, the address that an alias had, reverse-path if it is another one
//	H: text             expected in the accepted message, our prefix included
//	N: text             not expected there
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			newBench(t, string(text)).play()
		})
	}
}

// bench is a receiver with everything under it, and the client's end of a connection to it.
type bench struct {
	t     *testing.T
	lines []string

	mu     sync.Mutex
	events []trail.Event
	items  []*spool.Item
	spool  *spool.Spool
	ended  chan struct{} // the first session is over
	once   sync.Once

	conn net.Conn
	in   *bufio.Reader
}

// AtOnce files nothing: what a message is like is read from the spool.
func (b *bench) AtOnce(context.Context, *store.Batch, *spool.Item) ([]trail.Event, bool) {
	return nil, false
}

// Enqueue takes what the receiver accepted.
func (b *bench) Enqueue(item *spool.Item) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.items = append(b.items, item)
}

func (b *bench) observe(e trail.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events = append(b.events, e)
	if e.Kind == trail.Ended {
		b.once.Do(func() { close(b.ended) })
	}
}

// sick is a store that says that it cannot be used.
type sick struct{ store.Store }

func (sick) Healthy() error { return store.ErrUnavailable }

// crowded is a directory that checks too many passwords already.
type crowded struct{ login.Directory }

func (crowded) Authenticate(context.Context, string, string) (directory.Account, error) {
	return directory.Account{}, directory.ErrBusy
}

func newBench(t *testing.T, text string) *bench {
	b := &bench{t: t, lines: strings.Split(strings.TrimRight(text, "\n"), "\n"), ended: make(chan struct{})}
	setting, ok := strings.CutPrefix(b.lines[0], "L: ")
	if !ok {
		t.Fatal("the first line is not L:")
	}
	words := strings.Fields(setting)
	has := func(word string) bool { return strings.Contains(setting, word) }

	logger := slog.New(slog.DiscardHandler)
	engine, err := pebble.Open(pebble.Options{Dir: "store", FS: vfs.NewMem(), Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Close() })
	held := bodies.New(engine)
	b.spool = spool.New(engine, held, lease.Alone(1))
	dir := directory.New(engine, []config.Domain{{Name: "example.test"}}, directory.Options{Hash: directory.Cost{Memory: 8, Passes: 1, Threads: 1}})
	if !has("nobody") {
		for _, name := range []string{"alice", "bob", "alice+own"} {
			addAccount(t, engine, dir, mailbox.New(engine, held, lease.Alone(1)), name)
		}
	}
	if has("aliases") {
		addAliases(t, engine, dir)
	}
	if has("toofar") {
		addTooFar(t, engine, dir)
	}
	boxes := mailbox.New(engine, held, lease.Alone(1))
	o := Options{
		Usage:    boxes.Usage,
		Hostname: "mail.example.test", IDs: mail.NewIDs(1), Store: engine, Spool: b.spool, Directory: dir, Owners: dir, Queue: b, Expire: time.Hour, Logger: logger,
		Trail:   trail.New(engine, trail.Options{Observe: b.observe, Logger: logger}),
		Names:   dnstest.Start(t, "$ORIGIN in-addr.arpa.\n1.0.0.127 PTR client.example.net.\n", "$ORIGIN example.net.\nclient A 127.0.0.1\n").Client,
		MinFree: 1000, DiskFree: func() (uint64, error) { return 2000, nil },
	}
	local := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	if has("trusted") {
		o.Trusted = local
	}
	if has("cleartext") {
		o.CleartextFrom = local
	}
	if has("full") {
		o.DiskFree = func() (uint64, error) { return 999, nil }
	}
	rules := guard.Options{BanTime: 15 * time.Minute, Delay: time.Nanosecond}
	for _, word := range words[1:] {
		name, value, _ := strings.Cut(word, "=")
		number, _ := strconv.ParseFloat(value, 64)
		switch name {
		case "header":
			o.HeaderSize = int(number)
		case "received":
			o.MaxReceived = int(number)
		case "mailbox":
			o.MailboxSize = int64(number)
			fill(t, engine, "bob@example.test", 270)
		case "ban":
			rules.BanAfter = int(number)
		case "rate":
			o.RatePerAddress, o.RatePerAccount = number, number
		}
	}
	o.Logins = &login.Service{Directory: dir, Guard: guard.New(rules), Logger: logger}
	if has("crowded") {
		o.Logins.Directory = crowded{dir}
	}
	if has("down") {
		o.Store = sick{engine}
	}
	b.serve(Kind(words[0]), New(o))
	return b
}

func addAccount(t *testing.T, engine store.Store, dir *directory.Directory, boxes *mailbox.Mailboxes, name string) {
	t.Helper()
	var batch store.Batch
	addr := mail.Address{Local: name, Domain: "example.test"}
	if err := dir.Add(t.Context(), &batch, addr, "secret"); err != nil {
		t.Fatal(err)
	}
	if err := boxes.Create(t.Context(), &batch, addr.Key(), mailbox.Inbox, time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := engine.Commit(t.Context(), &batch); err != nil {
		t.Fatal(err)
	}
}

func addAliases(t *testing.T, engine store.Store, dir *directory.Directory) {
	t.Helper()
	example := func(local string) mail.Address { return mail.Address{Local: local, Domain: "example.test"} }
	alice := example("alice")
	yes := true
	for _, change := range []func(*store.Batch) error{
		func(b *store.Batch) error {
			targets := []mail.Address{alice, example("bob"), {Local: "you", Domain: "example.net"}}
			return dir.PutAlias(t.Context(), b, directory.Alias{Address: example("list"), Targets: targets}, true)
		},
		func(b *store.Batch) error {
			return dir.PutAlias(t.Context(), b, directory.Alias{Address: example("*"), Targets: []mail.Address{alice}}, true)
		},
		func(b *store.Batch) error {
			return dir.Update(t.Context(), b, example("bob"), directory.Change{Disabled: &yes})
		},
	} {
		var b store.Batch
		if err := change(&b); err != nil {
			t.Fatal(err)
		}
		if _, err := engine.Commit(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
	}
}

// addTooFar makes an alias that leads too far, which only a domain can do that was not ours at first.
func addTooFar(t *testing.T, engine store.Store, dir *directory.Directory) {
	t.Helper()
	later := config.Domain{Name: "later.test"}
	many := directory.Alias{Address: mail.Address{Local: "many", Domain: later.Name}}
	for i := range 1000 {
		many.Targets = append(many.Targets, mail.Address{Local: strconv.Itoa(i), Domain: "example.net"})
	}
	far := directory.Alias{
		Address: mail.Address{Local: "far", Domain: "example.test"},
		Targets: []mail.Address{many.Address, {Local: "alice", Domain: "example.test"}},
	}
	var b store.Batch
	for a, d := range map[*directory.Alias]*directory.Directory{
		&far: dir, &many: directory.New(engine, []config.Domain{later}, directory.Options{}),
	} {
		if err := d.PutAlias(t.Context(), &b, *a, true); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := engine.Commit(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	dir.SetConfigured([]config.Domain{{Name: "example.test"}, later})
}

// fill lets an account have mail of that many octets.
func fill(t *testing.T, engine store.Store, account string, octets int64) {
	t.Helper()
	var b store.Batch
	b.Count(keys.Octets(account), octets, 0)
	if _, err := engine.Commit(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
}

func (b *bench) serve(kind Kind, r *Receiver) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	server := &smtp.Server{Hostname: r.Hostname, NewSession: r.Sessions(kind), Logger: r.Logger}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() {
		defer close(served)
		server.Serve(ctx, l)
	}()
	b.t.Cleanup(func() {
		cancel()
		server.Shutdown(ctx)
		l.Close()
		<-served
	})
	if b.conn, err = net.Dial("tcp", l.Addr().String()); err != nil {
		b.t.Fatal(err)
	}
	b.conn.SetDeadline(time.Now().Add(20 * time.Second))
	b.in = bufio.NewReader(b.conn)
}

func (b *bench) play() {
	var verdicts, headers, absent, recipients []string
	for i, line := range b.lines[1:] {
		kind, rest, _ := strings.Cut(line, ":")
		rest = strings.TrimPrefix(rest, " ")
		switch kind {
		case "C":
			fmt.Fprintf(b.conn, "%s\r\n", b.expand(rest))
		case "S":
			got, err := b.in.ReadString('\n')
			if got = strings.TrimRight(got, "\r\n"); err != nil || !match(rest, got) {
				b.t.Fatalf("line %d: got %q (%v), want %q", i+2, got, err, rest)
			}
		case "V":
			verdicts = append(verdicts, rest)
		case "R":
			recipients = append(recipients, rest)
		case "H":
			headers = append(headers, rest)
		case "N":
			absent = append(absent, rest)
		case "#", "":
		default:
			b.t.Fatalf("line %d: %q is no transcript line", i+2, line)
		}
	}
	b.conn.Close()
	<-b.ended
	b.verdicts(verdicts)
	b.headers(headers, absent)
	b.recipients(recipients)
}

// recipients compares those of the accepted message.
func (b *bench) recipients(want []string) {
	if len(want) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.items) != 1 {
		b.t.Fatalf("%d messages were accepted", len(b.items))
	}
	var got []string
	for _, r := range b.items[0].Recipients {
		got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s", r.ForwardPath, r.Original, r.Sender)))
	}
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || !match(want[i], got[i]) {
			b.t.Errorf("recipients: %q, want %q", got, want)
			return
		}
	}
}

func (b *bench) expand(text string) string {
	before, rest, ok := strings.Cut(text, "{login ")
	if !ok {
		return text
	}
	words, after, _ := strings.Cut(rest, "}")
	name, password, _ := strings.Cut(words, " ")
	return before + base64.StdEncoding.EncodeToString([]byte("\x00"+name+"\x00"+password)) + after
}

func (b *bench) verdicts(want []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var got []string
	for _, e := range b.events {
		if e.Decision != nil {
			got = append(got, e.Decision.Outcome+" | "+e.Decision.Rule+" | "+e.Decision.Reason)
		}
	}
	for i, w := range want {
		if i >= len(got) || !match(w, got[i]) {
			b.t.Errorf("decision %d: want %q, got %q", i+1, w, got)
		}
	}
	if len(got) != len(want) {
		b.t.Errorf("%d decisions, want %d: %q", len(got), len(want), got)
	}
}

func (b *bench) headers(want, absent []string) {
	if len(want)+len(absent) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.items) == 0 {
		b.t.Fatal("no message was accepted")
	}
	r, err := b.spool.Open(b.t.Context(), b.items[0])
	if err != nil {
		b.t.Fatal(err)
	}
	defer r.Close()
	var content strings.Builder
	if _, err := r.WriteTo(&content); err != nil {
		b.t.Fatal(err)
	}
	for _, w := range want {
		if !match("*"+w+"*", strings.ReplaceAll(content.String(), "\r\n\t", " ")) {
			b.t.Errorf("no %q in\n%s", w, content.String())
		}
	}
	for _, text := range absent {
		if strings.Contains(content.String(), text) {
			b.t.Errorf("%q stands in\n%s", text, content.String())
		}
	}
}

// match says whether text is pattern, in which "*" stands for any run of characters.
func match(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	rest, ok := strings.CutPrefix(text, parts[0])
	for _, part := range parts[1:] {
		_, after, found := strings.Cut(rest, part)
		if part == "" {
			after, found = "", true
		}
		ok, rest = ok && found, after
	}
	return ok && rest == ""
}
