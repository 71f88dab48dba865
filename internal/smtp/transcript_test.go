package smtp

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestTranscripts plays testdata/*.txt against the server in virtual time. Each line is one of
//
//	L: name value   a limit, or "tls", "normalise", "auth MECHANISM…", "auth-needs-tls", before the first other line
//	C: text         sent with CR LF; lines that follow one another are sent in one write
//	R: "text"       sent as it is, a quoted Go string ("text" N: N times)
//	K: 300ms        from here on every octet is typed with that pause before it
//	S: text         expected; "*" at the end stands for anything
//	A: 5 text       expected so many times
//	M: "text"       the content of the next message that policy got, with "…" in the middle for anything
//	N:              nothing more has come, and no further message was taken
//	T: 5m1s         time passes
//	X:              the server closes the connection, without a further word
//	E:              the client closes the connection
//	TLS:            the client begins TLS
func TestTranscripts(t *testing.T) {
	serverTLS, clientTLS := testTLS(t)
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				p := &player{t: t, file: file, serverTLS: serverTLS, clientTLS: clientTLS}
				p.play(strings.Split(strings.TrimRight(string(text), "\n"), "\n"))
			})
		})
	}
}

type player struct {
	t                    *testing.T
	file                 string
	number               int
	serverTLS, clientTLS *tls.Config

	policies policies
	server   *Server
	conn     net.Conn
	in       *bufio.Reader
	pending  strings.Builder
	typing   time.Duration
}

func (p *player) failf(format string, args ...any) {
	p.t.Helper()
	p.t.Fatalf("%s:%d: %s", p.file, p.number, fmt.Sprintf(format, args...))
}

func (p *player) play(lines []string) {
	p.server = &Server{Hostname: "mail.sendingemail.com", NewSession: p.policies.newSession, Logger: slog.New(slog.DiscardHandler)}
	l := newMemListener()
	served := make(chan error, 1)
	begun := false
	defer func() {
		if !begun {
			return
		}
		p.conn.Close()
		if err := p.server.Shutdown(context.Background()); err != nil {
			p.t.Errorf("Shutdown: %v", err)
		}
		if err := <-served; err != nil {
			p.t.Errorf("Serve: %v", err)
		}
	}()
	for i, line := range lines {
		p.number = i + 1
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if key == "L" {
			p.configure(value)
			continue
		}
		if !begun {
			begun = true
			go func() { served <- p.server.Serve(p.t.Context(), l) }()
			p.conn = l.dial()
			p.in = bufio.NewReader(p.conn)
		}
		if key != "C" {
			p.flush()
		}
		p.step(key, value)
	}
	p.flush()
}

func (p *player) configure(value string) {
	name, arg, _ := strings.Cut(value, " ")
	l := &p.server.Limits
	number := func() int {
		n, err := strconv.Atoi(arg)
		if err != nil {
			p.failf("%v", err)
		}
		return n
	}
	switch name {
	case "tls":
		p.server.TLS = p.serverTLS
	case "auth":
		p.policies.mechanisms = strings.Fields(arg)
	case "auth-needs-tls":
		p.policies.needTLS = true
	case "size":
		l.MessageSize = int64(number())
	case "recipients":
		l.Recipients = number()
	case "errors":
		l.Errors = number()
	case "refusals":
		l.Refusals = number()
	case "unknown":
		l.Unknown = number()
	case "normalise":
		p.server.NormaliseLineEnds = true
	case "junk":
		l.Junk = number()
	case "sessions":
		l.Sessions = number()
	default:
		p.failf("unknown limit %q", name)
	}
}

func (p *player) step(key, value string) {
	switch key {
	case "C":
		p.pending.WriteString(value + "\r\n")
	case "R":
		p.raw(value)
	case "K":
		p.typing = p.duration(value)
	case "S":
		p.expect(value)
	case "A":
		count, text, _ := strings.Cut(value, " ")
		n, err := strconv.Atoi(count)
		if err != nil {
			p.failf("%v", err)
		}
		for range n {
			p.expect(text)
		}
	case "M":
		p.message(value)
	case "N":
		p.nothing()
	case "T":
		time.Sleep(p.duration(value))
	case "X":
		if rest, err := io.ReadAll(p.in); err != nil || len(rest) > 0 {
			p.failf("want the connection closed, got %q, %v", rest, err)
		}
	case "E":
		p.conn.Close()
	case "TLS":
		t := tls.Client(p.conn, p.clientTLS)
		if err := t.Handshake(); err != nil {
			p.failf("TLS: %v", err)
		}
		p.conn, p.in = t, bufio.NewReader(t)
	default:
		p.failf("unknown line")
	}
}

func (p *player) duration(s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		p.failf("%v", err)
	}
	return d
}

func (p *player) raw(value string) {
	quoted, err := strconv.QuotedPrefix(value)
	if err != nil {
		p.failf("%v", err)
	}
	text, _ := strconv.Unquote(quoted)
	if rest := strings.TrimSpace(value[len(quoted):]); rest != "" {
		n, err := strconv.Atoi(rest)
		if err != nil {
			p.failf("%v", err)
		}
		text = strings.Repeat(text, n)
	}
	p.pending.WriteString(text)
}

// flush sends what is pending.
func (p *player) flush() {
	text := p.pending.String()
	p.pending.Reset()
	if p.typing == 0 && text != "" {
		io.WriteString(p.conn, text) // the next line shows whether the server still listens
		return
	}
	for i := range len(text) {
		time.Sleep(p.typing)
		io.WriteString(p.conn, text[i:i+1])
	}
}

func (p *player) expect(want string) {
	p.conn.SetReadDeadline(time.Now().Add(time.Minute)) // what comes later comes for another reason
	got, err := p.in.ReadString('\n')
	if err != nil {
		p.failf("want %q, got %q, %v", want, got, err)
	}
	p.conn.SetReadDeadline(time.Time{})
	line, ok := strings.CutSuffix(got, "\r\n")
	prefix, variable := strings.CutSuffix(want, "*")
	if !ok || line != want && !(variable && strings.HasPrefix(line, prefix)) {
		p.failf("want %q, got %q", want, got)
	}
}

func (p *player) message(value string) {
	want, err := strconv.Unquote(value)
	if err != nil {
		p.failf("%v", err)
	}
	got, ok := p.policies.takeMessage()
	begin, end, variable := strings.Cut(want, "…")
	if !ok || got != want && !(variable && strings.HasPrefix(got, begin) && strings.HasSuffix(got, end)) {
		p.failf("want message %q, got %.200q, %t", want, got, ok)
	}
}

func (p *player) nothing() {
	synctest.Wait()
	p.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
	if got, err := p.in.Peek(1); err == nil {
		p.failf("want nothing, got %q", got)
	}
	p.conn.SetReadDeadline(time.Time{})
	if got, ok := p.policies.takeMessage(); ok {
		p.failf("want no further message, got %.200q", got)
	}
}
