package pop3

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"waybill/internal/dialogue"
)

// scripted returns a client of a server that answers each command with the next of replies, whatever was asked,
// the first being the greeting; after the last it says nothing more. asked tells the commands it has got.
func scripted(t *testing.T, o ClientOptions, replies ...string) (c *Client, asked func() string) {
	t.Helper()
	near, far := net.Pipe()
	var commands strings.Builder
	done := make(chan struct{})
	go func() {
		defer close(done)
		in := bufio.NewReader(far)
		for _, r := range replies {
			if _, err := io.WriteString(far, r); err != nil {
				return
			}
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			commands.WriteString(line)
		}
		io.Copy(io.Discard, in)
	}()
	c = NewClient(near, o)
	asked = func() string {
		c.Close()
		far.Close()
		<-done
		return commands.String()
	}
	t.Cleanup(func() { asked() })
	return c, asked
}

func TestClientLogin(t *testing.T) {
	t.Parallel()
	const capa = "+OK\r\nUSER\r\nSASL CRAM-MD5 plain\r\n.\r\n"
	long := strings.Repeat("p", 250)
	for name, test := range map[string]struct {
		replies  []string
		password string
		want     string
	}{
		"SASL":               {[]string{capa, "+OK\r\n"}, "p w", "CAPA\r\nAUTH PLAIN AHUAcCB3\r\n"},
		"no CAPA":            {[]string{"-ERR what?\r\n", "+OK\r\n", "+OK\r\n"}, "p w", "CAPA\r\nUSER u\r\nPASS p w\r\n"},
		"no SASL":            {[]string{"+OK\r\nUSER\r\n.\r\n", "+OK\r\n", "+OK\r\n"}, " p ", "CAPA\r\nUSER u\r\nPASS  p \r\n"},
		"long password":      {[]string{capa, "+ \r\n", "+OK\r\n"}, long, "CAPA\r\nAUTH PLAIN\r\nAHUA" /* … */},
		"challenge with a +": {[]string{capa, "+\r\n", "+OK\r\n"}, long, "CAPA\r\nAUTH PLAIN\r\nAHUA"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, asked := scripted(t, ClientOptions{}, append([]string{"+OK\r\n"}, append(test.replies, "")...)...)
			if err := errors.Join(c.Greet(t.Context()), c.Login(t.Context(), "u", test.password)); err != nil {
				t.Fatal(err)
			}
			if got := asked(); !strings.HasPrefix(got, test.want) {
				t.Errorf("the client said %q, want %q", got, test.want)
			}
			for _, l := range c.Transcript().Lines() {
				if strings.Contains(l.Text, "p w") || strings.Contains(l.Text, "AHUA") || strings.Contains(l.Text, "ppp") {
					t.Errorf("the transcript tells %q", l.Text)
				}
			}
		})
	}
}

func TestClientSendsNoLineEnds(t *testing.T) {
	t.Parallel()
	c, asked := scripted(t, ClientOptions{}, "+OK\r\n", "+OK\r\n", "")
	if err := c.Greet(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"u\r\nDELE 1", "u\n", "u\x00"} {
		if err := c.Login(t.Context(), bad, "p"); !errors.Is(err, ErrNotSendable) {
			t.Errorf("login %q: %v", bad, err)
		}
		if err := c.Login(t.Context(), "u", bad); !errors.Is(err, ErrNotSendable) {
			t.Errorf("password %q: %v", bad, err)
		}
	}
	if err := c.Dele(t.Context(), 1); err != nil {
		t.Fatal(err) // the connection is still in order
	}
	if got := asked(); got != "DELE 1\r\n" {
		t.Errorf("the client said %q", got)
	}
}

