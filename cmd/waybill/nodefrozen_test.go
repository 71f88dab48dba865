package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"waybill/internal/mail"
	"waybill/internal/trail"
)

// TestNodeFrozen: a node sleeps for longer than its lease in the middle of handing mail to another server. Another node does it instead,
// and the one that wakes up neither ends what it was at nor records anything of it.
func TestNodeFrozen(t *testing.T) {
	t.Parallel()
	dots, chunks := newHolding(t, "SIZE"), newHolding(t, "CHUNKING")
	route := "[[route]]\ndomains = [%q]\nvia = [%q]\n"
	c := onSharedDatabase(t, 2, settings{routes: fmt.Sprintf(route+route, "dots.test", dots.address, "chunks.test", chunks.address)})
	load := c.load("f", 2)
	sleeper := c.all[0]
	ids := map[string]mail.ID{}
	for _, to := range []mail.Address{
		{Local: "early", Domain: "dots.test"}, {Local: "large", Domain: "dots.test"}, {Local: "large-too", Domain: "chunks.test"},
	} {
		ids[to.Local] = load.handInOne(sleeper, "held-"+to.Local, to)
	}
	c.until("transactions that were stopped", 20*time.Second, func() bool {
		_, _, underDots := dots.state()
		_, _, underChunks := chunks.state()
		return underDots+underChunks == len(ids)
	})
	began := time.Now()
	sleeper.freeze()
	all := func() (ends, belate, under int) {
		for _, h := range []*holding{dots, chunks} {
			e, b, u := h.state()
			ends, belate, under = ends+sum(e), belate+sum(b), under+u
		}
		return ends, belate, under
	}
	c.until("another node takes over", takeoverTime, func() bool { ends, _, _ := all(); return ends == len(ids) })
	t.Logf("taken over after %s", time.Since(began).Round(10*time.Millisecond))
	close(dots.goOn) // what is in the network's buffers arrives, and then it is the sleeper's turn at once
	close(chunks.goOn)
	sleeper.process.Process.Signal(syscall.SIGCONT)
	c.until("the sleeper joins anew", takeoverTime, func() bool { return strings.Contains(sleeper.log.String(), "it joins them anew") })
	c.until("it ends what it was at", takeoverTime, func() bool { _, _, under := all(); return under == 0 })
	if ends, belate, _ := all(); ends != len(ids) || belate != 0 {
		_, byDots, _ := dots.state()
		_, byChunks, _ := chunks.state()
		t.Errorf("%d contents came to their end, want %d; the node that was frozen ended %v %v", ends, len(ids), byDots, byChunks)
	}
	if reply := sleeper.awaitReply(250, ""); reply != nil {
		t.Error(reply)
	}
	load.handInAt(sleeper, 3, "away-awake", toSink)
	load.end()
	load.check(c)
	for local, id := range ids {
		c.hasOneOutcome(local, id)
	}
}

// freeze stops the server's process, until it gets a SIGCONT, and waits until all of it stands.
func (s *server) freeze() {
	s.t.Helper()
	if err := s.process.Process.Signal(syscall.SIGSTOP); err != nil {
		s.t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); !s.stands(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatal("it does not stop")
		}
	}
}

// stands says whether each thread of the server is stopped; only Linux tells.
func (s *server) stands() bool {
	s.t.Helper()
	if runtime.GOOS != "linux" {
		return true
	}
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", s.process.Process.Pid))
	if err != nil || len(threads) == 0 {
		s.t.Fatalf("%d has no threads: %v", s.process.Process.Pid, err)
	}
	for _, thread := range threads {
		stat, err := os.ReadFile(thread)
		if _, state, _ := strings.Cut(string(stat), ") "); err == nil && !strings.HasPrefix(state, "T ") {
			return false
		}
	}
	return true
}

// hasOneOutcome wants a message to have been delivered once, as its waybill tells it, by the same words on every node.
func (c *nodes) hasOneOutcome(name string, id mail.ID) {
	c.t.Helper()
	first := ""
	for _, m := range c.all {
		story, _, status := waybill(c.t, "", "explain", "--json", string(id), "--config", m.config)
		if first == "" {
			first = story
		}
		if status != 0 || story != first {
			c.t.Errorf("%s: another story at %s: %d\n%s", name, m.name, status, story)
		}
	}
	kinds := map[trail.Kind]int{}
	for in := json.NewDecoder(strings.NewReader(first)); in.More(); {
		var e trail.Event
		if err := in.Decode(&e); err != nil {
			c.t.Fatal(err)
		}
		kinds[e.Kind]++
	}
	if kinds[trail.Relayed] != 1 || kinds[trail.Done] != 1 || kinds[trail.Deferred] != 0 {
		c.t.Errorf("%s (%s) has %d deliveries and %d ends: %v\n%s", name, id, kinds[trail.Relayed], kinds[trail.Done], kinds, first)
	}
}
