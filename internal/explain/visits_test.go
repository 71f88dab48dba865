package explain

import (
	"os"
	"strings"
	"testing"
	"time"

	"waybill/internal/mail"
	"waybill/internal/trail"
)

func visitsOfAPeer() []trail.Event {
	at := func(minute int) time.Time { return time.Date(2026, 11, 23, 12, minute, 0, 0, time.UTC) }
	denied := mail.NewStatus(550, "5.7.1", "b@elsewhere.test... Relaying denied")
	taken := mail.NewStatus(250, "2.0.0", "1V8K3M20012QXR Message accepted for delivery")
	peer := func(port string) *trail.Peer { return &trail.Peer{Addr: "192.0.2.9:" + port, Name: "client.test"} }
	return []trail.Event{
		{Kind: trail.Omitted, At: at(0), Peer: &trail.Peer{Addr: "192.0.2.9/32"}, Text: "12 further events of sessions from 192.0.2.9/32 are not kept"},
		{Kind: trail.Refused, At: at(1), Role: "MTA", Session: "SESSION1", Peer: peer("1"), Recipient: "b@elsewhere.test", Status: &denied,
			Decision: &trail.Decision{Outcome: "refused", Rule: "no trusted network, no login", Reason: "elsewhere.test is not ours"}},
		{Kind: trail.Ended, At: at(1), Role: "MTA", Session: "SESSION1", Peer: peer("1")},
		{Kind: trail.Decided, At: at(2), Message: "1V8K3M20012QXR", Recipient: "a@y.test", Decision: &trail.Decision{Outcome: "local", Rule: "account a@y.test"}},
		{Kind: trail.Received, At: at(2), Message: "1V8K3M20012QXR", Session: "SESSION2", Peer: peer("2"), Status: &taken,
			Facts: []trail.Fact{{Name: "reverse-path", Value: "<x@client.test>"}}},
		{Kind: trail.Ended, At: at(3), Role: "MTA", Session: "SESSION3", Peer: peer("3"), Text: "the session ended early: \x1b[31mred"},
		{Kind: trail.MaildropOpened, At: at(4), Session: "session4", Peer: &trail.Peer{Addr: "192.0.2.9:4", Account: "a@y.test"}},
		{Kind: trail.MaildropClosed, At: at(4), Session: "session4", Peer: &trail.Peer{Addr: "192.0.2.9:4", Account: "a@y.test"}},
		{Kind: trail.MaildropClosed, At: at(5), Session: "session5", Peer: &trail.Peer{Addr: "192.0.2.9:5"}, Text: "nobody logged in"},
	}
}

func TestRenderVisits(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if err := RenderVisits(&b, Visits(visitsOfAPeer()), Options{}); err != nil {
		t.Fatal(err)
	}
	const file = "testdata/visits.txt"
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}
