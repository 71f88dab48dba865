package smtp

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"waybill/internal/mail"
)

// listen serves on a real socket until the test ends, and returns its address.
func listen(t testing.TB, s *Server) string {
	t.Helper()
	if s.Logger == nil {
		s.Logger = slog.New(slog.DiscardHandler)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background(), l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		s.Shutdown(ctx)
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return l.Addr().String()
}

// connect returns a client of a server, under TLS if there is a config.
func connect(t testing.TB, addr string, config *tls.Config) *Client {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if config != nil {
		secured := tls.Client(nc, config)
		if err := secured.Handshake(); err != nil {
			t.Fatal(err)
		}
		nc = secured
	}
	c := NewClient(nc, ClientOptions{Hello: "me.test"})
	t.Cleanup(func() { c.Close() })
	return c
}

var (
	me  = mail.Address{Local: "me", Domain: "a.test"}
	you = mail.Address{Local: "you", Domain: "b.test"}
)

// pieces is a WriterTo that writes content in pieces of random size.
type pieces struct {
	content []byte
	random  *rand.Rand
}

func (p pieces) WriteTo(w io.Writer) (total int64, err error) {
	for rest := p.content; len(rest) > 0; {
		n := min(len(rest), 1+p.random.IntN(1+p.random.IntN(60000)))
		if _, err := w.Write(rest[:n]); err != nil {
			return total, err
		}
		total += int64(n)
		rest = rest[n:]
	}
	return total, nil
}

// randomContent returns lines with dots in every place, empty, long, and with any octet but CR and LF.
func randomContent(random *rand.Rand) []byte {
	var b bytes.Buffer
	for range random.IntN(200) {
		switch random.IntN(6) {
		case 0:
			b.WriteString(strings.Repeat(".", random.IntN(4)))
		case 1:
			b.WriteString(strings.Repeat("long.", random.IntN(8000)))
		case 2:
			for range random.IntN(100) {
				if c := byte(random.UintN(256)); c != '\r' && c != '\n' {
					b.WriteByte(c)
				}
			}
		default:
			b.WriteString("an ordinary line of text")
		}
		b.WriteString("\r\n")
	}
	return b.Bytes()
}

// withAndWithoutTLS plays a client that has said hello against a server, in the clear and under TLS.
func withAndWithoutTLS(t *testing.T, play func(t *testing.T, c *Client, p *policies)) {
	serverTLS, clientTLS := testTLS(t)
	for _, secured := range []bool{false, true} {
		t.Run(fmt.Sprintf("TLS=%t", secured), func(t *testing.T) {
			var p policies
			c := connect(t, listen(t, &Server{Hostname: "mail.test", NewSession: p.newSession, TLS: serverTLS}), nil)
			greet(t, c)
			if secured {
				if err := errors.Join(c.StartTLS(t.Context(), clientTLS), c.Hello(t.Context())); err != nil {
					t.Fatal(err)
				}
			}
			play(t, c, &p)
		})
	}
}

func TestContentArrivesAsItWasSent(t *testing.T) {
	t.Parallel()
	withAndWithoutTLS(t, func(t *testing.T, c *Client, p *policies) {
		random := rand.New(rand.NewPCG(3, 4))
		for range 25 {
			content := randomContent(random)
			r, err := c.Send(t.Context(), Transaction{ReversePath: me, Recipients: []mail.Address{you},
				Size: int64(len(content)), Body: mail.Body8BitMIME, Content: pieces{content, random}})
			if err != nil || !r.Data.Success() {
				t.Fatal(r, err)
			}
			if got, _ := p.takeMessage(); got != string(content) {
				t.Fatalf("%d octets arrived as %d others", len(content), len(got))
			}
		}
	})
}

func greet(t testing.TB, c *Client) {
	t.Helper()
	if err := errors.Join(c.Greet(context.Background()), c.Hello(context.Background())); err != nil {
		t.Fatal(err)
	}
}

func TestContentWithoutLastLineEndGetsOne(t *testing.T) {
	var p policies
	c := connect(t, listen(t, &Server{Hostname: "mail.test", NewSession: p.newSession}), nil)
	greet(t, c)
	r, err := c.Send(t.Context(), Transaction{ReversePath: me, Recipients: []mail.Address{you}, Content: strings.NewReader("x")})
	if got, _ := p.takeMessage(); err != nil || !r.Data.Success() || got != "x\r\n" {
		t.Errorf("got %q, %v, %v", got, r, err)
	}
}

// TestClientNeverWritesBareLineEnds is the client's half of the protection against smuggling.
func TestClientNeverWritesBareLineEnds(t *testing.T) {
	for _, content := range []string{"\n", "\r", "a\nb\r\n", "a\rb\r\n", "a\r", "a\r\n\n.\r\nMAIL", "a\r\r\n", "\r\n.\n"} {
		for split := range len(content) + 1 {
			var p policies
			c := connect(t, listen(t, &Server{Hostname: "mail.test", NewSession: p.newSession}), nil)
			greet(t, c)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			r, err := c.Send(ctx, Transaction{ReversePath: me, Recipients: []mail.Address{you},
				Content: io.WriterTo(twoPieces{content, split})})
			if !errors.Is(err, ErrBareLineEnd) || !r.Data.Permanent() || r.Unknown {
				t.Errorf("%q: got %v, %v", content, r, err)
			}
			c.Close()
			if got, ok := p.takeMessage(); ok {
				t.Errorf("%q arrived as %q", content, got)
			}
		}
	}
}

type twoPieces struct {
	content string
	split   int
}

func (p twoPieces) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, p.content[:p.split])
	if err != nil {
		return int64(n), err
	}
	m, err := io.WriteString(w, p.content[p.split:])
	return int64(n + m), err
}

