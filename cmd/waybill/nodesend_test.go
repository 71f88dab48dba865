package main

import (
	"fmt"
	"syscall"
	"testing"
	"time"
)

// inAHurry is how long a node may take to end after a second signal: 5 seconds, and more on a busy machine.
const inAHurry = 30 * time.Second

// TestNodesEndWithoutDatabase: a node that is told to end, and then to hurry, does so whatever has become of its database.
func TestNodesEndWithoutDatabase(t *testing.T) {
	t.Parallel()
	c := onSharedDatabase(t, 3, settings{})
	load := c.newSenders()
	c.out.close("wait")
	for i, m := range c.all {
		load.handInAt(m, 3, fmt.Sprintf("wait-%d", i), toSink)
	}
	for i, state := range []lineState{lineCut, lineSilent, lineDeaf} {
		c.all[i].line(state)
		load.Go(func() { (&courier{s: load, at: i}).handIn(fmt.Sprintf("alice-%d", i), toAlice("")) })
	}
	time.Sleep(2 * time.Second) // so that attempts come to be under way, which cannot be recorded
	ended := make(chan *member, len(c.all))
	for _, m := range c.all {
		m.process.Process.Signal(syscall.SIGTERM)
		await(t, m.log, "stopping")
		go func() { m.process.Wait(); ended <- m }()
	}
	began := time.Now()
	for left := len(c.all); left > 0; {
		for _, m := range c.all { // the first ones may come before anybody listens for them
			m.process.Process.Signal(syscall.SIGTERM)
		}
		select {
		case m := <-ended:
			left--
			t.Logf("%s ended after %s", m.name, time.Since(began).Round(10*time.Millisecond))
		case <-time.After(100 * time.Millisecond):
			if time.Since(began) > inAHurry {
				t.Fatalf("%d nodes do not end", left)
			}
		}
	}
	load.end()
}
