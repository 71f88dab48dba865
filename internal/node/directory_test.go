package node

import (
	"fmt"
	"io"
	"net/netip"
	"net/smtp"
	"strings"
	"sync"
	"testing"
	"time"

	"waybill/internal/config"
	"waybill/internal/control"
	"waybill/internal/directory"
	"waybill/internal/mail"
	"waybill/internal/mailbox"
	"waybill/internal/message"
	"waybill/internal/store"
	"waybill/internal/store/keys"
)

// submitPlain hands a message over as a stranger's server does.
func submitPlain(address, from, to, content string) error {
	c, err := smtp.Dial(address)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Mail(from); err != nil {
		return err
	}
	if err := c.Rcpt(to); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte(content)); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return c.Quit()
}

// inboxOf returns the messages of an account's INBOX.
func (n *Node) inboxOf(t *testing.T, addr mail.Address) []mailbox.Entry {
	t.Helper()
	l, err := n.mailboxes.List(t.Context(), addr.Key(), mailbox.Inbox)
	if err != nil {
		t.Fatal(err)
	}
	return l.Entries
}

// TestQuotaRace: many at once fill a mailbox to its quota and no further; whoever got a 250 is in it, all others got 452.
func TestQuotaRace(t *testing.T) {
	t.Parallel()
	const quota = 20_000
	n := startNode(t, func(c *config.Config) { c.Limits.MailboxSize = quota })
	who := mail.Address{Local: "full", Domain: "example.test"}
	if err := n.AddAccount(t.Context(), who, "secret"); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	taken := 0
	var senders sync.WaitGroup
	for range 40 {
		senders.Go(func() {
			err := submitPlain(addressOf(n, "smtp"), "me@a.test", who.String(), "Subject: x\r\n\r\n"+strings.Repeat("x", 60)+"\r\n"+strings.Repeat("0123456789abcdef\r\n", 50))
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				taken++
			} else if !strings.HasPrefix(err.Error(), `452 "4.2.2 `) {
				t.Errorf("refused with %v", err)
			}
		})
	}
	senders.Wait()
	var octets int64
	entries := n.inboxOf(t, who)
	for _, e := range entries {
		octets += e.Size
	}
	if len(entries) != taken || octets > quota || octets < quota/2 || taken == 40 {
		t.Errorf("%d messages taken, %d in the mailbox with %d octets of %d", taken, len(entries), octets, quota)
	}
	if used, err := n.mailboxes.Usage(t.Context(), who.Key()); err != nil || used != octets {
		t.Errorf("usage %d, %v, want %d", used, err, octets)
	}
}

// TestNeverFits: a message that is larger than the mailbox is refused at the dot, also where the octets that we add make it so;
// it never becomes a report to a reverse-path that anybody can forge.
func TestNeverFits(t *testing.T) {
	t.Parallel()
	const quota = 5000
	n := startNode(t, func(c *config.Config) { c.Limits.MailboxSize = quota })
	author := mail.Address{Local: "author", Domain: "example.test"} // to whom a report would come
	var filed, refused int
	for size := quota - 600; size < quota+40; size += 20 {
		who := mail.Address{Local: fmt.Sprint("you", size), Domain: "example.test"}
		if err := n.AddAccount(t.Context(), who, "secret"); err != nil {
			t.Fatal(err)
		}
		content := "Subject: x\r\n\r\n" + strings.Repeat("0123456789abcdefgh\r\n", size/20)
		err := submitPlain(addressOf(n, "smtp"), author.String(), who.String(), content)
		entries := n.inboxOf(t, who)
		switch {
		case err == nil && len(entries) == 1 && refused == 0:
			filed++
		case err != nil && strings.HasPrefix(err.Error(), `552 "5.2.2 `) && len(entries) == 0:
			refused++
		default:
			t.Errorf("%d octets: %v, %d in the mailbox", size, err, len(entries))
		}
	}
	if filed == 0 || refused == 0 {
		t.Errorf("%d filed, %d refused", filed, refused)
	}
	if due := n.inQueue(t); len(due) != 0 {
		t.Errorf("in the queue: %v", due)
	}
}

