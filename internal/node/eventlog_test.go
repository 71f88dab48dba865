package node

import (
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"waybill/internal/mail"
	"waybill/internal/trail"
)

func status(code int, enhanced, text string) *mail.Status {
	s := mail.NewStatus(code, enhanced, text)
	return &s
}

// received is what most lines are about.
var received = trail.Event{
	Kind: trail.Received, Message: "1V8K3M20012QXR", Session: "ABCDEFGHIJKL", Role: "MTA",
	Peer:   &trail.Peer{Addr: "192.0.2.9:4711", Hello: "x.test"},
	Facts:  []trail.Fact{{Name: "reverse-path", Value: "<a@x.test>"}, {Name: "size", Value: "100 octets"}},
	Header: []string{"Subject: never in the log"}, Status: &mail.Status{Code: 250, Text: "Ok"},
}

func TestEventLog(t *testing.T) {
	t.Parallel()
	next := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		e    trail.Event
		want string
	}{
		{received, `level=INFO msg=accepted message=1V8K3M20012QXR session=ABCDEFGHIJKL peer=192.0.2.9:4711 from=<a@x.test> size="100 octets" status="250 Ok"`},
		{trail.Event{Kind: trail.Refused, Session: "S", Peer: &trail.Peer{Addr: "192.0.2.9:1"}, Recipient: "b@y.test", Status: status(550, "5.7.1", "No"),
			Decision: &trail.Decision{Question: "?", Outcome: "refused", Rule: "the rule", Reason: "be\nlevel=ERROR"}},
			`level=INFO msg=refused session=S peer=192.0.2.9:1 to=b@y.test status="550 5.7.1 No" outcome=refused rule="the rule" reason="be\nlevel=ERROR"`},
		{trail.Event{Kind: trail.Deferred, Message: "M", Recipient: "b@y.test", Attempt: 2, NextAt: next},
			`level=INFO msg=deferred message=M to=b@y.test attempt=2 next=2026-11-23T12:00:00.000Z`},
		{trail.Event{Kind: trail.Done, Message: "M"}, ""}, // at the level debug
		{trail.Event{Kind: trail.Durable, Message: "M"}, ""},
	} {
		var log logBuffer
		logEvent(log.logger(), &c.e)
		_, got, _ := strings.Cut(strings.TrimSpace(log.String()), " ")
		if got != c.want {
			t.Errorf("%s:\n%s, want\n%s", c.e.Kind, got, c.want)
		}
	}
}

// BenchmarkEventLog: a message has about three lines.
func BenchmarkEventLog(b *testing.B) {
	for name, level := range map[string]slog.Level{"on": slog.LevelInfo, "off": slog.LevelWarn} {
		b.Run(name, func(b *testing.B) {
			logger := slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: level}))
			b.ReportAllocs()
			for b.Loop() {
				logEvent(logger, &received)
			}
		})
	}
}
