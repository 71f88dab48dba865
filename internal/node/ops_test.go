package node

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"waybill/internal/config"
	"waybill/internal/mail"
	"waybill/internal/trail"
)

// startNode runs a node for example.test on free ports, with the account alice.
func startNode(t *testing.T, change func(*config.Config)) *Node {
	t.Helper()
	return startLogged(t, slog.New(slog.DiscardHandler), change)
}

func startLogged(t *testing.T, logger *slog.Logger, change func(*config.Config)) *Node {
	t.Helper()
	n := startWith(t, logger, change)
	if err := n.AddAccount(t.Context(), alice, "correct horse battery"); err != nil {
		t.Fatal(err)
	}
	return n
}

// startWith runs a node without accounts.
func startWith(t *testing.T, logger *slog.Logger, change func(*config.Config)) *Node {
	t.Helper()
	c := config.Default()
	c.Hostname, c.Data = "mail.example.test", t.TempDir()
	c.Listen = config.Listen{
		SMTP: somewhere(), Submission: somewhere(), Submissions: somewhere(), POP3: somewhere(), POP3S: somewhere(), HTTP: somewhere(),
	}
	c.Resolver.Servers = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:9")}
	c.Limits.CommitTime = 0 // the disk of a busy machine may take longer
	c.Domains = []config.Domain{{Name: "example.test"}}
	if change != nil {
		change(&c)
	}
	n, err := New(Options{Config: c, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := n.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	return n
}

func addressOf(n *Node, protocol string) string {
	i := slices.IndexFunc(n.Listeners(), func(b Bound) bool { return b.Protocol == protocol })
	return n.Listeners()[i].Addr.String()
}

// peer is a client that says lines and reads replies of one line.
type peer struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func connect(t *testing.T, address string, first []byte) *peer {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(2 * patience))
	conn.Write(first)
	return &peer{t, conn, bufio.NewReader(conn)}
}

// expect reads a reply, of several lines perhaps, whose last one begins so.
func (p *peer) expect(want string) string {
	p.t.Helper()
	for {
		line, err := p.r.ReadString('\n')
		if err != nil || len(line) < 4 || line[3] != '-' {
			if err != nil || !strings.HasPrefix(line, want) {
				p.t.Errorf("%q, %v, want %s", line, err, want)
			}
			return line
		}
	}
}

func (p *peer) say(line, want string) string {
	p.t.Helper()
	io.WriteString(p, line+"\r\n")
	return p.expect(want)
}

// proxyHeader is one of version 2 for a client at 192.0.2.9:4711.
func proxyHeader(command byte) []byte {
	b := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), 0x20|command, 0x11)
	b = binary.BigEndian.AppendUint16(b, 12)
	return append(b, 192, 0, 2, 9, 127, 0, 0, 1, 0x12, 0x67, 0, 25)
}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

func behindLoopback(c *config.Config) { c.Proxy.From, c.Relay.Trusted = loopback, loopback }

// TestProxiedClientIsThePeer: what the proxy may do its clients may not, and their address is the one that counts.
func TestProxiedClientIsThePeer(t *testing.T) {
	t.Parallel()
	n := startNode(t, behindLoopback)
	p := connect(t, addressOf(n, "smtp"), proxyHeader(1))
	p.expect("220 ")
	if got := p.say("HELO client.test", "250 "); !strings.Contains(got, "[192.0.2.9]") {
		t.Errorf("HELO: %s", got)
	}
	p.say("MAIL FROM:<a@x.test>", "250 ")
	p.say("RCPT TO:<b@elsewhere.test>", "550 5.7.1")
	p.say("RCPT TO:<alice@example.test>", "250 ")
	p.say("DATA", "354 ")
	id := strings.Fields(p.say("Subject: x\r\n\r\ny\r\n.", "250 2.0.0 "))[2]
	p.say("QUIT", "221 ")
	events, err := n.Events(t.Context(), mail.ID(id))
	if err != nil || !slices.ContainsFunc(events, func(e trail.Event) bool {
		return e.Kind == trail.Accepted && strings.Contains(e.Header[0], "[192.0.2.9]")
	}) {
		t.Errorf("Received: %v %+v", err, events)
	}

	health := connect(t, addressOf(n, "smtp"), proxyHeader(0)) // LOCAL: the proxy itself, which is trusted here
	health.expect("220 ")
	health.say("HELO proxy.test", "250 ")
	health.say("MAIL FROM:<a@x.test>", "250 ")
	health.say("RCPT TO:<b@elsewhere.test>", "250 ")
	health.say("QUIT", "221 ")

	for _, protocol := range []string{"submissions", "pop3s"} {
		p := connect(t, addressOf(n, protocol), proxyHeader(1))
		p.Conn = tls.Client(p.Conn, &tls.Config{InsecureSkipVerify: true})
		p.r = bufio.NewReader(p.Conn)
		if line, err := p.r.ReadString('\n'); err != nil {
			t.Errorf("%s: %q %v", protocol, line, err)
		}
		p.Close()
	}
}

