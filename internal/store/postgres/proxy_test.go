package postgres_test

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// proxy stands between the store and the server, and cuts.
type proxy struct {
	t      *testing.T
	l      net.Listener
	server string
	away   atomic.Bool  // nobody is let through any more
	deaf   sync.RWMutex // while it is locked no reply gets through

	mu    sync.Mutex
	conns map[net.Conn]net.Conn // the store's side and the server's
	// atCommit is asked, once, what to do with the COMMIT that comes next.
	atCommit func() cut
	silent   map[net.Conn]bool // to whom nothing is said any more
}

// cut is what happens to a COMMIT.
type cut int

const (
	pass       cut = iota
	losesReply     // it reaches the server, and the reply is lost with the connection
	losesIt        // it does not reach the server; the connection is lost on both sides
	strands        // it does not reach the server, which never hears that the connection is lost
	tears          // the server gets what comes before it, and then nothing more
)

func newProxy(t *testing.T, server string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, l: l, server: server, conns: map[net.Conn]net.Conn{}, silent: map[net.Conn]bool{}}
	go p.accept()
	t.Cleanup(func() { _ = l.Close(); p.cutAll() })
	return p
}

func (p *proxy) address() string { return p.l.Addr().String() }

func (p *proxy) accept() {
	for {
		near, err := p.l.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", p.server)
		if err == nil && p.away.Load() {
			_ = far.Close()
			err = net.ErrClosed
		}
		if err != nil {
			_ = near.Close()
			continue
		}
		p.mu.Lock()
		p.conns[near] = far
		p.mu.Unlock()
		go p.toServer(near, far)
		go p.toStore(near, far)
	}
}

// commitBegins is in the Bind message for the statement of that name, from the unnamed portal.
var commitBegins = []byte("\x00commit\x00")

func (p *proxy) toServer(near, far net.Conn) {
	buf := make([]byte, 1<<20)
	kept := 0 // octets of the last read, in which it may begin
	for torn := false; ; {
		n, err := near.Read(buf[kept:])
		if err != nil {
			p.drop(near)
			return
		}
		if torn {
			continue
		}
		what, fresh, seen := pass, buf[kept:kept+n], buf[:kept+n]
		at := bytes.Index(seen, commitBegins)
		if at >= 0 {
			what = p.decide()
		}
		switch what {
		case losesIt:
			p.drop(near)
			return
		case strands:
			p.mu.Lock()
			p.silent[near] = true
			p.mu.Unlock()
			_ = near.Close()
			return // far stays open: its end is not told
		case losesReply:
			p.mu.Lock()
			p.silent[near] = true
			p.mu.Unlock()
		case tears:
			fresh, torn = fresh[:max(0, at-kept)], true
		}
		if _, err := far.Write(fresh); err != nil {
			p.drop(near)
			return
		}
		if kept = min(len(seen), len(commitBegins)-1); at >= 0 {
			kept = 0
		}
		copy(buf, seen[len(seen)-kept:])
	}
}

func (p *proxy) decide() cut {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.atCommit == nil {
		return pass
	}
	what := p.atCommit()
	if what != pass {
		p.atCommit = nil
	}
	return what
}

func (p *proxy) next(what cut) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.atCommit = func() cut { return what }
}

// pending tells whether next still waits for its COMMIT.
func (p *proxy) pending() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.atCommit != nil
}

func (p *proxy) toStore(near, far net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := far.Read(buf)
		p.deaf.RLock()
		p.mu.Lock()
		silent := p.silent[near]
		p.mu.Unlock()
		p.deaf.RUnlock()
		if err != nil || silent { // the reply is there, so the server has done it
			p.drop(near)
			return
		}
		if _, err := near.Write(buf[:n]); err != nil {
			p.drop(near)
			return
		}
	}
}

func (p *proxy) drop(near net.Conn) {
	p.mu.Lock()
	far := p.conns[near]
	delete(p.conns, near)
	p.mu.Unlock()
	_ = near.Close()
	if far != nil {
		_ = far.Close()
	}
}

// cutAll cuts every connection.
func (p *proxy) cutAll() {
	p.mu.Lock()
	var all []net.Conn
	for near := range p.conns {
		all = append(all, near)
	}
	p.mu.Unlock()
	for _, near := range all {
		p.drop(near)
	}
}