// TestForwarding: an alias here leads to an account of another server. What that server cannot take comes back to us, and goes
// on to the author.
func TestForwarding(t *testing.T) {
	t.Parallel()
	there := startNode(t, func(c *config.Config) {
		c.Hostname, c.Domains = "mail.there.test", append(c.Domains, config.Domain{Name: "there.test"})
	})
	to := netip.MustParseAddrPort(addressOf(there, "smtp"))
	here := startNode(t, func(c *config.Config) {
		c.Routes = []config.Route{{Domains: []string{"there.test"}, Via: []config.Hop{{Addr: to.Addr(), Port: to.Port()}}, TLS: config.RouteTLSOpportunistic}}
		c.Domains = append(c.Domains, config.Domain{Name: "author.test"}) // whose mail comes back to us, so that it can be seen
	})
	you, author := mail.Address{Local: "you", Domain: "there.test"}, mail.Address{Local: "author", Domain: "author.test"}
	alias := mail.Address{Local: "forward", Domain: "example.test"}
	gone := mail.Address{Local: "gone", Domain: "example.test"}
	for _, err := range []error{
		there.AddAccount(t.Context(), you, "secret"), here.AddAccount(t.Context(), author, "secret"),
		here.PutAlias(t.Context(), directory.Alias{Address: alias, Targets: []mail.Address{you}}, true),
		here.PutAlias(t.Context(), directory.Alias{Address: gone, Targets: []mail.Address{{Local: "nobody", Domain: "there.test"}}}, true),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := submitPlain(addressOf(here, "smtp"), "stranger@far.test", alias.String(), "Subject: x\r\n\r\nx\r\n"); err != nil {
		t.Fatal(err)
	}
	var entries []mailbox.Entry
	for deadline := time.Now().Add(20 * time.Second); len(entries) == 0; time.Sleep(5 * time.Millisecond) {
		if entries = there.inboxOf(t, you); time.Now().After(deadline) {
			t.Fatal("the message does not come")
		}
	}
	prefix := string(entries[0].Prefix)
	if !strings.HasPrefix(prefix, "Return-Path: <SRS0=") || !strings.Contains(prefix, "=far.test=stranger@example.test>") {
		t.Errorf("there it has %q", prefix)
	}
	path, _, _ := strings.Cut(strings.TrimPrefix(prefix, "Return-Path: <"), ">")
	if err := submitPlain(addressOf(here, "smtp"), "spam@far.test", path, "Subject: x\r\n\r\nx\r\n"); err == nil || !strings.HasPrefix(err.Error(), `550 "5.1.1 `) {
		t.Errorf("mail that is no bounce, to the address of the forwarder: %v", err)
	}
	if err := submitPlain(addressOf(here, "smtp"), "", path, "Subject: bounce\r\n\r\nx\r\n"); err != nil {
		t.Errorf("a bounce: %v", err)
	}
	bounce, err := here.Route(t.Context(), mail.Address{}, mail.Address{Local: strings.TrimSuffix(path, "@example.test"), Domain: "example.test"})
	if err != nil || !answers(bounce, "stranger@far.test") || answers(bounce, "nobody's") {
		t.Errorf("the way of a bounce: %+v, %v", bounce, err)
	}
	spam, err := here.Route(t.Context(), author, mail.Address{Local: strings.TrimSuffix(path, "@example.test"), Domain: "example.test"})
	if err != nil || len(spam.Steps) != 1 || !answers(spam, "not for this message: 550") {
		t.Errorf("the way of what is no bounce: %+v, %v", spam, err)
	}
	// The other server refuses this one: the report goes to its author.
	if err := submitPlain(addressOf(here, "smtp"), author.String(), gone.String(), "Subject: x\r\n\r\nx\r\n"); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); len(here.inboxOf(t, author)) == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the author hears nothing")
		}
	}
	route, err := here.Route(t.Context(), mail.Address{Local: "stranger", Domain: "far.test"}, alias)
	if err != nil || !answers(route, to.String()) || !answers(route, "<SRS0=") {
		t.Errorf("%+v, %v", route, err)
	}
}

