package main

import (
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

// line is the network between a node and a database: TCP connections that a test can cut, silence and delay.
type line struct {
	listener net.Listener
	to       string

	mu      sync.Mutex
	changed *sync.Cond
	state   lineState
	delay   time.Duration // of what passes
	ends    map[*net.TCPConn]struct{}
	running sync.WaitGroup
}

type lineState int

const (
	lineOpen   lineState = iota
	lineSilent           // nothing passes, nobody is told; what was sent arrives when the line is open again
	lineDeaf             // so it is with what the database says
	lineCut              // every connection is reset, and new ones too
)

// newLine makes a line to that address, which ends with the test.
func newLine(t *testing.T, to string) *line {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{listener: listener, to: to, ends: map[*net.TCPConn]struct{}{}}
	l.changed = sync.NewCond(&l.mu)
	l.running.Go(l.accept)
	t.Cleanup(func() {
		listener.Close()
		l.set(lineCut)
		l.running.Wait()
	})
	return l
}

func (l *line) address() string { return l.listener.Addr().String() }

func (l *line) accept() {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.running.Go(func() { l.join(near.(*net.TCPConn)) })
	}
}

// join connects one connection through.
func (l *line) join(near *net.TCPConn) {
	if !l.keep(near) {
		return
	}
	defer l.end(near)
	if !l.passes(lineSilent) {
		return
	}
	conn, err := net.Dial("tcp", l.to)
	if err != nil {
		return
	}
	far := conn.(*net.TCPConn)
	if !l.keep(far) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { l.carry(far, near, lineSilent) })
	both.Go(func() { l.carry(near, far, lineSilent, lineDeaf) })
	both.Wait()
}

// keep notes an end, or resets it where the line is cut.
func (l *line) keep(end *net.TCPConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state == lineCut {
		reset(end)
		return false
	}
	l.ends[end] = struct{}{}
	return true
}

func (l *line) end(end *net.TCPConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.ends, end)
	end.Close()
}

func reset(end *net.TCPConn) {
	end.SetLinger(0)
	end.Close()
}

// carry copies what comes, in one direction, but not in those states, and then ends both.
func (l *line) carry(to, from *net.TCPConn, not ...lineState) {
	defer l.end(to)
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if !l.passes(not...) {
			return
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// passes waits as long as the line is in such a state, and says whether it is not cut then.
func (l *line) passes(not ...lineState) bool {
	l.mu.Lock()
	for slices.Contains(not, l.state) {
		l.changed.Wait()
	}
	open, delay := l.state != lineCut, l.delay
	l.mu.Unlock()
	time.Sleep(delay)
	return open
}

// set changes what becomes of everything on the line.
func (l *line) set(state lineState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state = state
	l.changed.Broadcast()
	if state == lineCut {
		for end := range l.ends {
			reset(end)
		}
		clear(l.ends)
	}
}

// slow delays whatever passes.
func (l *line) slow(by time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay = by
}
