package main

import (
	"context"
	"fmt"
	"strings"
)

// scenario is one kind of load.
type scenario struct {
	title    string
	sessions int // SMTP sessions at a time
	size     int // octets of a message
	tls      bool
	single   bool   // one message a connection
	to       string // the recipient of all messages; "": the mailboxes in turn
	mixed    bool   // to mailboxes, the sink, those that it refuses or puts off, and to a host that is dead
}

// recipient is whom message i goes to.
func (s scenario) recipient(i int) string {
	switch {
	case s.to != "":
		return s.to
	case s.mixed:
		return mixture(i)
	}
	return mailbox(i % mailboxes)
}

// trial is a scenario with how many messages each server gets, so that each takes some seconds.
type trial struct {
	scenario
	postfix, waybill int
}

// trials are the loads beside the main one. Their titles are rows of the table.
var trials = []trial{
	{scenario{title: "1 session", sessions: 1, size: 8192}, 300, 3000},
	{scenario{title: "20 sessions, TLS", sessions: 20, size: 8192, tls: true}, 1500, 20000},
	{scenario{title: "20 sessions, one message a connection", sessions: 20, size: 8192, single: true}, 1500, 15000},
	{scenario{title: "100 sessions", sessions: 100, size: 8192}, 2000, 30000},
	{scenario{title: "1,000 sessions", sessions: 1000, size: 8192}, 3000, 30000},
	{scenario{title: "20 sessions, 100 KiB", sessions: 20, size: 100 << 10}, 600, 5000},
	{scenario{title: "20 sessions, 5 MiB", sessions: 20, size: 5 << 20}, 60, 200},
}

func (t trial) messages(s server) int {
	if s.name() == namePostfix {
		return t.postfix
	}
	return t.waybill
}

// runTrials measures each trial once on each server and returns the table.
func runTrials(ctx context.Context, o options, servers []server) (string, error) {
	var b strings.Builder
	b.WriteString("| delivered messages/s (p99 of the reply to the dot) |")
	for _, s := range servers {
		fmt.Fprintf(&b, " %s |", s.name())
	}
	b.WriteString(timesHead(servers) + "\n|---|" + strings.Repeat("---:|", len(servers)) + timesRule(servers) + "\n")
	for _, t := range trials {
		o.scenario = t.scenario
		fmt.Fprintf(&b, "| %s |", t.title)
		var rates []float64
		for _, s := range servers {
			m, err := measure(ctx, o, s, t.messages(s))
			if err != nil {
				return "", fmt.Errorf("%s, %s: %w", s.name(), t.title, err)
			}
			progress("%s, %s: %s", t.title, s.name(), m)
			fmt.Fprintf(&b, " %s (%.0f ms) |", rate(m.delivered), m.p99.Seconds()*1000)
			rates = append(rates, m.delivered)
		}
		if len(rates) > 1 {
			fmt.Fprintf(&b, " %.1f |", rates[len(rates)-1]/rates[0])
		}
		b.WriteByte('\n')
	}
	return b.String(), nil
}

// rate is a number of messages a second with as many digits as it bears.
func rate(r float64) string {
	if r < 100 {
		return fmt.Sprintf("%.1f", r)
	}
	return fmt.Sprintf("%.0f", r)
}

func timesHead(servers []server) string {
	if len(servers) > 1 {
		return " times better |"
	}
	return ""
}

func timesRule(servers []server) string {
	if len(servers) > 1 {
		return "---:|"
	}
	return ""
}