// TestProxyMustSendItsHeader: without one, or with one of version 1, there is no session, and the trail says why. From
// elsewhere a header is no command.
func TestProxyMustSendItsHeader(t *testing.T) {
	t.Parallel()
	n := startNode(t, behindLoopback)
	for _, first := range []string{"PROXY TCP4 192.0.2.9 127.0.0.1 4711 25\r\nEHLO x\r\n", "EHLO client.example.test\r\n"} {
		p := connect(t, addressOf(n, "smtp"), []byte(first))
		if got, _ := io.ReadAll(p); len(got) > 0 { // at most a reset: what it sent was not read
			t.Errorf("after %q: %q", first, got)
		}
	}
	reasons := awaitRefusals(t, n, 2)
	if len(reasons) != 2 || !strings.Contains(reasons[0], "[proxy] from: 127.0.0.0/8: PROXY protocol version 1 is not taken") {
		t.Errorf("told: %q", reasons)
	}

	other := startNode(t, nil)
	p := connect(t, addressOf(other, "smtp"), proxyHeader(1))
	p.expect("220 ")
	p.expect("500 ")
}

// TestSessionLimit: whoever is too many is told so, and those inside go on.
func TestSessionLimit(t *testing.T) {
	t.Parallel()
	n := startNode(t, func(c *config.Config) { c.Limits.Sessions = 1 })
	first := connect(t, addressOf(n, "smtp"), nil)
	first.expect("220 ")
	connect(t, addressOf(n, "smtp"), nil).expect("421 ")
	first.say("NOOP", "250 ")
	inside := connect(t, addressOf(n, "pop3"), nil)
	if line, _ := inside.r.ReadString('\n'); !strings.HasPrefix(line, "+OK") {
		t.Errorf("POP3: %q", line)
	}
	io.ReadAll(connect(t, addressOf(n, "pop3"), nil))
	io.ReadAll(connect(t, addressOf(n, "submissions"), nil)) // all SMTP listeners count together
	awaitRules(t, n, "MTA: [limits] sessions and sessions_per_address", "POP3 server: [limits] sessions and sessions_per_address",
		"MSA: [limits] sessions and sessions_per_address")
}

// TestFailedHandshakeIsTold: whoever speaks plain text where TLS belongs is found on the trail.
func TestFailedHandshakeIsTold(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	io.ReadAll(connect(t, addressOf(n, "submissions"), []byte("EHLO client.example.test\r\n")))
	awaitRules(t, n, "MSA: TLS from the first byte")
}

// awaitRules waits until the trail has a refusal of this machine by each of the rules.
func awaitRules(t *testing.T, n *Node, rules ...string) {
	t.Helper()
	told := awaitRefusals(t, n, len(rules))
	for _, rule := range rules {
		if !slices.ContainsFunc(told, func(s string) bool { return strings.HasPrefix(s, rule+": ") }) {
			t.Errorf("the trail has no %s but %q", rule, told)
		}
	}
}

// awaitRefusals returns the rules and reasons of what the trail says was refused to this machine, when there are that many.
func awaitRefusals(t *testing.T, n *Node, many int) (told []string) {
	t.Helper()
	q := trail.Query{Network: netip.MustParsePrefix("127.0.0.1/32"), Since: time.Now().Add(-time.Minute), Until: time.Now().Add(time.Minute)}
	for deadline := time.Now().Add(patience); len(told) < many && time.Now().Before(deadline); {
		found, err := n.Visits(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		told = nil
		for _, e := range found.Events {
			if e.Kind == trail.Refused {
				told = append(told, e.Role+": "+e.Decision.Rule+": "+e.Decision.Reason)
			}
		}
	}
	return told
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// TestMetricsAndHealth: what happens is counted, and a node that ends says so as long as it has sessions.
func TestMetricsAndHealth(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	web := "http://" + addressOf(n, "http")
	p := connect(t, addressOf(n, "smtp"), nil)
	p.expect("220 ")
	p.say("HELO client.test", "250 ")
	p.say("MAIL FROM:<a@x.test>", "250 ")
	p.say("RCPT TO:<alice@example.test>", "250 ")
	p.say("DATA", "354 ")
	p.say("Subject: x\r\n\r\ny\r\n.", "250 ")
	want := []string{
		`waybill_messages_accepted_total{role="MTA"} 1`, `waybill_sessions_open{listener="smtp"} 1`, `waybill_sessions_open{listener="pop3s"} 0`,
		`waybill_recipients_total{result="filed"} 1`, "waybill_queue_messages 0", "waybill_healthy 1", "waybill_accept_commit_seconds_count 1", "go_goroutines",
	}
	missing := func(body string) bool {
		return slices.ContainsFunc(want, func(line string) bool { return !strings.Contains(body, line) })
	}
	_, body := get(t, web+"/metrics")
	for deadline := time.Now().Add(patience); missing(body) && time.Now().Before(deadline); {
		_, body = get(t, web+"/metrics")
	}
	for _, line := range want {
		if !strings.Contains(body, line) {
			t.Errorf("no %s in\n%s", line, body)
		}
	}
	if strings.Contains(body, "example.test") || strings.Contains(body, "127.0.0.1") {
		t.Errorf("the metrics name somebody:\n%s", body)
	}
	if status, body := get(t, web+"/healthz"); status != http.StatusOK || body != "ok\n" {
		t.Errorf("health: %d %s", status, body)
	}
	if status, _ := get(t, web+"/nothing"); status != http.StatusNotFound {
		t.Errorf("nothing: %d", status)
	}

	p.say("MAIL FROM:<a@x.test>", "250 ") // a transaction that may go on
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.Shutdown(ctx) }()
	for deadline := time.Now().Add(patience); ; {
		status, body := get(t, web+"/healthz")
		if status == http.StatusServiceUnavailable && body == "shutting down\n" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("health while shutting down: %d %s", status, body)
		}
	}
	p.say("RSET", "250 ")
	p.expect("421 ")
	cancel()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(fmt.Errorf("shutdown: %w", err))
	}
}
