package main

import (
	"os"
	"strings"
	"testing"
	"time"
)

// TestNodesCutOff: one node's connections to the database are reset and refused, another one's fall silent, under load. Their peers
// are told to come again; the third takes over what they had in the queue; and when they are back they are nodes with other numbers.
func TestNodesCutOff(t *testing.T) {
	t.Parallel()
	c := onSharedDatabase(t, 3, settings{})
	refused, silent := c.all[0], c.all[1]
	c.all[2].lines[0].slow(20 * time.Millisecond) // and who has to do it all is far away
	load := c.load("c", 2)
	load.await(c, 30)
	ofRefused, ofSilent := c.leave(load, refused, "wait-refused"), c.leave(load, silent, "wait-silent")
	numbers := []uint16{ofRefused.number(load), ofSilent.number(load)}
	refused.line(lineCut)
	silent.line(lineDeaf) // so it may have locks in the database, which does not learn of its fate
	ofRefused.open()
	ofSilent.open()
	for _, m := range []*member{refused, silent} {
		began := time.Now()
		if reply := m.awaitReply(451, ""); reply != nil {
			t.Errorf("%s: %v", m.name, reply)
		}
		t.Logf("%s says 451 after %s", m.name, time.Since(began).Round(10*time.Millisecond))
	}
	silent.line(lineSilent)
	began := time.Now()
	ofRefused.taken()
	ofSilent.taken()
	time.Sleep(time.Until(began.Add(outage(t))))
	c.backAgain(load, numbers, refused, silent)
	load.end()
	c.all[2].lines[0].slow(0)
	load.check(c)
	for _, m := range c.all {
		m.expectFewLines()
	}
}

// backAgain opens the lines of nodes that were taken for dead, and wants them to work again under numbers that are new.
func (c *nodes) backAgain(load *senders, numbers []uint16, all ...*member) {
	c.t.Helper()
	for i, m := range all {
		m.line(lineOpen)
		back := c.until(m.name+" joins anew", takeoverTime, func() bool { return strings.Contains(m.log.String(), "it joins them anew") })
		if reply := m.awaitReply(250, ""); reply != nil {
			c.t.Errorf("%s: %v", m.name, reply)
		}
		name := "away-back-" + strings.ReplaceAll(m.name, " ", "")
		names := load.handInAt(m, 3, name, toSink)
		c.t.Logf("%s is back after %s", m.name, back.Round(10*time.Millisecond))
		if now := load.numberOf(name + "-0"); now == numbers[i] {
			c.t.Errorf("%s is node %d as before", m.name, now)
		}
		c.awaitThere("the sink", names, c.out.count)
	}
}

// outage is how long the database is out of reach: until another node has taken over, or as long as WAYBILL_OUTAGE says.
func outage(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("WAYBILL_OUTAGE")
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// number is that of the node that the mail was left by.
func (e *estate) number(load *senders) uint16 { return load.numberOf(e.prefix + "-0") }

func (s *senders) numberOf(name string) uint16 { return s.idOf(name).Node() }

// mostLines is how many lines a node may write of a failure, or of several, beside those that name a message or session that suffered.
const mostLines = 20

// expectFewLines wants a failure told once, and no flood about what follows from it.
func (m *member) expectFewLines() {
	m.t.Helper()
	if failed, back := m.count("store failed"), m.count("store answers again"); failed != back {
		m.t.Errorf("%s: %d lines of failure, %d of recovery", m.name, failed, back)
	}
	lines := 0
	for l := range strings.Lines(m.log.String()) {
		if !strings.Contains(l, " level=INFO ") && !strings.Contains(l, " message=") && !strings.Contains(l, " session=") {
			lines++
		}
	}
	if lines > mostLines {
		m.t.Errorf("%s: too many:\n%s", m.name, m.complaints())
	}
}