func TestClientNeverLetsAnAddressBecomeACommand(t *testing.T) {
	var p policies
	addr := listen(t, &Server{Hostname: "mail.test", NewSession: p.newSession})
	for _, forward := range []mail.Address{{Local: "you\r\nRSET\r\n", Domain: "b.test"}, {Local: "you", Domain: "b.test>\nRSET"}} {
		c := connect(t, addr, nil)
		greet(t, c)
		r, err := c.Send(t.Context(), Transaction{ReversePath: me, Recipients: []mail.Address{you, forward}, Content: strings.NewReader("x\r\n")})
		if err == nil || !mail.StatusOf(err).Permanent() || r.Data.Success() {
			t.Errorf("%q: got %v, %v", forward, r, err)
		}
	}
}

func TestManyRecipients(t *testing.T) {
	var p policies
	c := connect(t, listen(t, &Server{Hostname: "mail.test", NewSession: p.newSession, Limits: Limits{Recipients: 200, Unknown: 1000, UnknownAtOnce: 1000}}), nil)
	greet(t, c)
	tx := Transaction{ReversePath: me, Content: strings.NewReader("x\r\n")}
	for i := range 300 {
		forward := mail.Address{Local: fmt.Sprint("you", i), Domain: "b.test"}
		if i%3 == 0 {
			forward.Local = "nobody"
		}
		tx.Recipients = append(tx.Recipients, forward)
	}
	r, err := c.Send(t.Context(), tx)
	if err != nil || !r.Data.Success() {
		t.Fatal(r, err)
	}
	accepted := 0
	for i, status := range r.Recipients {
		switch {
		case i%3 == 0 && accepted < 200 && status.Code != 550:
			t.Errorf("recipient %d: %v", i, status)
		case i%3 != 0 && !status.Success():
			t.Errorf("recipient %d: %v", i, status)
		}
	}
}

