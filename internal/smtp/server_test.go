package smtp

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"waybill/internal/dialogue"
	"waybill/internal/mail"
)

// start serves on a listener in memory until the test ends.
func start(t *testing.T, s *Server) *memListener {
	t.Helper()
	if s.Logger == nil {
		s.Logger = slog.New(slog.DiscardHandler)
	}
	l := newMemListener()
	served := make(chan error, 1)
	go func() { served <- s.Serve(t.Context(), l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		s.Shutdown(ctx) // whoever is still there is cut off
		if err := <-served; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("Serve: %v", err)
		}
	})
	return l
}

// peer is a client by hand.
type peer struct {
	t    *testing.T
	conn *memConn
	in   *bufio.Reader
}

func dial(t *testing.T, l *memListener) *peer {
	conn := l.dial()
	t.Cleanup(func() { conn.Close() })
	return &peer{t: t, conn: conn, in: bufio.NewReader(conn)}
}

func (p *peer) say(lines ...string) {
	io.WriteString(p.conn, strings.Join(lines, "\r\n")+"\r\n")
}

// hear reads as many lines as there are prefixes and compares.
func (p *peer) hear(prefixes ...string) {
	p.t.Helper()
	for _, want := range prefixes {
		got, err := p.in.ReadString('\n')
		if err != nil || !strings.HasPrefix(got, want) {
			p.t.Fatalf("got %q, %v, want %q…", got, err, want)
		}
	}
}

func (p *peer) hearEnd() {
	p.t.Helper()
	if rest, err := io.ReadAll(p.in); err != nil || len(rest) > 0 {
		p.t.Fatalf("got %q, %v, want the end of the connection", rest, err)
	}
}

func TestShutdownSends421ToIdleSessionsAndLetsTransactionsFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p policies
		s := &Server{Hostname: "mail.test", NewSession: p.newSession}
		l := start(t, s)
		idle, greeted, busy := dial(t, l), dial(t, l), dial(t, l)
		idle.hear("220 ")
		greeted.say("EHLO x")
		greeted.hear("220 ", "250-", "250-", "250-", "250-", "250-", "250-", "250-", "250-", "250-", "250 ")
		busy.say("HELO x", "MAIL FROM:<a@b.test>")
		busy.hear("220 ", "250 ", "250 ")
		synctest.Wait()

		done := make(chan error, 1)
		go func() { done <- s.Shutdown(context.Background()) }()
		idle.hear("421 4.3.2 ")
		idle.hearEnd()
		greeted.hear("421 4.3.2 ")
		greeted.hearEnd()
		time.Sleep(time.Minute)
		select {
		case <-done:
			t.Fatal("Shutdown returned with a transaction under way")
		default:
		}
		busy.say("RCPT TO:<you@b.test>", "DATA", "x", ".")
		busy.hear("250 ", "354 ", "250 2.0.0 ID1", "421 4.3.2 ")
		busy.hearEnd()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if len(p.closed) != 3 {
			t.Errorf("%d sessions were closed, want 3", len(p.closed))
		}
	})
}

// TestDrainIsNotLostToADeadline is the race of Shutdown with a session that has just begun to wait.
func TestDrainIsNotLostToADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, _ := memPipe()
		w := &wire{Conn: near}
		if !w.setIdle(true) {
			t.Fatal("must end before the drain")
		}
		w.drain()
		began := time.Now()
		w.SetReadDeadline(time.Now().Add(time.Hour))
		if _, err := w.Read(make([]byte, 1)); !dialogue.IsTimeout(err) || time.Since(began) > 0 || !w.stopped() {
			t.Errorf("got %v, want a timeout at once", err)
		}
		w.setIdle(false) // a command had come: its transaction may go on
		w.SetReadDeadline(time.Now().Add(time.Hour))
		if !near.in.deadline.After(time.Now()) {
			t.Error("the deadline of a transaction is overruled")
		}
		if w.setIdle(true) {
			t.Error("may go on after the transaction")
		}
	})
}

func TestShutdownCutsOffWhenItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p policies
		s := &Server{Hostname: "mail.test", NewSession: p.newSession}
		c := dial(t, start(t, s))
		c.say("HELO x", "MAIL FROM:<a@b.test>", "RCPT TO:<you@b.test>", "DATA", "half a message")
		c.hear("220 ", "250 ", "250 ", "250 ", "354 ")
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		c.hearEnd()
		if len(p.messages) != 0 {
			t.Errorf("half a message was taken: %q", p.messages)
		}
	})
}

func TestSessionCaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			limits Limits
			want   string
		}{
			{Limits{Sessions: 2}, "421 4.3.2 "},
			{Limits{SessionsPerAddress: 2}, "421 4.7.0 "},
		} {
			var p policies
			l := start(t, &Server{Hostname: "mail.test", NewSession: p.newSession, Limits: test.limits})
			first, second, third := dial(t, l), dial(t, l), dial(t, l)
			first.hear("220 ")
			second.hear("220 ")
			third.hear(test.want)
			third.hearEnd()
			first.say("QUIT")
			first.hear("221 ")
			first.hearEnd()
			synctest.Wait()
			dial(t, l).hear("220 ") // a place has become free
		}
	})
}

