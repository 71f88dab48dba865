package dns

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

var update = flag.Bool("update", false, "rewrite the expected answers in testdata")

// section is a part of a file that begins with "-- kind words --".
type section struct {
	title []string
	body  string
}

func readSections(t *testing.T, file string) (preamble string, sections []section) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		title, ok := strings.CutPrefix(strings.TrimSpace(line), "-- ")
		title, end := strings.CutSuffix(title, " --")
		switch {
		case ok && end:
			sections = append(sections, section{title: strings.Fields(title)})
		case len(sections) == 0:
			preamble += line
		default:
			sections[len(sections)-1].body += line
		}
	}
	return preamble, sections
}

func mustZone(t testing.TB, origin, text string) *Zone {
	t.Helper()
	z, err := ParseZone(origin, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// show renders a reply as in testdata.
func show(m *dns.Msg) string {
	if m == nil {
		return "no answer\n"
	}
	var b strings.Builder
	b.WriteString(codeOf(m.Rcode))
	for _, f := range []struct {
		name string
		set  bool
	}{{" aa", m.Authoritative}, {" tc", m.Truncated}} {
		if f.set {
			b.WriteString(f.name)
		}
	}
	b.WriteString("\n")
	for _, s := range []struct {
		name string
		rrs  []dns.RR
	}{{"answer", m.Answer}, {"authority", m.Ns}, {"additional", m.Extra}} {
		for _, r := range records(s.rrs) {
			fmt.Fprintf(&b, "%-10s %s\n", s.name, r)
		}
	}
	return b.String()
}

func TestAuthorityAnswers(t *testing.T) {
	const file = "testdata/authority.txt"
	preamble, sections := readSections(t, file)
	var zones []*Zone
	for _, s := range sections {
		if s.title[0] == "zone" {
			zones = append(zones, mustZone(t, s.title[1], s.body))
		}
	}
	a := NewAuthority(zones...)
	rewritten := preamble
	for _, s := range sections {
		rewritten += "-- " + strings.Join(s.title, " ") + " --\n"
		if s.title[0] != "ask" {
			rewritten += s.body
			continue
		}
		query := new(dns.Msg).SetQuestion(s.title[1], dns.StringToType[s.title[2]])
		packet, err := query.Pack()
		if err != nil {
			t.Fatal(err)
		}
		var reply *dns.Msg
		if answer := handle(t.Context(), packet, "", a, false); answer != nil {
			if reply, err = unpack(answer); err != nil || reply.Question[0] != query.Question[0] {
				t.Errorf("%v: %v", s.title, err)
				continue
			}
		}
		got := show(reply)
		rewritten += got
		if got != s.body && !*update {
			t.Errorf("%v:\n%swant\n%s", s.title, got, s.body)
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(rewritten), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// running is a server on sockets of 127.0.0.1.
type running struct {
	addr string
	stop func() // and wait
}

type server interface {
	ServeUDP(ctx context.Context, pc net.PacketConn) error
	ServeTCP(ctx context.Context, l net.Listener) error
}

// run serves on a UDP and a TCP socket with the same port of host (127.0.0.1 where the machine does not have it).
func run(t testing.TB, host string, s server) running {
	t.Helper()
	for range 50 {
		pc, err := net.ListenPacket("udp", host+":0")
		if err != nil {
			host = "127.0.0.1"
			continue
		}
		l, err := net.Listen("tcp", pc.LocalAddr().String())
		if err != nil {
			pc.Close()
			continue
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 2)
		go func() { ended <- s.ServeUDP(ctx, pc) }()
		go func() { ended <- s.ServeTCP(ctx, l) }()
		stopped := false
		stop := func() {
			if stopped {
				return
			}
			stopped = true
			cancel()
			for range 2 {
				if err := <-ended; err != nil {
					t.Error(err)
				}
			}
		}
		t.Cleanup(stop)
		return running{pc.LocalAddr().String(), stop}
	}
	t.Fatal("no free port")
	return running{}
}

// roundTrip sends a packet over UDP and returns the reply.
func roundTrip(t *testing.T, addr string, packet []byte) []byte {
	t.Helper()
	conn, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Write(packet); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 64*1024)
	n, err := conn.Read(buffer)
	if err != nil {
		t.Fatal(err)
	}
	return buffer[:n]
}

// RFC 1035 §4.2.1, RFC 6891 §6.2.3: what does not fit is cut, and says so.
func TestAuthorityTruncates(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString("@ SOA ns hostmaster 1 1800 900 604800 300\n")
	for i := range 200 {
		fmt.Fprintf(&text, "many TXT \"this is number %d of the records\"\n", i)
	}
	s := run(t, "127.0.0.1", NewAuthority(mustZone(t, "test.", text.String())))
	for _, c := range []struct{ edns, most int }{{0, 512}, {100, 512}, {512, 512}, {1000, 1000}, {65535, ednsSize}} {
		query := new(dns.Msg).SetQuestion("many.test.", dns.TypeTXT)
		if c.edns > 0 {
			query.SetEdns0(uint16(c.edns), false)
		}
		packet, _ := query.Pack()
		answer := roundTrip(t, s.addr, packet)
		m, err := unpack(answer)
		if err != nil || len(answer) > c.most || !m.Truncated || (m.IsEdns0() != nil) != (c.edns > 0) {
			t.Errorf("EDNS size %d: %d octets, %v, %v", c.edns, len(answer), err, m)
		}
	}
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	packet, _ := new(dns.Msg).SetQuestion("many.test.", dns.TypeTXT).Pack()
	for range 2 { // a connection takes more than one question (RFC 7766 §6.2.1)
		if err := writeFrame(conn, packet); err != nil {
			t.Fatal(err)
		}
		data, err := readFrame(conn)
		if err != nil {
			t.Fatal(err)
		}
		if m, err := unpack(data); err != nil || m.Truncated || len(m.Answer) != 200 {
			t.Errorf("over TCP: %v, %d records", err, len(m.Answer))
		}
	}
}

// Queries that are none get the RCODE that says so; answers and scraps get nothing.
func TestServerRefusesBadQueries(t *testing.T) {
	t.Parallel()
	a := NewAuthority(mustZone(t, "test.", "@ SOA ns hostmaster 1 1800 900 604800 300\n@ A 192.0.2.1\n"))
	query := func(change func(*dns.Msg)) []byte {
		m := new(dns.Msg).SetQuestion("test.", dns.TypeA)
		m.Id = 0x1234
		change(m)
		packet, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return packet
	}
	plain := query(func(*dns.Msg) {})
	for name, c := range map[string]struct {
		packet []byte
		want   int // RCODE, -1 for silence
	}{
		"good":           {plain, dns.RcodeSuccess},
		"an answer":      {query(func(m *dns.Msg) { m.Response = true }), -1},
		"empty":          {nil, -1},
		"half a header":  {plain[:6], -1},
		"half a name":    {plain[:15], dns.RcodeFormatError},
		"no question":    {query(func(m *dns.Msg) { m.Question = nil }), dns.RcodeFormatError},
		"two questions":  {query(func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }), dns.RcodeFormatError},
		"update":         {query(func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate }), dns.RcodeNotImplemented},
		"chaos class":    {query(func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }), dns.RcodeRefused},
		"zone transfer":  {query(func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeAXFR }), dns.RcodeRefused},
		"EDNS version 1": {query(func(m *dns.Msg) { m.SetEdns0(1232, false); m.IsEdns0().SetVersion(1) }), dns.RcodeBadVers},
		"lies": {func() []byte {
			p := query(func(*dns.Msg) {})
			binary.BigEndian.PutUint16(p[6:], 500)
			return p
		}(), dns.RcodeFormatError},
	} {
		answer := handle(t.Context(), c.packet, "", a, true)
		if answer == nil {
			if c.want != -1 {
				t.Errorf("%s: silence", name)
			}
			continue
		}
		m, err := unpack(answer)
		if err != nil || m.Rcode != c.want || m.Id != 0x1234 || !m.Response {
			t.Errorf("%s: %v, %v, want RCODE %d", name, err, m, c.want)
		}
	}
}

func TestServerStops(t *testing.T) {
	t.Parallel()
	s := run(t, "127.0.0.1", NewAuthority())
	idle, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	packet, _ := new(dns.Msg).SetQuestion("test.", dns.TypeA).Pack()
	if err := writeFrame(idle, packet); err != nil {
		t.Fatal(err)
	}
	if _, err := readFrame(idle); err != nil {
		t.Fatal(err)
	}
	s.stop() // returns only when everything has ended
	if _, err := readFrame(idle); err == nil {
		t.Error("the idle connection is still open")
	}
	if pc, err := net.ListenPacket("udp", s.addr); err != nil {
		t.Errorf("the socket is still open: %v", err)
	} else {
		pc.Close()
	}
}

// The end of a server ends its connections at once, busy or idle.
func TestConnectionsEndWithTheServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer near.Close()
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		done := make(chan struct{})
		go func() {
			defer close(done)
			serveConn(ctx, far, NewAuthority())
		}()
		synctest.Wait()
		cancel()
		<-done
		if took := time.Since(began); took != 0 {
			t.Errorf("it took %v", took)
		}
	})
}
