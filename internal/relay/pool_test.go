package relay

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"waybill/internal/dns/dnstest"
	"waybill/internal/mail"
	"waybill/internal/spool"
	"waybill/internal/store/bodies"
	"waybill/internal/trail"
)

// hosts plays several hosts, each with any number of connections.
type hosts struct {
	t     *testing.T
	serve func(conn net.Conn, n int64) // the n-th connection, from 1
	down  map[string]bool              // address:port that refuses
	mu    sync.Mutex
	dials []string
	conns atomic.Int64
}

func (h *hosts) relay(zone string) *Relay {
	return New(Options{
		Hostname: "mail.a.test", Resolver: dnstest.InMemory(h.t, zone),
		Dial: func(_ context.Context, _, address string) (net.Conn, error) {
			h.mu.Lock()
			h.dials = append(h.dials, address)
			h.mu.Unlock()
			if h.down[address] {
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
			}
			near, far := net.Pipe()
			n := h.conns.Add(1)
			go func() { defer far.Close(); h.serve(far, n) }()
			return near, nil
		},
		Content: func(context.Context, spool.Attempt) (Content, error) {
			return contentReader{bytes.NewReader([]byte(content))}, nil
		},
	})
}

// take plays a host that takes up to limit messages, with some words before each reply to the dot.
func take(conn net.Conn, limit int, beforeReply func()) {
	in := bufio.NewReader(conn)
	fmt.Fprint(conn, "220 x\r\n")
	for taken := 0; ; {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		switch word, _, _ := strings.Cut(strings.TrimSpace(line), " "); word {
		case "EHLO":
			fmt.Fprint(conn, "250 x\r\n")
		case "DATA":
			fmt.Fprint(conn, "354 go\r\n")
			for line != ".\r\n" {
				if line, err = in.ReadString('\n'); err != nil {
					return
				}
			}
			beforeReply()
			fmt.Fprint(conn, "250 taken\r\n")
			if taken++; taken == limit {
				return
			}
		case "QUIT":
			fmt.Fprint(conn, "221 bye\r\n")
			return
		default:
			fmt.Fprint(conn, "250 ok\r\n")
		}
	}
}

func letter(to string) spool.Attempt {
	a := mail.Address{Local: "you", Domain: to}
	item := &spool.Item{ID: mail.NewIDs(1).New(time.Now()), ReversePath: mail.Address{Local: "me", Domain: "a.test"},
		Body: bodies.Body{Size: int64(len(content))}, Recipients: []spool.Recipient{{ForwardPath: a}}}
	return spool.Attempt{Item: item, Number: 1, NextHop: to, Recipients: []int{0}}
}

const oneMX = "b.test. 60 IN MX 10 mx.b.test.\nmx.b.test. 60 IN A 192.0.2.1\n"

func delivered(t *testing.T, r *Relay) trail.Event {
	t.Helper()
	outcomes, events := r.Deliver(t.Context(), letter("b.test"), nil)
	if !outcomes[0].Status.Success() {
		t.Fatalf("not delivered: %s", outcomes[0].Status)
	}
	return events[len(events)-1]
}

// One message after the other goes over one connection; each waybill has its own part of the dialogue. Once nothing comes
// any more the connection is ended, and one that is too old is not used at all.
func TestConnectionIsUsedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hosts{t: t, serve: func(conn net.Conn, _ int64) { take(conn, 1000, func() {}) }}
		r := h.relay(oneMX)
		for i := range 150 {
			ev := delivered(t, r)
			first := ev.Dialogue[0].Text
			if greeted := strings.HasPrefix(first, "220"); greeted != (i == 0 || i == 1 || i == 101) || !strings.Contains(fmt.Sprint(ev.Facts), "open since") == !greeted {
				t.Fatalf("message %d: dialogue begins with %q, facts %v", i, first, ev.Facts)
			}
			time.Sleep(keepTime / 2)
		}
		if n := h.conns.Load(); n != 3 { // the first ended with QUIT: nobody knew of the second message
			t.Errorf("%d connections, want 3: one alone, and %d messages on each further one", n, maxPerHost)
		}
		time.Sleep(keepTime)
		synctest.Wait()
		r.pool.mu.Lock()
		if len(r.pool.places) != 0 || r.pool.kept != 0 {
			t.Errorf("%d places, %d connections are remembered", len(r.pool.places), r.pool.kept)
		}
		r.pool.mu.Unlock()
		delivered(t, r)
		if n := h.conns.Load(); n != 4 {
			t.Errorf("%d connections after a pause, want 4", n)
		}
		r.Close(t.Context())
	})
}

