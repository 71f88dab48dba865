package smtp

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"waybill/internal/mail"
)

// TestClientTranscripts plays testdata/client/*.txt: a scripted server against the client, in virtual time.
//
//	do: greet | hello | starttls | auth | quit | cancel 5s | send FROM TO[,TO…] "content" | sendutf8 … | report …
//	        what the client is to do, one after the other ("cancel": its context ends after that time);
//	        "sendutf8" needs SMTPUTF8 for its header; "report" has parameters of DSN;
//	        a comma list with "×N" stands for N recipients, and a content with " ×N" for N times the same
//	S: text what the server says, with CR LF; R: "text" as it is
//	C: text what the client must say; "*" at the end stands for anything
//	B: N    the client must say N octets that are the last content, as it is
//	T: 5m   time passes
//	X:      the server closes the connection
//	E:      the client has closed the connection, without a further word
//	D:      the client has closed the connection in the middle of the content: there was no dot ("D: N": nor the last of
//	        N octets)
//	-> text what came of the calls, one line for each answer
func TestClientTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/client/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) { playServer(t, file, strings.Split(strings.TrimSpace(string(text)), "\n")) })
		})
	}
}

func playServer(t *testing.T, file string, lines []string) {
	near, far := memPipe()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p := &scripted{t: t, conn: far, in: bufio.NewReader(far)}
	var calls, want []string
	for i, line := range lines {
		p.at = fmt.Sprintf("%s:%d", file, i+1)
		switch key, value, _ := strings.Cut(line, " "); key {
		case "", "#":
		case "do:":
			if d, ok := strings.CutPrefix(value, "cancel "); ok {
				after, _ := time.ParseDuration(d)
				defer time.AfterFunc(after, cancel).Stop()
				continue
			}
			calls = append(calls, value)
		case "->":
			want = append(want, value)
		default:
			if p.done == nil {
				p.begin(ctx, near, calls)
			}
			p.step(key, value)
		}
	}
	p.finish(want)
}

type scripted struct {
	t    *testing.T
	at   string
	conn *memConn
	in   *bufio.Reader
	done chan []string

	content int // octets of it so far
}

func (p *scripted) begin(ctx context.Context, conn *memConn, calls []string) {
	p.done = make(chan []string, 1)
	go func() {
		c := NewClient(conn, ClientOptions{Hello: "me.test"})
		defer c.Close()
		var results []string
		for _, call := range calls {
			results = append(results, perform(ctx, c, call)...)
		}
		p.done <- results
	}()
}

func (p *scripted) step(key, value string) {
	switch key {
	case "S:":
		io.WriteString(p.conn, value+"\r\n")
	case "R:":
		quoted, _ := strconv.QuotedPrefix(value)
		text, err := strconv.Unquote(quoted)
		n := 1
		if rest := strings.TrimSpace(value[len(quoted):]); rest != "" && err == nil {
			n, err = strconv.Atoi(rest)
		}
		if err != nil {
			p.t.Fatalf("%s: %v", p.at, err)
		}
		io.WriteString(p.conn, strings.Repeat(text, n))
	case "C:":
		got, err := p.in.ReadString('\n')
		prefix, variable := strings.CutSuffix(value, "*")
		if err != nil || got != value+"\r\n" && !(variable && strings.HasPrefix(got, prefix)) {
			p.t.Fatalf("%s: want %q, got %q, %v", p.at, value, got, err)
		}
	case "B:":
		n, _ := strconv.Atoi(value)
		got := make([]byte, n)
		p.content += n
		if _, err := io.ReadFull(p.in, got); err != nil || strings.Trim(string(got), ".x\r\n") != "" {
			p.t.Fatalf("%s: %v, or other octets", p.at, err)
		}
	case "T:":
		d, err := time.ParseDuration(value)
		if err != nil {
			p.t.Fatalf("%s: %v", p.at, err)
		}
		time.Sleep(d)
	case "X:":
		p.conn.Close()
	case "E:":
		if rest, err := io.ReadAll(p.in); err != nil || len(rest) > 0 {
			p.t.Fatalf("%s: want the connection closed, got %q, %v", p.at, rest, err)
		}
	case "D:":
		size, err := strconv.Atoi(value)
		if value == "" {
			size, err = 1<<30, nil
		}
		if rest, readErr := io.ReadAll(p.in); err != nil || readErr != nil || strings.Contains("\n"+string(rest), "\n.") || p.content+len(rest) >= size {
			p.t.Fatalf("%s: want the connection closed before the dot, got %q, %v", p.at, rest, err)
		}
	default:
		p.t.Fatalf("%s: unknown line", p.at)
	}
}

