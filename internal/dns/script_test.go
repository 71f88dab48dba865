package dns

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// script is a hostile or broken server: it returns the packets to send back.
type script func(network string, query *dns.Msg) [][]byte

// scripted is a network of such servers, over pipes.
type scripted struct {
	servers map[string]script // by address:port

	mu    sync.Mutex
	asked []string // "udp 192.0.2.1:53 name type", in order
}

var errNoServer = errors.New("connection refused")

func (s *scripted) dial(_ context.Context, network, address string) (net.Conn, error) {
	answer, ok := s.servers[address]
	if !ok {
		s.note(network, address, nil)
		return nil, errNoServer
	}
	near, far := net.Pipe()
	go func() {
		defer far.Close()
		query, err := readAny(network, far)
		if err != nil {
			return
		}
		s.note(network, address, query)
		for _, packet := range answer(network, query) {
			if network == "tcp" {
				err = writeFrame(far, packet)
			} else {
				_, err = far.Write(packet)
			}
			if err != nil {
				return
			}
		}
		far.Read(make([]byte, 1)) // until the client closes
	}()
	return near, nil
}

func readAny(network string, conn net.Conn) (*dns.Msg, error) {
	data := make([]byte, 4096)
	n, err := 0, error(nil)
	if network == "tcp" {
		data, err = readFrame(conn)
		n = len(data)
	} else {
		n, err = conn.Read(data)
	}
	if err != nil {
		return nil, err
	}
	return unpack(data[:n])
}

func (s *scripted) note(network, address string, query *dns.Msg) {
	s.mu.Lock()
	defer s.mu.Unlock()
	line := network + " " + address
	if query != nil {
		line += " " + shortName(query.Question[0].Name) + " " + typeName(query.Question[0].Qtype)
	}
	s.asked = append(s.asked, line)
}

// take returns what was asked since the last call.
func (s *scripted) take() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := strings.Join(s.asked, ", ")
	s.asked = nil
	return asked
}

const (
	first  = "192.0.2.1:53"
	second = "192.0.2.2:53"
)

// client returns a Client of the given servers.
func (s *scripted) client(servers ...string) *Client {
	o := ClientOptions{Dial: s.dial}
	for _, server := range servers {
		o.Servers = append(o.Servers, netip.MustParseAddrPort(server))
	}
	return NewClient(o)
}

// rr parses records, one a line.
func rr(t testing.TB, text string) []dns.RR {
	t.Helper()
	var rrs []dns.RR
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		r, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		rrs = append(rrs, r)
	}
	return rrs
}

// says returns a script that answers with these sections; change may be nil.
func says(t testing.TB, answer, authority, extra string, change func(*dns.Msg)) script {
	return func(_ string, query *dns.Msg) [][]byte {
		m := new(dns.Msg).SetReply(query)
		m.RecursionAvailable = true
		m.Answer, m.Ns, m.Extra = rr(t, answer), rr(t, authority), rr(t, extra)
		if change != nil {
			change(m)
		}
		return [][]byte{pack(t, m)}
	}
}

// fails returns a script that answers with an RCODE.
func fails(t testing.TB, rcode int) script {
	return says(t, "", "", "", func(m *dns.Msg) { m.Rcode = rcode })
}

// silence never answers.
func silence(string, *dns.Msg) [][]byte { return nil }

func pack(t testing.TB, m *dns.Msg) []byte {
	t.Helper()
	packet, err := m.Pack()
	if err != nil {
		t.Error(err)
	}
	return packet
}

// in runs a lookup and returns it as "CODE record | record".
func in(t *testing.T, c *Client, name, typ string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	a, err := c.Lookup(ctx, name, typ)
	if (err == nil) != (a.Code == CodeNoError) || errors.Is(err, ErrNotFound) != definite(a.Code) {
		t.Errorf("%s %s: code %s, error %v", name, typ, a.Code, err)
	}
	return strings.TrimSpace(a.Code + " " + strings.Join(a.Text(), " | ")), err
}
