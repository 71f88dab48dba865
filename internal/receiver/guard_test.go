package receiver

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"waybill/internal/trail"
)

// TestGuardRule: what a gateway looks like, and what looks like one and is none.
func TestGuardRule(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		hello, domain string // # is the session's number
		every         time.Duration
		withdrawn     bool
	}{
		"a container's gateway":          {"host#.test", "domain#.test", time.Minute, true},
		"a spam filter in front of us":   {"filter.example.test", "domain#.test", time.Minute, false},
		"an application's many machines": {"pod-#", "app.test", time.Minute, false},
		"strangers over many years":      {"host#.test", "domain#.test", 24 * time.Hour, false},
	} {
		g := newGateways()
		addr, now, found := netip.MustParseAddr("172.17.0.1"), time.Now(), 0
		for i := range 200 {
			number := strings.NewReplacer("#", strconv.Itoa(i))
			if rule := g.observe(now, addr, number.Replace(test.hello), number.Replace(test.domain)); rule != "" {
				found++
				if i+1 != gatewaySessions || rule != g.distrust(addr) {
					t.Errorf("%s: after %d sessions: %s", name, i+1, rule)
				}
			}
			now = now.Add(test.every)
		}
		if test.withdrawn != (found == 1) || test.withdrawn != (g.distrust(addr) != "") {
			t.Errorf("%s: found %d times, distrust %q", name, found, g.distrust(addr))
		}
		if g.distrust(addr.Next()) != "" {
			t.Errorf("%s: the neighbour is distrusted too", name)
		}
	}
}

func TestGuardIsBounded(t *testing.T) {
	t.Parallel()
	g := newGateways()
	addr := netip.MustParseAddr("10.0.0.1")
	for range 2 * maxWatched {
		g.observe(time.Now(), addr, "x", "y")
		addr = addr.Next()
	}
	if len(g.watched) != maxWatched {
		t.Errorf("%d addresses are watched", len(g.watched))
	}
}

func TestHidesOthers(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]bool{
		"10.1.2.3": true, "172.17.0.1": true, "192.168.0.1": true, "127.0.0.1": true, "::1": true, "fe80::1": true, "fd00::1": true,
		"100.64.0.1": true, "169.254.1.1": true, "100.128.0.1": false, "192.0.2.1": false, "172.32.0.1": false, "2001:db8::1": false,
	} {
		if hidesOthers(netip.MustParseAddr(addr)) != want {
			t.Errorf("%s: %v", addr, !want)
		}
	}
}

// TestGatewayLosesTrust: strangers who come in through a trusted address close the relay for it, and it is told. One who
// sends our own mail through it all day does not.
func TestGatewayLosesTrust(t *testing.T) {
	b := newBench(t, "L: MTA trusted")
	const own = "alice@example.test"
	for i := range 2 * gatewaySessions {
		if reply := b.visit("app.example.test", "shop@customer.test", "x@elsewhere.test"); !strings.HasPrefix(reply, "250 ") {
			t.Fatalf("relaying is refused: %s", reply)
		}
		b.visit(fmt.Sprintf("pc%d.example.test", i), own, own)
	}
	for i := range gatewaySessions {
		if reply := b.visit("app.example.test", "shop@customer.test", "x@elsewhere.test"); !strings.HasPrefix(reply, "250 ") {
			t.Fatalf("relaying is refused after %d strangers: %s", i, reply)
		}
		b.visit(fmt.Sprintf("mx%d.elsewhere.test", i), fmt.Sprintf("x@domain%d.test", i), own)
	}
	if reply := b.visit("app.example.test", own, "x@elsewhere.test"); reply != "550 5.7.1 x@elsewhere.test... Relaying denied" {
		t.Errorf("the gateway may still relay: %s", reply)
	}
	b.conn.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.events {
		if e.Kind == trail.Decided && e.Decision.Question == "is 127.0.0.1 one client?" &&
			strings.HasPrefix(e.Decision.Rule, "[relay] trusted withdrawn: 20 sessions from 127.0.0.1 ") {
			return
		}
	}
	t.Error("nothing is told")
}

// visit is a session of its own, and returns the reply to RCPT.
func (b *bench) visit(hello, from, to string) (reply string) {
	conn, err := net.Dial("tcp", b.conn.RemoteAddr().String())
	if err != nil {
		b.t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	in := bufio.NewReader(conn)
	for _, command := range []string{"", "HELO " + hello, "MAIL FROM:<" + from + ">", "RCPT TO:<" + to + ">"} {
		if command != "" {
			fmt.Fprintf(conn, "%s\r\n", command)
		}
		if reply, err = in.ReadString('\n'); err != nil {
			b.t.Fatal(err)
		}
	}
	return strings.TrimRight(reply, "\r\n")
}
