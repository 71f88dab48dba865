package mua

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// silence is an answer that is none: the line was no command.
const silence = "\n"

// hangUp before an answer makes it the last one.
const hangUp = "\x00"

// peer is a server of one sort, on a socket, that answers lines as it was told.
type peer struct {
	greeting string
	answer   func(line string) string // "": it closes the connection
	addr     string

	mu   sync.Mutex
	said []string // by clients
}

// start serves until the test ends.
func (p *peer) start(t *testing.T) *peer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.addr = l.Addr().String()
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(conn)
		}
	}()
	return p
}

func (p *peer) serve(conn net.Conn) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(conn, p.greeting+"\r\n")
	for in := bufio.NewReader(conn); ; {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSuffix(line, "\r\n")
		p.mu.Lock()
		p.said = append(p.said, line)
		p.mu.Unlock()
		answer := p.answer(line)
		switch answer {
		case "":
			return
		case silence:
		default:
			text, last := strings.CutPrefix(answer, hangUp)
			if io.WriteString(conn, text); last {
				return
			}
		}
	}
}

func (p *peer) heard(prefix string) (lines []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range p.said {
		if strings.HasPrefix(line, prefix) {
			lines = append(lines, line)
		}
	}
	return lines
}

// smtpPeer answers each command with the line that begins with it, or with 250.
func smtpPeer(t *testing.T, greeting string, answers ...string) *peer {
	t.Helper()
	content := false
	p := &peer{greeting: greeting}
	p.answer = func(line string) string {
		if content {
			if content = line != "."; content {
				return silence
			}
			line = "DOT"
		}
		verb, _, _ := strings.Cut(line, " ")
		for _, a := range answers {
			if strings.HasPrefix(line, strings.SplitN(a, "=", 2)[0]) {
				if a = strings.SplitN(a, "=", 2)[1]; a == "" {
					return ""
				}
				return a + "\r\n"
			}
		}
		switch verb {
		case "DATA":
			content = true
			return "354 go\r\n"
		case "QUIT":
			return "221 bye\r\n"
		}
		return "250 ok\r\n"
	}
	return p.start(t)
}

// network is a Dial by which addresses lead to peers; others answer nothing.
func network(peers map[string]*peer) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, proto, address string) (net.Conn, error) {
		if p, ok := peers[address]; ok {
			return (&net.Dialer{}).DialContext(ctx, proto, p.addr)
		}
		return nil, fmt.Errorf("dial %s: connection refused", address)
	}
}

func address(host string) Server {
	ap := netip.MustParseAddrPort(host)
	return Server{Host: ap.Addr().String(), Port: ap.Port(), Security: Plain}
}
