// Package dnstest gives tests a name server of their own, and a dns.Client that asks it: over real sockets (Start),
// or over pipes for tests with virtual time (InMemory).
package dnstest

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"waybill/internal/dns"
)

// Server is a running name server.
type Server struct {
	Addr   netip.AddrPort // its sockets, UDP and TCP
	Client *dns.Client    // asks it, and gives up after four seconds
}

const (
	clientTimeout = 2 * time.Second // twice
	bindAttempts  = 20
)

// Start serves zones on 127.0.0.1 until the test ends. Each is a master file, see dns.ParseZone for the lines that
// make questions fail. Its origin is that of its first $ORIGIN line, else the root; a SOA record is added where it
// has none. The server does not recurse: what one of its names leads to must be in its zones as well.
func Start(t testing.TB, zones ...string) *Server {
	t.Helper()
	pc, l := listen(t)
	serve(t, newAuthority(t, zones), pc, l)
	addr := pc.LocalAddr().(*net.UDPAddr).AddrPort()
	return &Server{addr, dns.NewClient(dns.ClientOptions{Servers: []netip.AddrPort{addr}, Timeout: clientTimeout})}
}

// InMemory serves zones as Start does, but over pipes: in a synctest bubble, time passes at once where an answer is
// late. The Client's server is 192.0.2.53:53.
func InMemory(t testing.TB, zones ...string) *dns.Client {
	t.Helper()
	pc, l := newPacketConn(), newListener()
	serve(t, newAuthority(t, zones), pc, l)
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		near, far := net.Pipe()
		if network == "udp" {
			go pc.feed(far)
			return near, nil
		}
		return near, l.accepts(ctx, far)
	}
	return dns.NewClient(dns.ClientOptions{
		Servers: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.53:53")}, Dial: dial,
	})
}

// listen opens a UDP and a TCP socket on the same port.
func listen(t testing.TB) (net.PacketConn, net.Listener) {
	t.Helper()
	var errs []error
	for range bindAttempts {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", pc.LocalAddr().String())
		if err == nil {
			return pc, l
		}
		errs = append(errs, err, pc.Close())
	}
	t.Fatal(errors.Join(errs...))
	return nil, nil
}

// serve serves on both until the test ends.
func serve(t testing.TB, a *dns.Authority, pc net.PacketConn, l net.Listener) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := a.ServeUDP(ctx, pc); err != nil {
			t.Errorf("serve UDP: %v", err)
		}
	})
	running.Go(func() {
		if err := a.ServeTCP(ctx, l); err != nil {
			t.Errorf("serve TCP: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
}

func newAuthority(t testing.TB, zones []string) *dns.Authority {
	t.Helper()
	var parsed []*dns.Zone
	for _, text := range zones {
		z, err := dns.ParseZone(complete(text))
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, z)
	}
	return dns.NewAuthority(parsed...)
}

// complete returns a zone's origin, and its text with a SOA record.
func complete(text string) (origin string, file *strings.Reader) {
	origin = "."
	hasSOA := false
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if origin == "." && len(words) > 1 && strings.EqualFold(words[0], "$ORIGIN") {
			origin = words[1]
		}
		for _, word := range words {
			hasSOA = hasSOA || strings.EqualFold(word, "SOA")
		}
	}
	if !hasSOA {
		text = "@ 3600 IN SOA ns hostmaster 1 1800 900 604800 900\n" + text
	}
	return origin, strings.NewReader(text)
}
