package pop3

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// start serves b on a port of its own until the test ends.
func start(t testing.TB, s *Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if s.Hostname == "" {
		s.Hostname = "mail.example.test"
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(context.Background(), l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return l.Addr().String()
}

// connect returns a client whose greeting has come.
func connect(t testing.TB, addr string, o ClientOptions) *Client {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c := NewClient(nc, o)
	t.Cleanup(func() { c.Close() })
	if err := c.Greet(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

// awkward are messages whose stuffing or size can go wrong.
func awkward() []string {
	long := "Subject: long\r\n\r\n" + strings.Repeat("."+strings.Repeat("x", 77)+"\r\n", 50_000)
	return []string{
		"Subject: plain\r\n\r\nbody\r\n",
		".\r\n",
		"..\r\n.\r\n\r\n.\r\n",
		"\r\n\r\n",
		"Subject: bytes\r\n\r\n\x00\xff\xfe\r\n\x80.\r\n",
		"Subject: lone CR\r\n\r\na\rb\r.\r\r\n",
		"X: \r\n\r\n" + strings.Repeat("no line end for long ", 20_000) + "\r\n",
		"",
		long,
	}
}

func TestClientAndServer(t *testing.T) {
	t.Parallel()
	serverTLS, clientTLS, _ := certificate(t)
	b := newBackend(awkward()...)
	b.cleartext = false
	c := connect(t, start(t, &Server{TLS: serverTLS, NewSession: b.session}), ClientOptions{})
	ctx := t.Context()

	if err := c.Login(ctx, "you@example.test", "open sesame"); err == nil {
		t.Fatal("logged in without TLS")
	}
	if capabilities, err := c.Capa(ctx); err != nil || capabilities["STLS"] == nil || capabilities["SASL"] != nil {
		t.Fatalf("before TLS: %v, %v", capabilities, err)
	}
	if err := c.StartTLS(ctx, clientTLS); err != nil {
		t.Fatal(err)
	}
	if capabilities, err := c.Capa(ctx); err != nil || capabilities["STLS"] != nil || capabilities["SASL"] == nil {
		t.Fatalf("under TLS: %v, %v", capabilities, err)
	}
	if err := c.Login(ctx, "you@example.test", "wrong"); !errors.Is(err, ErrAuth) {
		t.Fatalf("wrong password: %v", err)
	}
	if err := c.Login(ctx, "You@Example.Test", "open sesame"); err != nil {
		t.Fatal(err)
	}
	checkContents(t, c, b)
	if err := c.Dele(ctx, 1); err != nil {
		t.Fatal(err)
	}
	if err := c.Retr(ctx, 1, io.Discard); err == nil {
		t.Error("retrieved a message that is marked")
	}
	if err := c.Quit(ctx); err != nil {
		t.Fatal(err)
	}
	if got := len(b.messages); got != len(awkward())-1 {
		t.Errorf("%d messages left", got)
	}
	for _, line := range c.Transcript().Lines() {
		if strings.Contains(line.Text, "sesame") || strings.Contains(line.Text, "AHlv") || strings.Contains(line.Text, "Subject") {
			t.Errorf("the transcript tells %q", line.Text)
		}
	}
}

// checkContents retrieves every message: it is what was stored, and as long as STAT and LIST tell.
func checkContents(t *testing.T, c *Client, b *backend) {
	t.Helper()
	ctx := t.Context()
	list, err := c.List(ctx)
	if err != nil || len(list) != len(b.messages) {
		t.Fatalf("%d messages, %v", len(list), err)
	}
	ids, err := c.Uidl(ctx)
	if err != nil || len(ids) != len(list) {
		t.Fatal(ids, err)
	}
	var sum int64
	for i, m := range list {
		var got bytes.Buffer
		if err := c.Retr(ctx, m.Number, &got); err != nil {
			t.Fatalf("message %d: %v", m.Number, err)
		}
		if got.String() != b.messages[i] {
			t.Errorf("message %d: got %d octets %.60q, want %d octets %.60q", m.Number, got.Len(), got.String(),
				len(b.messages[i]), b.messages[i])
		}
		if int64(got.Len()) != m.Size {
			t.Errorf("message %d: listed with %d octets, sent %d", m.Number, m.Size, got.Len())
		}
		sum += m.Size
		var top bytes.Buffer
		if err := c.Top(ctx, m.Number, 1, &top); err != nil || !strings.HasPrefix(got.String(), top.String()) {
			t.Errorf("message %d: TOP sends %q, %v", m.Number, top.String(), err)
		}
	}
	if n, size, err := c.Stat(ctx); err != nil || n != len(list) || size != sum {
		t.Errorf("STAT tells %d messages, %d octets, %v; want %d, %d", n, size, err, len(list), sum)
	}
}

func TestMaildropIsExclusive(t *testing.T) {
	t.Parallel()
	b := newBackend("a: 1\r\n")
	addr := start(t, &Server{NewSession: b.session})
	first, second := connect(t, addr, ClientOptions{}), connect(t, addr, ClientOptions{})
	if err := first.Login(t.Context(), "you@example.test", "open sesame"); err != nil {
		t.Fatal(err)
	}
	if err := second.Login(t.Context(), "you@example.test", "open sesame"); !errors.Is(err, ErrInUse) {
		t.Fatalf("second session: %v", err)
	}
	if err := first.Quit(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The reply to QUIT has been read: at this very moment the maildrop is free.
	if err := second.Login(t.Context(), "you@example.test", "open sesame"); err != nil {
		t.Fatal(err)
	}
}

func TestImplicitTLS(t *testing.T) {
	t.Parallel()
	serverTLS, clientTLS, _ := certificate(t)
	b := newBackend("a: 1\r\n")
	b.cleartext = false
	addr := start(t, &Server{TLS: serverTLS, ImplicitTLS: true, NewSession: b.session})
	nc, err := tls.Dial("tcp", addr, clientTLS)
	if err != nil {
		t.Fatal(err)
	}
	c := NewClient(nc, ClientOptions{})
	defer c.Close()
	if err := c.Greet(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Login(t.Context(), "you@example.test", "open sesame"); err != nil {
		t.Fatal(err)
	}
	if err := c.StartTLS(t.Context(), clientTLS); err == nil {
		t.Error("TLS within TLS")
	}
}

// TestWhatCameBeforeTLSIsDropped: commands injected in the clear are not obeyed under TLS (RFC 2595 §2.1).
func TestWhatCameBeforeTLSIsDropped(t *testing.T) {
	t.Parallel()
	serverTLS, clientTLS, _ := certificate(t)
	b := newBackend()
	nc, err := net.Dial("tcp", start(t, &Server{TLS: serverTLS, NewSession: b.session}))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	in := bufio.NewReader(nc)
	io.WriteString(nc, "STLS\r\nUSER attacker@example.test\r\n")
	for range 2 { // the greeting, and +OK
		if line, err := in.ReadString('\n'); err != nil || !strings.HasPrefix(line, "+OK") {
			t.Fatal(line, err)
		}
	}
	tc := tls.Client(nc, clientTLS)
	io.WriteString(tc, "PASS open sesame\r\n")
	if line, err := bufio.NewReader(tc).ReadString('\n'); err != nil || line != "-ERR USER first\r\n" {
		t.Fatalf("got %q, %v", line, err)
	}
}

// TestShutdown tells idle clients, lets the command under way finish, and deletes nothing that QUIT did not.
func TestShutdown(t *testing.T) {
	t.Parallel()
	b := newBackend("a: 1\r\n")
	s := &Server{NewSession: b.session}
	c := connect(t, start(t, s), ClientOptions{})
	if err := c.Login(t.Context(), "you@example.test", "open sesame"); err != nil {
		t.Fatal(err)
	}
	if err := c.Dele(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Quit(t.Context()); err == nil || !strings.Contains(err.Error(), "shutting down") {
		t.Errorf("the client was told %v", err)
	}
	if got, want := b.noted(), "release\nclose: the server was shut down"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestShutdownCutsOff: a client that does not take its message does not keep the server from ending.
func TestShutdownCutsOff(t *testing.T) {
	t.Parallel()
	b := newBackend(strings.Repeat(strings.Repeat("x", 998)+"\r\n", 20_000))
	s := &Server{NewSession: b.session}
	nc, err := net.Dial("tcp", start(t, s))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	io.WriteString(nc, "USER you@example.test\r\nPASS open sesame\r\nRETR 1\r\n")
	in := bufio.NewReader(nc)
	for range 4 { // up to the +OK of RETR; what follows is not read
		if _, err := in.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	s.sessions.Wait()
	if strings.Contains(b.noted(), "retrieved") {
		t.Error("a message that was not sent counts as retrieved")
	}
}

// TestDoneContextEndsServe: it cuts every session off.
func TestDoneContextEndsServe(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := newBackend()
	s := &Server{NewSession: b.session}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Serve(ctx, l) }()
	connect(t, l.Addr().String(), ClientOptions{})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestPanicEndsOneSessionOnly(t *testing.T) {
	t.Parallel()
	b := newBackend()
	log := &lockedBuffer{}
	addr := start(t, &Server{NewSession: b.session, Logger: slog.New(slog.NewTextHandler(log, nil))})
	bystander := connect(t, addr, ClientOptions{})
	if err := connect(t, addr, ClientOptions{}).Login(t.Context(), "panic", "x"); err == nil {
		t.Fatal("logged in")
	}
	if err := bystander.Login(t.Context(), "you@example.test", "open sesame"); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "as the test demands") || !strings.Contains(log.String(), "fake_test.go") {
		t.Errorf("the log says %q", log)
	}
	if !strings.Contains(b.noted(), "close: internal error") {
		t.Errorf("the session was not closed: %s", b.noted())
	}
}

func TestSessionsAreLimited(t *testing.T) {
	t.Parallel()
	limits := DefaultLimits()
	limits.SessionsPerAddress = 2
	b := newBackend()
	addr := start(t, &Server{NewSession: b.session, Limits: limits})
	first := connect(t, addr, ClientOptions{})
	connect(t, addr, ClientOptions{})
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	third := NewClient(nc, ClientOptions{})
	defer third.Close()
	refused, ok := errors.AsType[*RefusedError](third.Greet(t.Context()))
	if !ok || refused.Code != "SYS/TEMP" {
		t.Fatalf("the third session: %v", refused)
	}
	if err := first.Quit(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The place is free once the server has seen the end, which it has not promised to do by now.
	for {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		c := NewClient(nc, ClientOptions{})
		err = c.Greet(t.Context())
		c.Close()
		if err == nil {
			return
		}
		if _, refused := errors.AsType[*RefusedError](err); !refused {
			t.Fatal(err)
		}
	}
}

func TestNetwork(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"192.0.2.1:110":                 "192.0.2.1/32",
		"[::ffff:192.0.2.1]:110":        "192.0.2.1/32",
		"[2001:db8:1:2:3:4:5:6%x]:9000": "2001:db8:1:2::/64",
	} {
		addr, err := net.ResolveTCPAddr("tcp", in)
		if err != nil {
			t.Fatal(err)
		}
		if got := network(addr).String(); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

// TestServerTranscript: what a session's dialogue shows, and what not.
func TestServerTranscript(t *testing.T) {
	t.Parallel()
	b := newBackend("a: 1\r\n\r\nsecret words\r\n")
	var conn *Conn
	addr := start(t, &Server{NewSession: func(ctx context.Context, c *Conn) Session {
		conn = c
		return b.session(ctx, c)
	}})
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	io.WriteString(nc, "hunter2 in the wrong place\r\nAUTH PLAIN aHVudGVyMg== hunter2\r\nAUTH PLAIN\r\naHVudGVyMg==\r\n"+
		" PASS hunter2\r\n\tPASS hunter2\r\nPASS\thunter2\r\n AUTH PLAIN aHVudGVyMg==\r\nAUTH aHVudGVyMg==\r\nAUTH\taHVudGVyMg==\r\naHVudGVyMg==\r\n"+
		"pass hunter2\r\nuser you@example.test\r\nPaSs open sesame\r\nRETR 1\r\nUIDL\r\nQUIT\r\n")
	if _, err := io.ReadAll(nc); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, l := range conn.Transcript().Lines() {
		fmt.Fprintf(&got, "%s %s\n", l.Side, l.Text)
	}
	want := `S +OK mail.example.test POP3 server ready
C (unknown command)
S -ERR unknown command
C AUTH PLAIN ***
S -ERR usage: AUTH mechanism [initial-response]
C AUTH PLAIN
S + 
C ***
S -ERR that is not what the mechanism demands (PLAIN: identity NUL login NUL password)
C (unknown command)
S -ERR unknown command
C (unknown command)
S -ERR unknown command
C (unknown command)
S -ERR unknown command
C (unknown command)
S -ERR unknown command
C AUTH ***
S -ERR no such mechanism here, only PLAIN
C (unknown command)
S -ERR unknown command
C (unknown command)
S -ERR unknown command
C PASS ***
S -ERR USER first
C USER you@example.test
S +OK password, please
C PASS ***
S +OK logged in, 1 message (22 octets)
C RETR 1
S +OK 22 octets
* (message: 22 octets)
S .
C UIDL
S +OK 1 message
S 1 1700000000.1
S .
C QUIT
S +OK mail.example.test closing connection, 1 message left
`
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}

// lockedBuffer takes the log of several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
