package main

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// holding is another mail server, which stops in the middle of the first transaction with each of its recipients until it is let
// go on, and counts the contents that came to their end. A recipient whose name begins with "early" it keeps from sending
// content, others in the middle of that.
type holding struct {
	address string
	offers  string // of EHLO
	goOn    chan struct{}

	mu     sync.Mutex
	held   map[string]bool // recipients whose first transaction was stopped
	under  int             // of those transactions, how many have not ended
	ends   map[string]int  // contents that came to their end, by recipient
	belate map[string]int  // of those, by transactions that were stopped
}

// heldAfter is how much of a content comes before it is stopped; what the network's buffers hold comes besides.
const heldAfter = 64 << 10

// newHolding runs the server until the test ends.
func newHolding(t *testing.T, offers string) *holding {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &holding{
		address: listener.Addr().String(), offers: offers, goOn: make(chan struct{}),
		held: map[string]bool{}, ends: map[string]int{}, belate: map[string]int{},
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conn.(*net.TCPConn).SetReadBuffer(heldAfter)
			go h.serve(conn)
		}
	}()
	t.Cleanup(func() { listener.Close() })
	return h
}

// state returns how often each content came to its end, and how often on a connection that was stopped; and how many of those
// are still there.
func (h *holding) state() (ends, belate map[string]int, under int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.ends), maps.Clone(h.belate), h.under
}

// hold stops a transaction if it is the first one with its recipient.
func (h *holding) hold(recipient string) (stopped bool) {
	h.mu.Lock()
	stopped = !h.held[recipient]
	h.held[recipient] = true
	if stopped {
		h.under++
	}
	h.mu.Unlock()
	if stopped {
		<-h.goOn
	}
	return stopped
}

func (h *holding) serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	recipient, stopped := "", false
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if stopped {
			h.under--
		}
	}()
	stop := func(early bool) {
		if strings.HasPrefix(recipient, "early") == early {
			stopped = h.hold(recipient) || stopped
		}
	}
	say := func(line string) { io.WriteString(conn, line+"\r\n") }
	say("220 holding.test")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch strings.ToUpper(verb) {
		case "EHLO":
			say("250-holding.test\r\n250 " + h.offers)
		case "RCPT":
			recipient, _, _ = strings.Cut(strings.TrimPrefix(strings.ToUpper(rest), "TO:<"), "@")
			recipient = strings.ToLower(recipient)
			say("250 2.1.5 ok")
		case "DATA":
			stop(true)
			say("354 go on")
			err = h.data(in, func() { stop(false) })
		case "BDAT":
			err = h.chunk(in, rest, func() { stop(false) })
		case "QUIT":
			say("221 2.0.0 bye")
			return
		default:
			say("250 2.0.0 ok")
		}
		if err != nil {
			return
		}
		if verb == "DATA" || verb == "BDAT" {
			h.ended(recipient, stopped)
			say("250 2.0.0 taken")
		}
	}
}

func (h *holding) ended(recipient string, stopped bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ends[recipient]++
	if stopped {
		h.belate[recipient]++
	}
}

// data reads until the dot, and calls stop on the way.
func (h *holding) data(in *bufio.Reader, stop func()) error {
	for n := 0; ; {
		line, err := in.ReadString('\n')
		if err != nil || line == ".\r\n" {
			return err
		}
		if before := n; before < heldAfter && n+len(line) >= heldAfter {
			stop()
		}
		n += len(line)
	}
}

// chunk reads the one chunk that is the whole content.
func (h *holding) chunk(in *bufio.Reader, args string, stop func()) error {
	text, last, _ := strings.Cut(args, " ")
	size, err := strconv.ParseInt(text, 10, 64)
	if err != nil || last != "LAST" {
		return fmt.Errorf("BDAT %s", args)
	}
	if _, err := io.CopyN(io.Discard, in, min(size, heldAfter)); err != nil {
		return err
	}
	stop()
	_, err = io.CopyN(io.Discard, in, size-min(size, heldAfter))
	return err
}
