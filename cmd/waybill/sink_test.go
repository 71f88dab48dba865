package main

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"waybill/internal/mail"
	"waybill/internal/smtp"
)

// sink is another mail server, which takes everything and counts it by its marker. It tells a recipient whose name begins
// with "late" to come again, once, and others as long as they are closed.
type sink struct {
	address string
	mu      sync.Mutex
	taken   map[string]int       // how often each message was
	last    map[string]time.Time // when it was
	seen    map[string]bool      // the late recipients that have been here
	closed  map[string]bool      // how the names of recipients begin who take nothing
}

// newSink runs a sink until the test ends.
func newSink(t *testing.T) *sink {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{address: listener.Addr().String(), taken: map[string]int{}, last: map[string]time.Time{}, seen: map[string]bool{}, closed: map[string]bool{}}
	server := &smtp.Server{Hostname: "sink.test", Logger: slog.New(slog.DiscardHandler),
		NewSession: func(context.Context, *smtp.Conn) (smtp.Session, error) { return &sinkSession{sink: s}, nil }}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, listener) }()
	t.Cleanup(func() { cancel(); <-ended })
	return s
}

// count returns how often each message was taken so far.
func (s *sink) count() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.taken)
}

// close has recipients whose names begin so told to come again, until they are open.
func (s *sink) close(prefix string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed[prefix] = true
}

func (s *sink) open(prefix string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.closed, prefix)
}

// lastOf is when the last of the messages came whose names begin so.
func (s *sink) lastOf(prefix string) (last time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, at := range s.last {
		if strings.HasPrefix(name, prefix+"-") && at.After(last) {
			last = at
		}
	}
	return last
}

type sinkSession struct{ *sink }

func (*sinkSession) Hello(context.Context, string, bool) mail.Status {
	return mail.NewStatus(250, "", "sink.test")
}
func (*sinkSession) AuthMechanisms() []string      { return nil }
func (*sinkSession) Exchange(string) smtp.Exchange { return nil }
func (*sinkSession) Auth(context.Context, string, smtp.Credentials) mail.Status {
	return mail.NewStatus(502, "5.5.1", "no")
}
func (*sinkSession) Mail(context.Context, mail.Address, smtp.MailParams) mail.Status {
	return mail.NewStatus(250, "2.1.0", "ok")
}

func (s *sinkSession) Rcpt(_ context.Context, forward mail.Address, _ smtp.RcptParams) mail.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.HasPrefix(forward.Local, "late") && !s.seen[forward.Local] {
		s.seen[forward.Local] = true
		return mail.NewStatus(450, "4.2.1", "come again")
	}
	for prefix := range s.closed {
		if strings.HasPrefix(forward.Local, prefix+"-") {
			return mail.NewStatus(450, "4.2.1", "come again later")
		}
	}
	return mail.NewStatus(250, "2.1.5", "ok")
}

// Data counts a message when it has come as a whole.
func (s *sinkSession) Data(_ context.Context, content io.Reader) mail.Status {
	text, err := io.ReadAll(content)
	if err != nil {
		return mail.StatusOf(err)
	}
	name := marker.FindSubmatch(text)
	if name == nil {
		return mail.NewStatus(554, "5.6.0", "no marker")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken[string(name[1])]++
	s.last[string(name[1])] = time.Now()
	return mail.NewStatus(250, "2.0.0", "taken")
}

func (*sinkSession) Reset()      {}
func (*sinkSession) Close(error) {}
