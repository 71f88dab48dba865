package relay

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// network gives each dialled connection to the script of its host.
type network struct {
	t       *testing.T
	mu      sync.Mutex
	hosts   []section // not connected to yet
	running sync.WaitGroup
	content string // as it must arrive
	tls     *tls.Config
}

func (n *network) next(addr string) (section, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, h := range n.hosts {
		if h.name == "host "+strings.TrimSuffix(addr, ":25") {
			n.hosts = append(n.hosts[:i:i], n.hosts[i+1:]...)
			return h, true
		}
	}
	return section{}, false
}

func (n *network) dial(ctx context.Context, _, address string) (net.Conn, error) {
	host, ok := n.next(address)
	switch {
	case !ok:
		n.t.Errorf("an unexpected connection to %s", address)
		return nil, errors.New("no such host in the script")
	case host.lines[0] == "REFUSED":
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	case host.lines[0] == "SILENT":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	near, far := net.Pipe()
	n.running.Go(func() {
		p := &peer{t: n.t, name: host.name, conn: far, in: bufio.NewReader(far), want: n.content, tls: n.tls}
		defer func() { p.conn.Close() }()
		for _, line := range host.lines {
			if !p.play(line) {
				return
			}
		}
	})
	return near, nil
}

// peer plays the server's part of a script.
type peer struct {
	t    *testing.T
	name string
	conn net.Conn
	in   *bufio.Reader
	want string
	tls  *tls.Config
}

func (p *peer) play(line string) bool {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "S:":
		if _, err := io.WriteString(p.conn, rest+"\r\n"); err != nil {
			p.t.Errorf("%s: %q could not be sent: %v", p.name, rest, err)
			return false
		}
	case "R:":
		if _, err := io.WriteString(p.conn, strings.ReplaceAll(rest, "|", "\r\n")+"\r\n"); err != nil {
			p.t.Errorf("%s: %v", p.name, err)
			return false
		}
	case "C:":
		got, err := p.in.ReadString('\n')
		if got = strings.TrimSuffix(got, "\r\n"); err != nil || !matches(rest, got) {
			p.t.Errorf("%s: got %q (%v), want %q", p.name, got, err, rest)
			return false
		}
	case "M:":
		return p.content()
	case "T:":
		d, err := time.ParseDuration(rest)
		if err != nil {
			p.t.Error(err)
		}
		time.Sleep(d)
	case "TLS":
		server := tls.Server(p.conn, p.tls)
		if err := server.Handshake(); err != nil {
			p.t.Errorf("%s: handshake: %v", p.name, err)
			return false
		}
		p.conn, p.in = server, bufio.NewReader(server)
	case "BADTLS":
		if tls.Server(p.conn, p.tls).Handshake() == nil {
			p.t.Errorf("%s: the handshake succeeded", p.name)
		}
		return false
	case "CERT":
		demanding := p.tls.Clone()
		demanding.ClientAuth = tls.RequireAnyClientCert
		if tls.Server(p.conn, demanding).Handshake() == nil {
			p.t.Errorf("%s: the handshake succeeded without a certificate", p.name)
		}
		return false
	case "GARBAGE":
		p.conn.Read(make([]byte, 4096))
		io.WriteString(p.conn, "this is no handshake\r\n")
		return false
	case "CLOSE":
		return false
	case "END":
		if rest, err := io.ReadAll(p.in); len(rest) > 0 || err != nil {
			p.t.Errorf("%s: got %q (%v), want nothing more", p.name, rest, err)
		}
		return false
	default:
		p.t.Errorf("%s: unknown line %q", p.name, line)
	}
	return true
}

func (p *peer) content() bool {
	var got strings.Builder
	for {
		line, err := p.in.ReadString('\n')
		if err != nil {
			p.t.Errorf("%s: content: %v after %q", p.name, err, got.String())
			return false
		}
		if line == ".\r\n" {
			break
		}
		got.WriteString(line)
	}
	if got.String() != p.want {
		p.t.Errorf("%s: content arrived as %q, want %q", p.name, got.String(), p.want)
	}
	return true
}