func TestNetworkOf(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1:25":              "192.0.2.1/32",
		"[::ffff:192.0.2.1]:25":     "192.0.2.1/32",
		"[2001:db8:1:2:3:4:5:6]:25": "2001:db8:1:2::/64",
		"127.0.0.9:25":              "invalid Prefix",
		"[::1]:25":                  "invalid Prefix",
	} {
		addr, err := net.ResolveTCPAddr("tcp", in)
		if err != nil {
			t.Fatal(err)
		}
		if got := networkOf(addr).String(); got != want {
			t.Errorf("networkOf(%s) = %s, want %s", in, got, want)
		}
	}
}

func TestPipelinedRepliesLeaveInOneWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p policies
		c := dial(t, start(t, &Server{Hostname: "mail.test", NewSession: p.newSession}))
		c.say("HELO x")
		c.hear("220 ", "250 ")
		before := c.conn.in.writes
		c.say("MAIL FROM:<a@b.test>", "RCPT TO:<1@b.test>", "RCPT TO:<2@b.test>", "RSET", "MAIL FROM:<a@b.test>", "RCPT TO:<1@b.test>", "DATA")
		c.hear("250 ", "250 ", "250 ", "250 ", "250 ", "250 ", "354 ")
		if n := c.conn.in.writes - before; n != 1 {
			t.Errorf("7 replies left in %d writes, want 1", n)
		}
	})
}

func TestTranscriptHasNeitherSecretsNorContent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := policies{mechanisms: []string{"PLAIN", "LOGIN"}}
		c := dial(t, start(t, &Server{Hostname: "mail.test", NewSession: p.newSession}))
		c.say("EHLO x", "AUTH PLAIN AG1lAHdyb25n", "AUTH c2VjcmV0", "AUTH LOGIN c2VjcmV0", "c2VjcmV0", "AUTH X c2VjcmV0", "c2VjcmV0")
		c.say("AUTH PLAIN AG1lAHNlY3JldA==", "MAIL FROM:<a@b.test>", "RCPT TO:<you@b.test>", "DATA", "the content", ".", "QUIT")
		all, err := io.ReadAll(c.in)
		if err != nil || !strings.Contains(string(all), "235 2.7.0") || !strings.Contains(string(all), "250 2.0.0 ID1") {
			t.Fatalf("%v after %s", err, all)
		}
		var text strings.Builder
		for _, line := range p.last.Transcript().Lines() {
			text.WriteString(string(line.Side) + ": " + line.Text + "\n")
		}
		for _, secret := range []string{"AG1l", "c2Vj", "bWU", "secret", "content"} {
			if strings.Contains(text.String(), secret) {
				t.Errorf("%q is in the transcript:\n%s", secret, text.String())
			}
		}
		for _, want := range []string{
			"C: AUTH PLAIN ***\n", "C: AUTH ***\n", "C: AUTH LOGIN ***\nS: 334 UGFzc3dvcmQ6\nC: ***\n",
			"C: (a line that is no command)\n", "C: DATA\nS: 354 Enter mail, end with \".\" on a line by itself\n*: (message: 13 octets)\nS: 250 2.0.0 ID1 Message accepted for delivery\n",
		} {
			if !strings.Contains(text.String(), want) {
				t.Errorf("%q is not in the transcript:\n%s", want, text.String())
			}
		}
	})
}

func TestSessionIsClosedWithItsReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p policies
		s := &Server{Hostname: "mail.test", NewSession: p.newSession}
		l := start(t, s)
		for _, test := range []struct {
			say  string
			want error
		}{{"QUIT", nil}, {"NOOP", errPeerClosed}, {"HELO x\r\nMAIL FROM:<panic@x.test>", errPanic}} {
			c := dial(t, l)
			c.say(test.say)
			synctest.Wait()
			c.conn.Close()
			synctest.Wait()
			if got := p.closed[len(p.closed)-1]; !errors.Is(got, test.want) {
				t.Errorf("after %q: Close(%v), want %v", test.say, got, test.want)
			}
		}
	})
}

func TestConnectionRefusedByPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var refusal error
		l := start(t, &Server{Hostname: "mail.test", NewSession: func(context.Context, *Conn) (Session, error) { return nil, refusal }})
		for want, err := range map[string]error{
			"554 5.7.1 Go away": &mail.Error{Status: mail.NewStatus(554, "5.7.1", "Go away")},
			"421 4.3.0 Service": errors.New("disk on fire"),
		} {
			refusal = err
			c := dial(t, l)
			c.hear(want)
			c.hearEnd()
		}
	})
}

func TestImplicitTLS(t *testing.T) {
	serverTLS, clientTLS := testTLS(t)
	var p policies
	addr := listen(t, &Server{Hostname: "mail.test", NewSession: p.newSession, TLS: serverTLS, ImplicitTLS: true})
	c := connect(t, addr, clientTLS)
	if err := errors.Join(c.Greet(t.Context()), c.Hello(t.Context())); err != nil {
		t.Fatal(err)
	}
	if _, offered := c.Extension("STARTTLS"); offered {
		t.Error("STARTTLS is offered under TLS")
	}
	if p.last.TLS() == nil || c.TLS() == nil {
		t.Error("TLS is not known to be active")
	}
}
