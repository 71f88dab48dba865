package pop3

import (
	"bufio"
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestTranscripts plays testdata/*.txt against a server, in virtual time. A line of a file is one of
//
//	# comment
//	O: word         the backend is cleartext, busy, banned, broken, failQuit; or "gone 2", "torn 2", "size 2 100", "mechanism X"
//	M: "content"    the next message, as a Go string
//	C: line         the client sends it; C lines that follow one another go out in one write; "\x00" and such
//	                are Go escapes, and a line ends in CR LF unless it ends in \c
//	T: 5m           so much time passes
//	S: line         the server sends exactly this; a * at the end stands for anything
//	S: (closed)     the server has closed the connection
//	E: event        what the backend noted, after the client has closed its end
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) { play(t, string(data)) })
		})
	}
}

func play(t *testing.T, script string) {
	b := newBackend()
	b.cleartext = false
	lines := strings.Split(strings.TrimSuffix(script, "\n"), "\n")
	for len(lines) > 0 && prepare(t, b, lines[0]) {
		lines = lines[1:]
	}
	client, finish := dial(t, b)
	defer finish()
	var events []string
	player := player{t: t, conn: client, in: bufio.NewReader(client)}
	for i, line := range lines {
		kind, text := cutKind(line)
		if kind != "C" {
			player.send()
		}
		switch kind {
		case "", "#":
		case "C":
			player.say(text)
		case "S":
			player.expect(i+1, text)
		case "T":
			d, err := time.ParseDuration(text)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(d)
		case "E":
			events = append(events, text)
		default:
			t.Fatalf("what is %q?", line)
		}
	}
	player.send()
	finish()
	got := strings.Split(b.noted(), "\n")
	if !slices.EqualFunc(got, events, matches) {
		t.Errorf("the backend noted\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(events, "\n"))
	}
}

func cutKind(line string) (kind, text string) {
	if line == "" || line[0] == '#' {
		return "", ""
	}
	kind, text, _ = strings.Cut(line, ":")
	return kind, strings.TrimPrefix(text, " ")
}

func matches(got, want string) bool {
	if prefix, open := strings.CutSuffix(want, "*"); open {
		return strings.HasPrefix(got, prefix)
	}
	return got == want
}

// prepare obeys one line of the head of a script; false if the dialogue begins.
func prepare(t *testing.T, b *backend, line string) bool {
	kind, text := cutKind(line)
	words := strings.Fields(text)
	number := func(i int) int {
		n, err := strconv.Atoi(words[i])
		if err != nil {
			t.Fatal(line)
		}
		return n
	}
	switch kind {
	case "":
	case "M":
		content, err := strconv.Unquote(text)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		b.messages = append(b.messages, content)
	case "O":
		switch words[0] {
		case "cleartext":
			b.cleartext = true
		case "busy":
			b.busy = true
		case "mechanism":
			b.mechanisms = append(b.mechanisms, words[1])
		case "banned":
			b.banned = true
		case "broken":
			b.broken = true
		case "failQuit":
			b.failQuit = true
		case "gone":
			b.gone = append(b.gone, number(1))
		case "torn":
			b.torn = append(b.torn, number(1))
		case "size":
			b.sizes[number(1)] = int64(number(2))
		default:
			t.Fatal(line)
		}
	default:
		return false
	}
	return true
}

// dial connects to a server for b; finish closes the connection and waits for the server's end.
func dial(t *testing.T, b *backend) (client net.Conn, finish func()) {
	server := &Server{Hostname: "mail.example.test", NewSession: b.session}
	near, far := net.Pipe()
	l := newPipeListener()
	done := make(chan error)
	go func() { done <- server.Serve(t.Context(), l) }()
	l.conns <- far
	return near, sync.OnceFunc(func() {
		near.Close()
		synctest.Wait()
		if err := server.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// pipeListener hands out the connections put into it.
type pipeListener struct {
	conns  chan net.Conn
	ctx    context.Context
	cancel context.CancelFunc
}

func newPipeListener() *pipeListener {
	ctx, cancel := context.WithCancel(context.Background())
	return &pipeListener{make(chan net.Conn), ctx, cancel}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.ctx.Done():
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.cancel(); return nil }
func (l *pipeListener) Addr() net.Addr { return nil }

type player struct {
	t       *testing.T
	conn    net.Conn
	in      *bufio.Reader
	pending []byte
}

func (p *player) say(text string) {
	if strings.Contains(text, `\`) {
		cut, noEnd := strings.CutSuffix(text, `\c`)
		unquoted, err := strconv.Unquote(`"` + cut + `"`)
		if err != nil {
			p.t.Fatalf("%s: %v", text, err)
		}
		p.pending = append(p.pending, unquoted...)
		if noEnd {
			return
		}
	} else {
		p.pending = append(p.pending, text...)
	}
	p.pending = append(p.pending, "\r\n"...)
}

// send writes what the client has said since; from a goroutine, because a pipe has no buffer.
func (p *player) send() {
	if len(p.pending) > 0 {
		go p.conn.Write(p.pending)
		p.pending = nil
		synctest.Wait()
	}
}

func (p *player) expect(number int, want string) {
	p.t.Helper()
	p.conn.SetReadDeadline(time.Now().Add(time.Second)) // virtual
	got, err := p.in.ReadString('\n')
	if want == "(closed)" {
		if err == nil || os.IsTimeout(err) {
			p.t.Fatalf("line %d: got %q, %v, want the connection closed", number, got, err)
		}
		return
	}
	line, ended := strings.CutSuffix(got, "\r\n")
	if err != nil || !ended {
		p.t.Fatalf("line %d: got %q, %v, want %q", number, got, err, want)
	}
	if !matches(line, want) {
		p.t.Errorf("line %d: got %q, want %q", number, line, want)
	}
}