func TestClientAuthenticates(t *testing.T) {
	for _, mechanisms := range [][]string{{"PLAIN"}, {"LOGIN"}} {
		p := policies{mechanisms: mechanisms}
		addr := listen(t, &Server{Hostname: "mail.test", NewSession: p.newSession})
		for password, want := range map[string]int{"secret": 250, "wrong": 535, strings.Repeat("long", 200): 535} {
			c := connect(t, addr, nil)
			greet(t, c)
			if got := mail.StatusOf(c.Auth(t.Context(), "me", password)); got.Code != want {
				t.Errorf("%s with %.10q: %v", mechanisms, password, got)
			}
			for _, line := range c.Transcript().Lines() {
				if strings.Contains(line.Text, "c2Vj") || strings.Contains(line.Text, "AG1l") {
					t.Errorf("a secret is in the transcript: %s", line.Text)
				}
			}
		}
	}
}

func TestUntrustedCertificate(t *testing.T) {
	serverTLS, _ := testTLS(t)
	_, otherTLS := testTLS(t)
	var p policies
	c := connect(t, listen(t, &Server{Hostname: "mail.test", NewSession: p.newSession, TLS: serverTLS}), nil)
	greet(t, c)
	if err := c.StartTLS(t.Context(), otherTLS); err == nil || !mail.StatusOf(err).Temporary() {
		t.Errorf("got %v", err)
	}
	if err := c.Hello(t.Context()); err == nil {
		t.Error("the connection is used after TLS failed")
	}
}

// BenchmarkServer sends 8 KiB messages to a policy that drops them, over loopback.
func BenchmarkServer(b *testing.B) {
	content := bytes.Repeat([]byte(strings.Repeat("x", 70)+"\r\n"), 8192/72)
	s := &Server{Hostname: "mail.test", NewSession: func(_ context.Context, c *Conn) (Session, error) { return nullSession{}, nil }}
	addr := listen(b, s)
	b.SetParallelism(10)
	b.ReportAllocs()
	b.SetBytes(int64(len(content)))
	b.RunParallel(func(pb *testing.PB) {
		g := newGenerator(b, addr, content)
		for pb.Next() {
			g.send()
		}
	})
}

// generator is a client that does as little as it can.
type generator struct {
	b                 testing.TB
	conn              net.Conn
	envelope, content []byte
	buf               []byte
}

func newGenerator(b testing.TB, addr string, content []byte) *generator {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	g := &generator{b: b, conn: conn, buf: make([]byte, 4096), content: append(bytes.Clone(content), ".\r\n"...),
		envelope: []byte("MAIL FROM:<me@a.test>\r\nRCPT TO:<you@b.test>\r\nDATA\r\n")}
	g.await("220 ")
	io.WriteString(conn, "HELO me.test\r\n")
	g.await("250 ")
	return g
}

func (g *generator) send() {
	g.conn.Write(g.envelope)
	g.await("354 ")
	g.conn.Write(g.content)
	g.await("250 ")
}

// await reads until the last line read begins with code.
func (g *generator) await(code string) {
	n := 0
	for {
		m, err := g.conn.Read(g.buf[n:])
		if err != nil {
			g.b.Error(err)
			return
		}
		n += m
		if !bytes.HasSuffix(g.buf[:n], []byte("\r\n")) {
			continue
		}
		last := g.buf[bytes.LastIndexByte(g.buf[:n-1], '\n')+1 : n]
		if bytes.HasPrefix(last, []byte(code)) {
			return
		}
	}
}

type nullSession struct{}

func (nullSession) Hello(context.Context, string, bool) mail.Status {
	return mail.Status{Code: 250, Text: "hello"}
}
func (nullSession) AuthMechanisms() []string                              { return nil }
func (nullSession) Exchange(string) Exchange                              { return nil }
func (nullSession) Auth(context.Context, string, Credentials) mail.Status { return notImplemented }
func (nullSession) Mail(context.Context, mail.Address, MailParams) mail.Status {
	return noop
}
func (nullSession) Rcpt(context.Context, mail.Address, RcptParams) mail.Status {
	return noop
}
func (nullSession) Data(_ context.Context, r io.Reader) mail.Status {
	if _, err := io.Copy(io.Discard, r); err != nil {
		return mail.StatusOf(err)
	}
	return noop
}
func (nullSession) Reset()      {}
func (nullSession) Close(error) {}
