package pop3

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"waybill/internal/dialogue"
)

// FuzzServer: whatever a client sends, the server keeps its invariants: no reply is longer than a line, the
// maildrop is released, nothing is deleted without QUIT, and the password is in no transcript.
func FuzzServer(f *testing.F) {
	f.Add([]byte("USER you@example.test\r\nPASS open sesame\r\nLIST\r\nRETR 1\r\nTOP 1 0\r\nDELE 1\r\nQUIT\r\n"))
	f.Add([]byte("AUTH PLAIN\r\nAHlvdUBleGFtcGxlLnRlc3QAb3BlbiBzZXNhbWU=\r\nUIDL 1\r\nRSET\r\nNOOP\r\n"))
	f.Add([]byte("CAPA\r\nSTLS\r\nUSER a\rb\nPASS \x00\r\n\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		b := newBackend("Subject: x\r\n\r\n.\r\n")
		var conn *Conn
		s := &Server{Hostname: "h", NewSession: func(ctx context.Context, c *Conn) Session {
			conn = c
			return b.session(ctx, c)
		}}
		near, far := net.Pipe()
		go func() {
			near.Write(in)
			near.SetReadDeadline(time.Now()) // no more is wanted
			near.Close()
		}()
		go io.Copy(io.Discard, near)
		c := newConn(far, s.limits())
		s.serve(context.Background(), c)
		noted := b.noted()
		if strings.Contains(noted, "panic") || strings.Contains(noted, "internal error") {
			t.Fatal(noted)
		}
		if b.busy {
			t.Error("the maildrop is locked for ever")
		}
		if len(b.messages) == 0 && !bytes.Contains(bytes.ToUpper(in), []byte("QUIT")) {
			t.Error("deleted without QUIT")
		}
		for _, l := range conn.Transcript().Lines() {
			if l.Side == dialogue.Client && strings.Contains(l.Text, "sesame") && strings.HasPrefix(l.Text, "PASS") {
				t.Errorf("the transcript tells %q", l.Text)
			}
		}
	})
}

func FuzzCommand(f *testing.F) {
	f.Add("RETR 1")
	f.Add("top  1   2 ")
	f.Add("PASS  two spaces ")
	f.Fuzz(func(t *testing.T, line string) {
		verb, rest, given := parseCommand(line)
		if strings.Contains(verb, " ") || given != strings.Contains(line, " ") {
			t.Errorf("%q: verb %q, rest %q", line, verb, rest)
		}
		for name, c := range commands {
			args, ok := c.arguments(rest, given)
			if ok && (len(args) < c.min || len(args) > c.max) {
				t.Errorf("%s takes %q", name, args)
			}
			if c.text && ok && args[0] != rest {
				t.Errorf("%s changes %q to %q", name, rest, args[0])
			}
		}
	})
}

// FuzzClient: whatever a server sends, every command ends, without a panic.
func FuzzClient(f *testing.F) {
	f.Add([]byte("+OK\r\n+OK\r\nSASL PLAIN\r\n.\r\n+OK\r\n+OK 1 2\r\n+OK\r\n1 2\r\n.\r\n+OK\r\n1 a\r\n.\r\n+OK\r\n..\r\n.\r\n+OK\r\n"))
	f.Add([]byte("-ERR [SYS/TEMP] no\r\n"))
	f.Add([]byte("+OK\r\n+OK\r\n.\r\n-ERR\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		near, far := net.Pipe()
		go func() {
			far.Write(in)
			far.Close()
		}()
		go io.Copy(io.Discard, far)
		c := NewClient(near, ClientOptions{})
		defer c.Close()
		ctx := context.Background()
		c.Greet(ctx)
		c.Login(ctx, "user", "pa55word")
		c.Stat(ctx)
		list, _ := c.List(ctx)
		for _, m := range list {
			if m.Number < 1 || m.Size < 0 {
				t.Errorf("listed %+v", m)
			}
		}
		ids, _ := c.Uidl(ctx)
		for n, id := range ids {
			if n < 1 || id == "" || len(id) > 70 || dialogue.Printable(id) != id {
				t.Errorf("unique id %d %q", n, id)
			}
		}
		c.Retr(ctx, 1, io.Discard)
		c.Quit(ctx)
		for _, l := range c.Transcript().Lines() {
			if l.Side == dialogue.Client && strings.Contains(l.Text, "pa55word") {
				t.Errorf("the transcript tells %q", l.Text)
			}
		}
	})
}

// FuzzDots: any content comes back as it was stored, but for the line end that its last line may lack. A dot after
// a bare LF is the exception: see stuffer.
func FuzzDots(f *testing.F) {
	for _, m := range awkward()[:6] {
		f.Add(m, 3)
	}
	f.Fuzz(func(t *testing.T, content string, size int) {
		size = max(1, size&0xff)
		want := content
		if want != "" && !strings.HasSuffix(want, "\r\n") {
			want += "\r\n"
		}
		wire := stuffed(t, content, size)
		lenient := bufio.NewScanner(strings.NewReader(wire)) // splits at every LF
		lenient.Buffer(nil, 1<<26)
		for lenient.Scan() {
			if lenient.Text() == "." && lenient.Scan() {
				t.Fatalf("a client that splits at LF sees the end within %q", wire)
			}
		}
		if hasDotAfterBareLF(want) {
			return
		}
		if got := unstuffed(t, wire+"+OK next\r\n", size); got != want {
			t.Errorf("%q became %q", want, got)
		}
	})
}

func hasDotAfterBareLF(s string) bool {
	for i := range len(s) - 1 {
		if s[i] == '\n' && s[i+1] == '.' && (i == 0 || s[i-1] != '\r') {
			return true
		}
	}
	return false
}

// FuzzDotDecoder: any octets in any pieces give the same content, and never more octets than came in.
func FuzzDotDecoder(f *testing.F) {
	f.Add([]byte("..a\r\n.\r.\r\n.\r\nrest"), 2)
	f.Fuzz(func(t *testing.T, wire []byte, size int) {
		decode := func(size int) (content []byte, rest int, done bool) {
			var d dotDecoder
			buf := wire
			for len(buf) > 0 && !d.done() {
				c, used := d.next(buf[:min(size, len(buf))])
				content = append(content, c...)
				buf = buf[used:]
			}
			return content, len(buf), d.done()
		}
		whole, rest, done := decode(len(wire) + 1)
		pieces, rest2, done2 := decode(max(1, size&0xff))
		if !bytes.Equal(whole, pieces) || rest != rest2 || done != done2 || len(whole) > len(wire) {
			t.Errorf("%q: %q, %d, %v in one piece; %q, %d, %v in several", wire, whole, rest, done, pieces, rest2, done2)
		}
	})
}
