package smtp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"waybill/internal/dialogue"
	"waybill/internal/mail"
)

// TestOneRoundTrip: a short message is one group, also on a connection that was used before, with TLS and without.
func TestOneRoundTrip(t *testing.T) {
	t.Parallel()
	withAndWithoutTLS(t, func(t *testing.T, c *Client, p *policies) {
		random := rand.New(rand.NewPCG(5, 6))
		for i := range 10 {
			content := bytes.Repeat([]byte(".line\r\n"), 1+random.IntN(1000))
			c.Transcript().Cut()
			r, err := c.Send(t.Context(), Transaction{ReversePath: me, Recipients: []mail.Address{you}, Size: int64(len(content)), Content: pieces{content, random}})
			if got, _ := p.takeMessage(); err != nil || !r.Data.Success() || got != string(content) {
				t.Fatal(len(got), r, err)
			}
			sides := ""
			for _, line := range c.Transcript().Cut() {
				sides += string(line.Side)
			}
			if sides != "CCC*SSS" {
				t.Errorf("message %d: %s", i, sides)
			}
		}
	})
}

// answered is content whose end is not written before the server has said something.
type answered struct {
	nc    net.Conn
	begin string
	end   string
}

func (a answered) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, a.begin)
	if err != nil {
		return int64(n), err
	}
	for deadline := time.Now().Add(10 * time.Second); dialogue.Quiet(a.nc); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return int64(n), errors.New("the server says nothing")
		}
	}
	m, err := io.WriteString(w, a.end)
	return int64(n + m), err
}

// TestRepliesBeforeTheContentEnds: the replies to the envelope may come while the content is written. They are not unasked for.
func TestRepliesBeforeTheContentEnds(t *testing.T) {
	t.Parallel()
	var p policies
	c := connect(t, listen(t, &Server{Hostname: "mail.test", NewSession: p.newSession}), nil)
	greet(t, c)
	content := answered{nc: c.nc, begin: strings.Repeat("x\r\n", 15000), end: "y\r\n"}
	r, err := c.Send(t.Context(), Transaction{ReversePath: me, Recipients: []mail.Address{you}, Size: int64(len(content.begin + content.end)), Content: content})
	if got, _ := p.takeMessage(); err != nil || !r.Data.Success() || got != content.begin+content.end {
		t.Errorf("%d octets arrived: %+v, %v", len(got), r, err)
	}
}

// TestClosedWhileIdle: a server that has closed a connection between two messages was sent no content.
func TestClosedWhileIdle(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	closed := make(chan struct{})
	go func() {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		in := bufio.NewReader(nc)
		fmt.Fprint(nc, "220 x\r\n")
		in.ReadString('\n')
		fmt.Fprint(nc, "250-x\r\n250-PIPELINING\r\n250 CHUNKING\r\n")
		for range 4 {
			in.ReadString('\n')
		}
		fmt.Fprint(nc, "250 ok\r\n250 ok\r\n250 taken\r\n")
		nc.Close()
		close(closed)
	}()
	c := connect(t, l.Addr().String(), nil)
	greet(t, c)
	tx := func() Transaction {
		return Transaction{ReversePath: me, Recipients: []mail.Address{you}, Size: 3, Content: strings.NewReader("x\r\n")}
	}
	if r, err := c.Send(t.Context(), tx()); err != nil || !r.Data.Success() {
		t.Fatal(r, err)
	}
	<-closed
	for deadline := time.Now().Add(10 * time.Second); dialogue.Quiet(c.nc) && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if r, err := c.Send(t.Context(), tx()); err == nil || r.Mail.Success() || r.Unknown || r.MayHave(0) {
		t.Errorf("%+v, %v", r, err)
	}
}

// shortConn takes that many octets and fails then. It says one thing at first and another after each write, and ends then.
type shortConn struct {
	net.Conn
	says   []string
	spoken int
	room   int
}

func (s *shortConn) Read(p []byte) (int, error) {
	switch {
	case s.spoken < 0 && len(s.says) == 0:
		return 0, io.EOF
	case s.spoken < 0:
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(p, s.says[0][s.spoken:])
	if s.spoken += n; s.spoken == len(s.says[0]) {
		s.says, s.spoken = s.says[1:], -1
	}
	return n, nil
}

func (s *shortConn) Write(p []byte) (int, error) {
	s.spoken = max(s.spoken, 0)
	if s.room -= len(p); s.room < 0 {
		return 0, errors.New("broken pipe")
	}
	return len(p), nil
}
func (*shortConn) Close() error                     { return nil }
func (*shortConn) SetReadDeadline(time.Time) error  { return nil }
func (*shortConn) SetWriteDeadline(time.Time) error { return nil }

// TestGroupNotSent: where the content did not go out as a whole, it was not taken, and the last words count.
func TestGroupNotSent(t *testing.T) {
	t.Parallel()
	content := strings.Repeat("x\r\n", 20000)
	for says, want := range map[string]string{
		"":                                    "451 4.4.2, 451 4.4.2, 451 4.4.2",
		"421 4.3.2 going\r\n":                 "421 4.3.2, 421 4.3.2, 421 4.3.2",
		"250 ok\r\n550 5.1.1 no\r\n":          "250, 550 5.1.1, 451 4.4.2",
		"250 ok\r\n250 ok\r\n552 5.3.4 b\r\n": "250, 250, 552 5.3.4",
		"250 ok\r\n250 ok\r\n250 taken\r\n":   "250, 250, 451 4.4.2",
	} {
		nc := &shortConn{says: []string{"220 x\r\n", "250-x\r\n250-PIPELINING\r\n250 CHUNKING\r\n", says}, room: 40000}
		c := NewClient(nc, ClientOptions{})
		greet(t, c)
		r, err := c.Send(t.Context(), Transaction{ReversePath: me, Recipients: []mail.Address{you}, Size: int64(len(content)), Content: strings.NewReader(content)})
		got := ""
		for _, s := range []mail.Status{r.Mail, r.Recipients[0], r.Data} {
			s.Text = ""
			got += ", " + strings.TrimSpace(s.String())
		}
		if got = got[2:]; got != want || err == nil || r.Unknown {
			t.Errorf("after %q: %s (%+v, %v), want %s", says, got, r, err, want)
		}
	}
}

// failing is content that cannot be read to its end.
type failing struct{ content string }

var errDisk = errors.New("disk")

func (f failing) WriteTo(w io.Writer) (int64, error) {
	n, _ := io.WriteString(w, f.content)
	return int64(n), errDisk
}

// TestGroupNotRead: content that cannot be read ends the connection before its chunk is whole.
func TestGroupNotRead(t *testing.T) {
	t.Parallel()
	for _, size := range []int{3, 30_000, 50_000} {
		var p policies
		c := connect(t, listen(t, &Server{Hostname: "mail.test", NewSession: p.newSession}), nil)
		greet(t, c)
		r, err := c.Send(t.Context(), Transaction{ReversePath: me, Recipients: []mail.Address{you}, Size: int64(size + 1), Content: failing{strings.Repeat("x", size)}})
		if !errors.Is(err, errDisk) || r.Unknown || r.Data.Success() || !r.Data.Temporary() {
			t.Errorf("%+v, %v", r, err)
		}
		c.Close()
		if got, ok := p.takeMessage(); ok {
			t.Errorf("%d octets arrived", len(got))
		}
	}
}