func (p *scripted) finish(want []string) {
	got := <-p.done
	for i := range max(len(got), len(want)) {
		g, w := "(nothing)", "(nothing)"
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		prefix, variable := strings.CutSuffix(w, "*")
		if g != w && !(variable && strings.HasPrefix(g, prefix)) {
			p.t.Errorf("%s: result %d is %q, want %q", p.at, i+1, g, w)
		}
	}
}

// perform makes one call and returns what came of it, in lines.
func perform(ctx context.Context, c *Client, call string) []string {
	name, args, _ := strings.Cut(call, " ")
	var err error
	switch name {
	case "greet":
		err = c.Greet(ctx)
	case "hello":
		err = c.Hello(ctx)
	case "starttls":
		err = c.StartTLS(ctx, &tls.Config{InsecureSkipVerify: true})
	case "auth":
		err = c.Auth(ctx, "me", "secret")
	case "quit":
		err = c.Quit(ctx)
	case "send":
		return send(ctx, c, Transaction{}, args)
	case "sendutf8":
		return send(ctx, c, Transaction{UTF8: true}, args)
	case "report":
		return send(ctx, c, reported, args)
	default:
		err = errors.New("unknown call")
	}
	return []string{name + " " + outcome(err)}
}

func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	return "error " + mail.StatusOf(err).String()
}

// reported is what "report" sends: with all that DSN knows.
var reported = Transaction{
	DSN: mail.DSN{Return: mail.ReturnHeader, EnvelopeID: "id=1 +"},
	Reports: []mail.Report{
		{Notify: mail.NotifyDelay | mail.NotifySuccess, Original: mail.OriginalRecipient{Type: "rfc822", Address: "you+me@b.test"}},
		{Notify: mail.NotifyNever, Original: mail.OriginalRecipient{Type: "utf-8", Address: "ñ+@b.test"}},
		{Original: mail.OriginalRecipient{Type: "rfc822", Address: "injected@b.test\r\nRSET"}},
	},
}

func send(ctx context.Context, c *Client, t Transaction, args string) []string {
	words := strings.SplitN(args, " ", 3)
	quoted, _ := strconv.QuotedPrefix(words[2])
	content, err := strconv.Unquote(quoted)
	if err != nil {
		return []string{err.Error()}
	}
	if times, err := strconv.Atoi(strings.TrimPrefix(words[2][len(quoted):], " ×")); err == nil {
		content = strings.Repeat(content, times)
	}
	t.Size, t.Content, t.Body = int64(len(content)), strings.NewReader(content), mail.Body8BitMIME
	t.ReversePath, _ = mail.ParseAddress(words[0])
	for to := range strings.SplitSeq(words[1], ",") {
		to, count, _ := strings.Cut(to, "×")
		n, _ := strconv.Atoi(count)
		for range max(n, 1) {
			forward, _ := mail.ParseAddress(to)
			t.Recipients = append(t.Recipients, forward)
		}
	}
	r, err := c.Send(ctx, t)
	lines := []string{"mail " + r.Mail.String()}
	for _, s := range r.Recipients {
		if line := "rcpt " + s.String(); len(t.Recipients) < 10 || line != lines[len(lines)-1] {
			lines = append(lines, line)
		}
	}
	if r.Data.Code != 0 {
		lines = append(lines, "data "+r.Data.String())
	}
	if r.Unknown {
		lines = append(lines, "unknown")
	}
	return append(lines, "send "+outcome(err))
}