// TestClientRefusals: a refusal is told with its code and its words, and the session goes on.
func TestClientRefusals(t *testing.T) {
	t.Parallel()
	c, _ := scripted(t, ClientOptions{}, "+OK\r\n", "-ERR [IN-USE] Locked\x1b[31m!\r\n", "-err\r\n", "+OK 2 300\r\n")
	if err := c.Greet(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := c.Dele(t.Context(), 1)
	if want := "the POP3 server refused DELE: [IN-USE] Locked?[31m!"; err == nil || err.Error() != want || !errors.Is(err, ErrInUse) {
		t.Errorf("got %v, want %s", err, want)
	}
	if err := c.Dele(t.Context(), 1); err == nil {
		t.Error("a bare -ERR is a refusal too")
	}
	if n, size, err := c.Stat(t.Context()); n != 2 || size != 300 || err != nil {
		t.Error(n, size, err)
	}
}

// TestHostileServers: whatever comes, the client ends with an error that says what is wrong.
func TestHostileServers(t *testing.T) {
	t.Parallel()
	options := ClientOptions{MaxMessage: 1000, MaxListing: 80}
	list := func(c *Client) error { _, err := c.List(t.Context()); return err }
	uidl := func(c *Client) error { _, err := c.Uidl(t.Context()); return err }
	stat := func(c *Client) error { _, _, err := c.Stat(t.Context()); return err }
	capa := func(c *Client) error { _, err := c.Capa(t.Context()); return err }
	retr := func(c *Client) error { return c.Retr(t.Context(), 1, io.Discard) }
	for name, test := range map[string]struct {
		reply string
		do    func(*Client) error
		want  error
	}{
		"not POP3":               {"220 mail.example.test ESMTP\r\n", stat, ErrMalformed},
		"endless line":           {strings.Repeat("+OK ", 100_000) + "\r\n", stat, ErrMalformed},
		"bare LF":                {"+OK 1 2\n", stat, ErrMalformed},
		"NUL":                    {"+OK 1 2\x00\r\n", stat, ErrMalformed},
		"STAT without numbers":   {"+OK fine\r\n", stat, ErrMalformed},
		"STAT with a sign":       {"+OK 1 +2\r\n", stat, ErrMalformed},
		"negative size":          {"+OK\r\n1 -2\r\n.\r\n", list, ErrMalformed},
		"number zero":            {"+OK\r\n0 2\r\n.\r\n", list, ErrMalformed},
		"overflow":               {"+OK\r\n1 99999999999999999999\r\n.\r\n", list, ErrMalformed},
		"number twice":           {"+OK\r\n1 2\r\n1 2\r\n.\r\n", list, ErrMalformed},
		"endless listing":        {"+OK\r\n" + numbered(20), list, ErrTooLarge},
		"long unique id":         {"+OK\r\n1 " + strings.Repeat("u", 71) + "\r\n.\r\n", uidl, ErrMalformed},
		"unique id with control": {"+OK\r\n1 a\x1bb\r\n.\r\n", uidl, ErrMalformed},
		"unique id twice":        {"+OK\r\n1 a\r\n1 b\r\n.\r\n", uidl, ErrMalformed},
		"endless capabilities":   {"+OK\r\n" + strings.Repeat("X\r\n", 22_000), capa, ErrTooLarge},
		"endless message":        {"+OK\r\n" + strings.Repeat("x\r\n", 1000), retr, ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _ := scripted(t, options, "+OK\r\n", test.reply)
			if err := c.Greet(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := test.do(c); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if err := c.Dele(t.Context(), 1); !errors.Is(err, test.want) {
				t.Errorf("the session went on: %v", err)
			}
		})
	}
}

// TestClientWaitsInVain: a server that is silent, or drips, does not hold the client for ever.
func TestClientWaitsInVain(t *testing.T) {
	for name, drip := range map[string]string{"silence": "", "dripping reply": "+", "dripping message": "+OK\r\n"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				defer far.Close()
				go io.Copy(io.Discard, far)
				done := make(chan struct{})
				go func() {
					defer close(done)
					for drip != "" {
						if _, err := io.WriteString(far, drip); err != nil {
							return
						}
						time.Sleep(time.Minute)
					}
				}()
				c := NewClient(near, ClientOptions{})
				defer c.Close()
				start := time.Now()
				err := c.Retr(t.Context(), 1, io.Discard)
				if !dialogue.IsTimeout(err) || time.Since(start) > time.Hour {
					t.Errorf("after %v: %v", time.Since(start), err)
				}
				<-done
			})
		})
	}
}

func TestDoneContextInterruptsTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		c := NewClient(near, ClientOptions{})
		if err := c.Greet(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

// TestBrokenMessage: half a message is an error, not a message.
func TestBrokenMessage(t *testing.T) {
	t.Parallel()
	near, far := net.Pipe()
	go func() {
		io.CopyN(io.Discard, far, int64(len("RETR 1\r\n")))
		io.WriteString(far, "+OK 100 octets\r\nSubject: half\r\n.")
		far.Close()
	}()
	c := NewClient(near, ClientOptions{})
	defer c.Close()
	if err := c.Retr(t.Context(), 1, io.Discard); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
}

// TestSinkFails: the session outlives an error of the writer, so that what was kept before can be deleted.
func TestSinkFails(t *testing.T) {
	t.Parallel()
	b := newBackend(awkward()...)
	c := connect(t, start(t, &Server{NewSession: b.session}), ClientOptions{})
	if err := c.Login(t.Context(), "you@example.test", "open sesame"); err != nil {
		t.Fatal(err)
	}
	full := errors.New("disk full")
	if err := c.Retr(t.Context(), len(awkward()), failingWriter{full}); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
	if err := c.Dele(t.Context(), 1); err != nil {
		t.Error(err)
	}
	if err := c.Quit(t.Context()); err != nil {
		t.Error(err)
	}
}

type failingWriter struct{ err error }

func (f failingWriter) Write([]byte) (int, error) { return 0, f.err }

// TestInjectionBeforeTLS: a server, or who sits before it, that sends more than the reply to STLS is refused.
func TestInjectionBeforeTLS(t *testing.T) {
	t.Parallel()
	_, clientTLS, _ := certificate(t)
	c, _ := scripted(t, ClientOptions{}, "+OK\r\n", "+OK\r\n+OK injected\r\n")
	if err := c.Greet(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.StartTLS(t.Context(), clientTLS); !errors.Is(err, ErrMalformed) {
		t.Errorf("got %v", err)
	}
}

func TestCertificateIsChecked(t *testing.T) {
	t.Parallel()
	serverTLS, clientTLS, _ := certificate(t)
	clientTLS.ServerName = "other.example.test"
	c := connect(t, start(t, &Server{TLS: serverTLS, NewSession: newBackend().session}), ClientOptions{})
	if err := c.StartTLS(t.Context(), clientTLS); err == nil || !strings.Contains(err.Error(), "other.example.test") {
		t.Errorf("got %v", err)
	}
}

// TestStuffedAndUnstuffed: what the stuffer writes the decoder reads, however both are cut into pieces.
func TestStuffedAndUnstuffed(t *testing.T) {
	t.Parallel()
	for _, content := range awkward() {
		if len(content) > 1<<16 {
			content = content[:1<<16] + "\r\n"
		}
		for _, size := range []int{1, 2, 3, 5, 1 << 20} {
			wire := stuffed(t, content, size)
			if got := unstuffed(t, wire+"+OK next\r\n", size); got != content {
				t.Errorf("pieces of %d: %.40q became %.40q", size, content, got)
			}
		}
	}
}

func stuffed(t testing.TB, content string, size int) string {
	var wire bytes.Buffer
	s := &stuffer{w: &wire}
	for rest := []byte(content); len(rest) > 0; rest = rest[min(size, len(rest)):] {
		if _, err := s.Write(rest[:min(size, len(rest))]); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.end(); err != nil {
		t.Fatal(err)
	}
	return wire.String()
}

func unstuffed(t testing.TB, wire string, size int) string {
	var d dotDecoder
	var got strings.Builder
	for !d.done() {
		if wire == "" {
			t.Fatal("no end")
		}
		content, used := d.next([]byte(wire[:min(size, len(wire))]))
		got.Write(content)
		wire = wire[used:]
	}
	if wire != "+OK next\r\n" {
		t.Fatalf("left over: %.40q", wire)
	}
	return got.String()
}

// TestDotAfterBareLF: no message can make a client that takes LF for a line end see the end of the message.
func TestDotAfterBareLF(t *testing.T) {
	t.Parallel()
	if got, want := stuffed(t, "a\n.\r\n+OK forged\r\n", 3), "a\n..\r\n+OK forged\r\n.\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// numbered returns n lines of a listing.
func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%d 2\r\n", i+1)
	}
	return b.String()
}

// TestLongListing: a listing may have any number of lines.
func TestLongListing(t *testing.T) {
	t.Parallel()
	c, _ := scripted(t, ClientOptions{}, "+OK\r\n", "+OK\r\n"+numbered(200_000)+".\r\n")
	if err := c.Greet(t.Context()); err != nil {
		t.Fatal(err)
	}
	if list, err := c.List(t.Context()); len(list) != 200_000 || err != nil {
		t.Errorf("%d messages, %v", len(list), err)
	}
}
