package relay

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"waybill/internal/dns"
	"waybill/internal/dns/dnstest"
	"waybill/internal/mail"
	"waybill/internal/smtp"
	"waybill/internal/spool"
	"waybill/internal/store/bodies"
	"waybill/internal/trail"
)

// taker is the policy of a server that takes everything but for "no@…", under one id.
type taker struct {
	id  mail.ID
	mu  sync.Mutex
	got []string // "recipients: content"
}

type takerSession struct {
	*taker
	to []string
}

func (s *takerSession) Hello(context.Context, string, bool) mail.Status {
	return mail.NewStatus(250, "", "mx.b.test")
}
func (s *takerSession) AuthMechanisms() []string { return nil }

func (s *takerSession) Exchange(string) smtp.Exchange { return nil }
func (s *takerSession) Auth(context.Context, string, smtp.Credentials) mail.Status {
	return mail.NewStatus(502, "5.5.1", "no")
}
func (s *takerSession) Mail(context.Context, mail.Address, smtp.MailParams) mail.Status {
	return mail.NewStatus(250, "2.1.0", "ok")
}
func (s *takerSession) Rcpt(_ context.Context, forward mail.Address, _ smtp.RcptParams) mail.Status {
	if forward.Local == "no" {
		return mail.NewStatus(550, "5.1.1", "no such user")
	}
	s.to = append(s.to, forward.String())
	return mail.NewStatus(250, "2.1.5", "ok")
}
func (s *takerSession) Data(_ context.Context, content io.Reader) mail.Status {
	text, err := io.ReadAll(content)
	if err != nil {
		return mail.StatusOf(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, strings.Join(s.to, ",")+": "+string(text))
	return mail.NewStatus(250, "2.0.0", fmt.Sprintf("%s Message accepted for delivery", s.id))
}
func (s *takerSession) Reset()      { s.to = nil }
func (s *takerSession) Close(error) {}

// Over real sockets, with real DNS packets, TLS and a large message, to the server engine of package smtp.
func TestRealSockets(t *testing.T) {
	t.Parallel()
	peer := &taker{id: mail.NewIDs(2).New(time.Now())}
	server := &smtp.Server{
		Hostname: "mx.b.test", TLS: &tls.Config{Certificates: []tls.Certificate{selfSigned(t)}}, Logger: slog.New(slog.DiscardHandler),
		NewSession: func(context.Context, *smtp.Conn) (smtp.Session, error) { return &takerSession{taker: peer}, nil },
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.Background(), listener) }()
	names := dnstest.Start(t, "b.test. IN MX 10 mx.b.test.\nmx.b.test. IN A 192.0.2.1\n")
	resolver := dns.NewClient(dns.ClientOptions{Servers: []netip.AddrPort{names.Addr}, Timeout: 20 * time.Second}) // a busy machine's
	letter := []byte("Subject: large\r\n\r\n" + strings.Repeat(strings.Repeat("x", 76)+"\r\n.\r\n", 20000))
	r := New(Options{
		Hostname: "mail.a.test", Resolver: resolver,
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if address != "192.0.2.1:25" {
				t.Errorf("dialled %s", address)
			}
			var d net.Dialer
			return d.DialContext(ctx, network, listener.Addr().String())
		},
		Content: func(context.Context, spool.Attempt) (Content, error) {
			return contentReader{bytes.NewReader(letter)}, nil
		},
	})
	item := &spool.Item{ID: mail.NewIDs(1).New(time.Now()), Body: bodies.Body{Size: int64(len(letter))}, Recipients: []spool.Recipient{
		{ForwardPath: mail.Address{Local: "you", Domain: "b.test"}}, {ForwardPath: mail.Address{Local: "no", Domain: "b.test"}},
	}}
	outcomes, events := r.Deliver(t.Context(), spool.Attempt{Item: item, Number: 1, NextHop: "b.test", Recipients: []int{0, 1}}, nil)
	if err := server.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	<-served
	if !outcomes[0].Status.Success() || outcomes[1].Status.String() != "550 5.1.1 no such user" || outcomes[1].RemoteMTA != "mx.b.test" {
		t.Errorf("outcomes: %+v", outcomes)
	}
	if len(peer.got) != 1 || peer.got[0] != "you@b.test: "+string(letter) {
		t.Errorf("%d messages arrived, or not as they were", len(peer.got))
	}
	var last trail.Event
	for _, ev := range events {
		if ev.Kind == trail.Relayed {
			last = ev
		}
	}
	if last.Ref != peer.id || last.TLS == nil || last.Recipient != "you@b.test" || len(last.Dialogue) < 8 {
		t.Errorf("event: %+v", last)
	}
	if mx := events[0]; mx.Kind != trail.MXChosen || len(mx.DNS) == 0 || mx.DNS[0].Code != "NOERROR" || len(mx.DNS[0].Answers) == 0 {
		t.Errorf("the MX choice has no evidence: %+v", mx)
	}
}
