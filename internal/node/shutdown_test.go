package node

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"waybill/internal/config"
)

// TestShutdownStopsListeningEverywhere: while a session of one listener is under way, no other listener takes new ones.
func TestShutdownStopsListeningEverywhere(t *testing.T) {
	c := config.Default()
	c.Hostname, c.Data = "mail.example.test", t.TempDir()
	c.Listen.SMTP = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0"), netip.MustParseAddrPort("127.0.0.1:0")}
	c.Resolver.Servers = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:9")}
	c.Domains = []config.Domain{{Name: "example.test"}}
	n, err := New(Options{Config: c, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	busy, err := net.Dial("tcp", n.Listeners()[0].Addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	for _, line := range []string{"", "HELO x.test\r\n", "MAIL FROM:<>\r\n"} { // a transaction that may go on
		busy.Write([]byte(line))
		if _, err := busy.Read(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- n.Shutdown(ctx) }()
	for deadline := time.Now().Add(patience); ; {
		other, err := net.Dial("tcp", n.Listeners()[1].Addr.String())
		if err != nil {
			break // refused: it listens no more
		}
		other.Close()
		if time.Now().After(deadline) {
			t.Fatal("the other listener still takes connections")
		}
	}
	select {
	case err := <-ended:
		t.Fatal("the transaction under way did not get its time:", err)
	default:
	}
	busy.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