// TestUnreadableDomainIsNotForeign: mail for a domain whose record cannot be read is neither refused for good nor sent away.
func TestUnreadableDomainIsNotForeign(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	for _, name := range []string{"bad.test", "good.test"} {
		if err := n.PutDomain(t.Context(), control.DomainChange{Name: name, New: true}); err != nil {
			t.Fatal(err)
		}
		if err := n.AddAccount(t.Context(), mail.Address{Local: "you", Domain: name}, "secret"); err != nil {
			t.Fatal(err)
		}
	}
	var b store.Batch
	b.Put(keys.Domain("bad.test"), []byte{0xff})
	if _, err := n.engine.Commit(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	const letter = "Subject: x\r\n\r\nx\r\n"
	if err := submitPlain(addressOf(n, "smtp"), "me@a.test", "you@bad.test", letter); err == nil || !strings.HasPrefix(err.Error(), `451 "4.3.0 `) {
		t.Errorf("the domain that cannot be read: %v", err)
	}
	if r, err := n.Route(t.Context(), mail.Address{}, mail.Address{Local: "you", Domain: "bad.test"}); err != nil || !answers(r, "not to be told now: 451") {
		t.Errorf("its route: %+v, %v", r, err)
	}
	if err := submitPlain(addressOf(n, "smtp"), "me@a.test", "you@good.test", letter); err != nil {
		t.Errorf("another domain: %v", err)
	}
	if err := n.PutDomain(t.Context(), control.DomainChange{Name: "bad.test"}); err != nil {
		t.Fatal(err)
	}
	if err := submitPlain(addressOf(n, "smtp"), "me@a.test", "you@bad.test", letter); err != nil {
		t.Errorf("once it is mended: %v", err)
	}
}

// TestExpandedReport: who asks for success at an alias with several targets gets one report, that it was expanded, and each
// target its copy.
func TestExpandedReport(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	addr := func(name string) mail.Address { return mail.Address{Local: name, Domain: "example.test"} }
	for _, name := range []string{"author", "one", "two"} {
		if err := n.AddAccount(t.Context(), addr(name), "secret"); err != nil {
			t.Fatal(err)
		}
	}
	team := directory.Alias{Address: addr("team"), Targets: []mail.Address{addr("one"), addr("two")}}
	if err := n.PutAlias(t.Context(), team, true); err != nil {
		t.Fatal(err)
	}
	c, err := smtp.Dial(addressOf(n, "smtp"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Hello("x.test"); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"MAIL FROM:<author@example.test> ENVID=QQ314159", "RCPT TO:<team@example.test> NOTIFY=SUCCESS,FAILURE"} {
		if err := c.Text.PrintfLine("%s", line); err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.Text.ReadResponse(250); err != nil {
			t.Fatal(err)
		}
	}
	w, err := c.Data()
	if err != nil {
		t.Fatal(err)
	}
	w.Write([]byte("Subject: x\r\n\r\nx\r\n"))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var told []mailbox.Entry
	for deadline := time.Now().Add(20 * time.Second); len(told) == 0 || len(n.inQueue(t)) > 0; time.Sleep(5 * time.Millisecond) {
		if told = n.inboxOf(t, addr("author")); time.Now().After(deadline) {
			t.Fatal("the author hears nothing")
		}
	}
	if len(told) != 1 || len(n.inboxOf(t, addr("one"))) != 1 || len(n.inboxOf(t, addr("two"))) != 1 {
		t.Errorf("%d reports, %d and %d copies", len(told), len(n.inboxOf(t, addr("one"))), len(n.inboxOf(t, addr("two"))))
	}
	m, err := n.mailboxes.Open(t.Context(), told[0])
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	text, err := io.ReadAll(m)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Final-Recipient: rfc822; team@example.test\r\nAction: expanded\r\nStatus: 2.1.5\r\n", "Original-Envelope-Id: QQ314159\r\n"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(string(text), "one@example.test") {
		t.Errorf("it tells of a target:\n%s", text)
	}
}

// answers says whether a step has an answer that begins so.
func answers(r control.Route, begin string) bool {
	for _, s := range r.Steps {
		if strings.HasPrefix(s.Answer, begin) {
			return true
		}
	}
	return false
}

// TestPartsAreKept: where the parts of a message stand is found when it comes, and kept with its body.
func TestPartsAreKept(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	const content = "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\none\r\n--x\r\nA: b\r\n\r\ntwo\r\n--x--\r\n"
	if err := submitPlain(addressOf(n, "smtp"), "me@a.test", alice.String(), content); err != nil {
		t.Fatal(err)
	}
	e := n.inboxOf(t, alice)[0]
	index, err := n.bodies.Index(t.Context(), e.Body)
	if err != nil {
		t.Fatal(err)
	}
	parts, err := message.DecodeParts(index, e.Body.Size)
	if err != nil || len(parts) != 3 || content[parts[2].Body:parts[2].End] != "two" || e.Body.Size != int64(len(content)) {
		t.Errorf("%+v, %v", parts, err)
	}
	if r, err := n.Verify(t.Context(), nil); err != nil || len(r.Findings) > 0 {
		t.Errorf("%+v, %v", r.Findings, err)
	}
}