// A host that closed the connection meanwhile, or says 421, gets the message on a new one in the same attempt.
func TestStaleConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hosts{t: t, serve: func(conn net.Conn, n int64) {
			take(conn, 1, func() {})
			if n%2 == 0 {
				return
			}
			fmt.Fprint(conn, "421 timeout\r\n")
		}}
		r := h.relay(oneMX)
		for i := range 6 {
			ev := delivered(t, r)
			if !strings.HasPrefix(ev.Dialogue[0].Text, "220") {
				t.Errorf("message %d: dialogue begins with %q", i, ev.Dialogue[0].Text)
			}
		}
		if n := h.conns.Load(); n != 6 {
			t.Errorf("%d connections, want 6", n)
		}
		r.Close(t.Context())
	})
}

// A connection that broke after the dot is no stale one: the message may have been taken, and is not sent again at once.
func TestLostAfterTheDotOnAUsedConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hosts{t: t}
		h.serve = func(conn net.Conn, n int64) {
			messages := 0
			take(conn, 1000, func() {
				if messages++; n == 2 && messages == 2 {
					conn.Close()
				}
			})
		}
		r := h.relay(oneMX)
		delivered(t, r)
		delivered(t, r)
		outcomes, _ := r.Deliver(t.Context(), letter("b.test"), nil)
		if s := outcomes[0].Status; !s.Temporary() || !strings.Contains(s.Text, "after the whole message was sent") || h.conns.Load() != 2 {
			t.Errorf("%s; %d connections", s, h.conns.Load())
		}
		r.Close(t.Context())
	})
}

// An address that did not answer is tried after the others for a while: that delays nobody, and replaces no attempt.
func TestFailedAddressComesLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hosts{t: t, serve: func(conn net.Conn, _ int64) { take(conn, 1000, func() {}) },
			down: map[string]bool{"192.0.2.1:25": true}}
		r := h.relay("b.test. 60 IN MX 10 mx1.b.test.\nb.test. 60 IN MX 20 mx2.b.test.\nmx1.b.test. 60 IN A 192.0.2.1\nmx2.b.test. 60 IN A 192.0.2.2\n")
		dialled := func() string {
			h.dials = nil
			delivered(t, r)
			r.pool.close(t.Context())
			return strings.Join(h.dials, " ")
		}
		if got := dialled(); got != "192.0.2.1:25 192.0.2.2:25" {
			t.Errorf("first: %s", got)
		}
		if got := dialled(); got != "192.0.2.2:25" {
			t.Errorf("then: %s", got)
		}
		h.down["192.0.2.2:25"] = true
		h.down["192.0.2.1:25"] = false
		if got := dialled(); got != "192.0.2.2:25 192.0.2.1:25" {
			t.Errorf("with the other one down: %s", got)
		}
		h.down["192.0.2.1:25"] = true
		h.dials = nil
		if outcomes, _ := r.Deliver(t.Context(), letter("b.test"), nil); !outcomes[0].Status.Temporary() || len(h.dials) != 2 {
			t.Errorf("with both down: %s after %v", outcomes[0].Status, h.dials)
		}
		h.down = nil
		time.Sleep(failedFor + time.Second)
		if got := dialled(); got != "192.0.2.1:25" {
			t.Errorf("after a while: %s", got)
		}
	})
}

