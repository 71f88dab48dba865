package relay

import (
	"slices"
	"strings"
	"testing"
	"time"

	"waybill/internal/dns"
	"waybill/internal/mail"
	"waybill/internal/smtp"
	"waybill/internal/spool"
	"waybill/internal/trail"
)

// checkTLS wants the last event to show TLS with a certificate of that name, and the whole dialogue.
func checkTLS(t *testing.T, name string, events []trail.Event) {
	t.Helper()
	ev := events[len(events)-1]
	if ev.TLS == nil || !strings.Contains(ev.TLS.Subject, name) || ev.TLS.Verified {
		t.Errorf("TLS: %+v", ev.TLS)
	}
	var said []string
	for _, line := range ev.Dialogue {
		said = append(said, string(line.Side)+" "+line.Text)
	}
	if all := strings.Join(said, "\n"); !strings.Contains(all, "C STARTTLS") || !strings.HasSuffix(all, "S 221 bye") {
		t.Errorf("dialogue:\n%s", all)
	}
}

// checkVerified wants the last event to show TLS with a certificate that was checked, and no secret.
func checkVerified(t *testing.T, events []trail.Event) {
	t.Helper()
	ev := events[len(events)-1]
	if ev.TLS == nil || !ev.TLS.Verified {
		t.Errorf("TLS: %+v", ev.TLS)
	}
	for _, line := range ev.Dialogue {
		if strings.Contains(line.Text, "AG1lAHNlY3JldA") {
			t.Errorf("the password is written down: %s", line.Text)
		}
	}
}

func TestIDIn(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	id := mail.NewIDs(1).New(now.Add(-time.Minute))
	for text, want := range map[string]mail.ID{
		string(id) + " Message accepted for delivery":        id,
		"Ok: queued as " + strings.ToLower(string(id)) + ".": id,
		"acknowledgment":  "", // looks like an id of another century
		"queued as 47110": "",
		"":                "",
	} {
		if got := idIn(text, now); got != want {
			t.Errorf("idIn(%q) = %q, want %q", text, got, want)
		}
	}
}

// Equal preferences are tried in random order, different ones never change places.
func TestOrder(t *testing.T) {
	t.Parallel()
	r := New(Options{Hostname: "mail.a.test"})
	first := map[string]int{}
	for range 200 {
		groups := r.order([]dns.MX{{Host: "c.", Preference: 20}, {Host: "a.", Preference: 10}, {Host: "B.", Preference: 10}})
		if len(groups) != 2 || len(groups[0]) != 2 || groups[1][0].name != "c" {
			t.Fatalf("groups: %v", groups)
		}
		first[groups[0][0].name]++
	}
	if first["a"] == 0 || first["b"] == 0 {
		t.Errorf("hosts of equal preference that came first: %v", first)
	}
}

func TestHostsAreBounded(t *testing.T) {
	t.Parallel()
	r := New(Options{Hostname: "mail.a.test"})
	var records []dns.MX
	for i := range 1000 {
		records = append(records, dns.MX{Host: "mx.b.test.", Preference: uint16(i)})
	}
	if got := len(r.order(records)); got > maxHosts {
		t.Errorf("%d hosts would be looked up", got)
	}
}

// Words of a peer are kept within bounds: they are stored with the recipient, shown and sent on in a DSN.
func TestWordsAreBounded(t *testing.T) {
	t.Parallel()
	s := &session{target: target{place: place{host: "mx.b.test"}}}
	v := s.words(mail.Status{Code: 550, Text: strings.Repeat("x\n\x1b[31m", 100000)}, nil)
	if len(v.Text) > 1000 || strings.ContainsAny(v.Text, "\x1b\n") {
		t.Errorf("%d octets of a peer's words are kept: %.60q", len(v.Text), v.Text)
	}
}

// What a host says is read without harm, whatever it is.
func FuzzWords(f *testing.F) {
	f.Add("0W6TGW001EEYT2 Message accepted for delivery")
	f.Add("Ok: queued as <0W6TGW001EEYT2>;")
	f.Add("\xff\x00")
	f.Fuzz(func(t *testing.T, text string) {
		if id := idIn(text, time.Now()); id != "" {
			if again, err := mail.ParseID(string(id)); err != nil || again != id {
				t.Errorf("idIn(%q) = %q", text, id)
			}
		}
	})
}

// What the sender asked to be told goes along; an address that an alias replaced becomes its ORCPT (RFC 3461 §5.2.1).
func TestEnvelope(t *testing.T) {
	t.Parallel()
	path := func(local string) mail.Address { return mail.Address{Local: local, Domain: "b.test"} }
	asked := mail.Report{Notify: mail.NotifyNever, Original: mail.OriginalRecipient{Type: "rfc822", Address: "x@y.test"}}
	item := &spool.Item{
		ReversePath: path("me"), UTF8: true, BodyType: mail.Body8BitMIME,
		DSN: mail.DSN{Return: mail.ReturnHeader, EnvelopeID: "QQ314159"},
		Recipients: []spool.Recipient{
			{ForwardPath: path("plain")}, {ForwardPath: path("left out")}, {ForwardPath: path("asked"), Original: path("alias"), Report: asked},
			{ForwardPath: path("new"), Original: path("alias")}, {ForwardPath: path("new"), Original: path("\u00fc")},
		},
	}
	s := &session{delivery: &delivery{attempt: spool.Attempt{Item: item, Recipients: []int{0, 1, 2, 3, 4}}}, conn: &connection{client: &smtp.Client{}}}
	tx := s.envelope([]int{0, 2, 3, 4})
	if tx.DSN != item.DSN || tx.Body != item.BodyType || tx.UTF8 { // nobody has offered SMTPUTF8
		t.Errorf("transaction %+v", tx)
	}
	want := []mail.Report{
		{}, asked, {Original: mail.OriginalRecipient{Type: "rfc822", Address: "alias@b.test"}},
		{Original: mail.OriginalRecipient{Type: "utf-8", Address: path("\u00fc").String()}},
	}
	if !slices.Equal(tx.Reports, want) || len(tx.Recipients) != len(want) {
		t.Errorf("reports %+v, want %+v", tx.Reports, want)
	}
}
