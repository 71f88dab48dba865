package node

import (
	"encoding/base64"
	"log/slog"
	"net"
	"net/netip"
	"net/textproto"
	"testing"
	"time"

	"waybill/internal/config"
	"waybill/internal/mail"
)

// TestNormaliseLineEnds: what [submission] normalise_line_ends lets clients send stays refused on the smtp listeners.
func TestNormaliseLineEnds(t *testing.T) {
	t.Parallel()
	any := netip.MustParseAddrPort("127.0.0.1:0")
	c := config.Default()
	c.Hostname, c.Data = "mail.example.test", t.TempDir()
	c.Listen.SMTP, c.Listen.Submission = []netip.AddrPort{any}, []netip.AddrPort{any}
	c.Resolver.Servers = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:9")}
	c.Auth.CleartextFrom = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	c.Submission.NormaliseLineEnds = true
	c.Limits.CommitTime = 0 // the disk of a busy machine may take longer
	c.Domains = []config.Domain{{Name: "example.test"}}
	n, err := New(Options{Config: c, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.AddAccount(t.Context(), mail.Address{Local: "alice", Domain: "example.test"}, "secret"); err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Shutdown(t.Context()) })
	login := "AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00alice@example.test\x00secret"))
	for _, l := range n.Listeners() {
		want, lines := 554, []string{"EHLO x.test", "MAIL FROM:<alice@example.test>", "RCPT TO:<alice@example.test>", "DATA"}
		if l.Protocol == "submission" {
			want, lines = 250, append([]string{lines[0], login}, lines[1:]...)
		}
		nc, err := net.Dial("tcp", l.Addr.String())
		if err != nil {
			t.Fatal(err)
		}
		nc.SetDeadline(time.Now().Add(patience))
		text := textproto.NewConn(nc)
		for i := range lines {
			if _, _, err := text.ReadResponse(2); err != nil {
				t.Fatal(err)
			}
			text.PrintfLine("%s", lines[i])
		}
		if _, _, err := text.ReadResponse(354); err != nil {
			t.Fatal(err)
		}
		text.PrintfLine("From: alice@example.test\r\n\r\na bare\nLF\r\n.")
		if code, reply, _ := text.ReadResponse(0); code != want {
			t.Errorf("%s: %d %s, want %d", l.Protocol, code, reply, want)
		}
		text.Close()
	}
}