// The server is a backup MX host, found by its address, and the better one, which did not answer a while ago, still
// decides: Plan says so too.
func TestFailedAddressBeforeSelf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hosts{t: t, down: map[string]bool{"192.0.2.1:25": true}}
		r := h.relay("b.test. 60 IN MX 10 mx1.b.test.\nb.test. 60 IN MX 20 mx2.b.test.\nmx1.b.test. 60 IN A 192.0.2.1\nmx2.b.test. 60 IN A 192.0.2.99\n")
		r.IsSelf = func(to netip.AddrPort) bool { return to.Addr() == netip.MustParseAddr("192.0.2.99") }
		for range 3 {
			outcomes, _ := r.Deliver(t.Context(), letter("b.test"), nil)
			if s := outcomes[0].Status; s.Code != 451 || s.Enhanced != noAnswer.Enhanced {
				t.Errorf("%s", s)
			}
		}
		if got := strings.Join(h.dials, " "); got != "192.0.2.1:25 192.0.2.1:25 192.0.2.1:25" {
			t.Errorf("dialled %s", got)
		}
		plan := r.Plan(t.Context(), "b.test")
		if want := "mx1.b.test [192.0.2.1], which did not answer a while ago and comes last"; plan.Status.Code != 0 || len(plan.Hosts) != 1 || plan.Hosts[0] != want {
			t.Errorf("plan: %+v", plan)
		}
	})
}

// A panic is the caller's to recover, wherever it happens.
func TestPanicIsTheCallers(t *testing.T) {
	t.Parallel()
	r := (&hosts{t: t}).relay(oneMX)
	r.Dial = func(context.Context, string, string) (net.Conn, error) { panic("oh no") }
	defer func() {
		if p := fmt.Sprint(recover()); !strings.HasPrefix(p, "oh no\n") || !strings.Contains(p, "TestPanicIsTheCallers") {
			t.Errorf("recovered %s", p)
		}
	}()
	r.Deliver(t.Context(), letter("b.test"), nil)
}

// Plan goes the way of Deliver, and no further.
func TestPlanIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		zone := "b.test. 60 IN MX 10 mx.b.test.\n"
		h := &hosts{t: t, down: map[string]bool{}}
		for i := range maxTries + 3 {
			zone += fmt.Sprintf("mx.b.test. 60 IN A 192.0.2.%d\n", i+1)
			h.down[fmt.Sprintf("192.0.2.%d:25", i+1)] = true
		}
		r := h.relay(zone)
		planned := r.Plan(t.Context(), "b.test").Hosts
		r.Deliver(t.Context(), letter("b.test"), nil)
		if len(planned) != maxTries || len(h.dials) != maxTries {
			t.Fatalf("%d hosts are planned, %d were tried", len(planned), len(h.dials))
		}
		for i, host := range planned {
			if want := fmt.Sprintf("mx.b.test [%s]", strings.TrimSuffix(h.dials[i], ":25")); host != want {
				t.Errorf("host %d: planned %s, tried %s", i, host, want)
			}
		}
	})
}

func TestMemoryOfFailuresIsBounded(t *testing.T) {
	t.Parallel()
	m := newMemory()
	addr := netip.MustParseAddr("10.0.0.0")
	for range maxRecent + 100 {
		addr = addr.Next()
		m.note(netip.AddrPortFrom(addr, 25), false)
	}
	if len(m.failed.until) > maxRecent || !m.hasFailed(netip.AddrPortFrom(addr, 25)) {
		t.Errorf("%d addresses", len(m.failed.until))
	}
}

// Messages under way at the same time each have a connection, and no more are kept than were used.
func TestConcurrentConnections(t *testing.T) {
	t.Parallel()
	h := &hosts{t: t}
	release := make(chan struct{})
	h.serve = func(conn net.Conn, _ int64) { take(conn, 1000, func() { <-release }) }
	r := h.relay(oneMX)
	errs := make(chan error, 8)
	for range cap(errs) {
		go func() {
			outcomes, _ := r.Deliver(context.Background(), letter("b.test"), nil)
			if !outcomes[0].Status.Success() {
				errs <- errors.New(outcomes[0].Status.String())
				return
			}
			errs <- nil
		}()
	}
	close(release)
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if kept := r.pool.kept; int64(kept) > h.conns.Load() {
		t.Errorf("%d connections are kept of %d", kept, h.conns.Load())
	}
	r.Close(t.Context())
	if r.pool.kept != 0 {
		t.Errorf("%d connections are left", r.pool.kept)
	}
}
