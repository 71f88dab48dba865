package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// nodesOptions are the flags of the figure nodes.
type nodesOptions struct {
	messages    int    // in a round
	stored      string // numbers of messages
	takeovers   int
	engineTests string // program of the engine's tests; "": its commits are not measured
}

// nodesSessions is how many SMTP sessions there are in all of the figure.
const nodesSessions = 64

// mostNodes is the largest number of nodes on one database.
const mostNodes = 3

// What is aimed at, with everything on a machine of two cores.
const (
	wantAccepted = 2000.0 // messages a second by one node
	wantOfBare   = 70.0   // percent of what a bare writer commits
	wantTakeover = 30 * time.Second
)

// nodesFigure measures nodes of waybill on PostgreSQL, beside the servers that it is given: their rates, what a message costs the
// database, the takeover of a dead node's mail, and what stored mail costs.
func nodesFigure(ctx context.Context, o options, servers []server) (string, error) {
	w, isThere := waybillOf(servers)
	programs := findPostgres()
	if !isThere || programs == "" {
		progress("nodes: left out, it needs waybill and PostgreSQL")
		return "", nil
	}
	if _, err := increasing(o.nodes.stored); err != nil { // not only when all else is measured
		return "", err
	}
	d, err := newDatabases(ctx, o, w, programs)
	if err != nil {
		return "", err
	}
	defer d.remove()
	o.scenario = scenario{sessions: nodesSessions, size: 8192}
	rates, accepted, err := rateTable(ctx, o, entrants(o, servers, d, w))
	if err != nil {
		return "", err
	}
	commits, err := measureCommits(ctx, o)
	if err != nil {
		return "", err
	}
	traffic, err := trafficTable(ctx, o, w, d.alone)
	if err != nil {
		return "", err
	}
	takeovers, err := measureTakeovers(ctx, o, w, d.alone)
	if err != nil {
		return "", err
	}
	stored, err := storedTable(ctx, o, w, d.alone)
	if err != nil {
		return "", err
	}
	return strings.Join([]string{rates, goalTable(accepted, commits, takeovers), traffic, stored}, "\n"), nil
}

func waybillOf(servers []server) (waybill, bool) {
	for _, s := range servers {
		if w, ok := s.(waybill); ok {
			return w, true
		}
	}
	return waybill{}, false
}

// entrant is an arrangement whose rates are measured.
type entrant struct {
	server
	title    string
	messages int // in a round
	rounds   series
}

// entrants are the servers and then the nodes on PostgreSQL.
func entrants(o options, servers []server, d *databases, w waybill) (all []*entrant) {
	for _, s := range servers {
		title := s.name()
		if title == nameWaybill {
			title += ", embedded store"
		}
		all = append(all, &entrant{server: s, title: title, messages: o.messages[s.name()]})
	}
	for _, db := range []*database{d.alone, d.replicated} {
		for n := 1; n <= mostNodes; n++ {
			c := &cluster{waybill: w, title: clusterTitle(n, db.standby != nil), nodes: n, db: db}
			all = append(all, &entrant{server: c, title: c.title, messages: o.nodes.messages})
		}
	}
	return all
}

func clusterTitle(nodes int, replicated bool) string {
	title := fmt.Sprintf("waybill, %d nodes on PostgreSQL", nodes)
	if nodes == 1 {
		title = oneNode
	}
	if replicated {
		title += " with a synchronous standby"
	}
	return title
}

// oneNode is the arrangement that has a goal.
const oneNode = "waybill, 1 node on PostgreSQL"

// rateColumn is a column of the table of rates.
type rateColumn struct {
	title, format string
	value         func(measurement) float64
}

var rateColumns = []rateColumn{
	{"accepted/s", "%.0f", func(m measurement) float64 { return m.accepted }},
	{"**delivered/s**", "%.0f", func(m measurement) float64 { return m.delivered }},
	{"reply to the dot, p50, ms", "%.1f", func(m measurement) float64 { return millis(m.p50) }},
	{"p99, ms", "%.1f", func(m measurement) float64 { return millis(m.p99) }},
	{"CPU s per 1,000", "%.2f", func(m measurement) float64 { return m.cpu }},
	{"of it PostgreSQL", "%.2f", func(m measurement) float64 { return m.database }},
	{"generator besides", "%.2f", func(m measurement) float64 { return m.generator }},
	{"KiB written per message", "%.1f", func(m measurement) float64 { return m.written / 1024 }},
}

// rateTable measures the entrants in turn, some rounds, and returns the table and what one node accepts a second.
func rateTable(ctx context.Context, o options, all []*entrant) (table string, accepted []float64, err error) {
	for round := 1; round <= o.rounds; round++ {
		for _, e := range all {
			m, err := measure(ctx, o, e.server, e.messages)
			if err != nil {
				return "", nil, fmt.Errorf("%s: %w", e.title, err)
			}
			progress("round %d of %d, %s: %s", round, o.rounds, e.title, m)
			e.rounds.rounds = append(e.rounds.rounds, m)
			if e.title == oneNode {
				accepted = append(accepted, m.accepted)
			}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Several nodes: messages of %d octets over %d SMTP sessions in all, the sessions spread over the nodes; %s. Median of %d alternating rounds; load of the machine at the end: %s.\n\n|",
		o.size, o.sessions, databaseVersion(), o.rounds, machineLoad())
	for _, c := range rateColumns {
		b.WriteString(" | " + c.title)
	}
	b.WriteString(" |\n|---|" + strings.Repeat("---:|", len(rateColumns)) + "\n")
	for _, e := range all {
		fmt.Fprintf(&b, "| %s |", e.title)
		for _, c := range rateColumns {
			fmt.Fprintf(&b, " "+c.format+" |", median(c.value)(&e.rounds))
		}
		b.WriteByte('\n')
	}
	return b.String(), accepted, nil
}

// goalTable compares with what was aimed at.
func goalTable(accepted []float64, c commits, takeovers []time.Duration) string {
	var b strings.Builder
	b.WriteString("| goal, everything on this machine | aimed at | measured: median (least–most) |\n|---|---:|---:|\n")
	fmt.Fprintf(&b, "| accepted messages/s, one node on PostgreSQL | ≥ %.0f | %s |\n", wantAccepted, spread(accepted, "%.0f"))
	if len(c.store) > 0 {
		fmt.Fprintf(&b, "| commits of the store as %% of those of a bare writer | ≥ %.0f %% | %s |\n", wantOfBare, spread(c.shares(), "%.0f %%"))
		fmt.Fprintf(&b, "| – the store, commits/s at %d callers | | %s |\n", nodesSessions, spread(c.store, "%.0f"))
		fmt.Fprintf(&b, "| – the bare writer | | %s |\n", spread(c.bare, "%.0f"))
	}
	if len(takeovers) > 0 {
		var seconds []float64
		for _, t := range takeovers {
			seconds = append(seconds, t.Seconds())
		}
		fmt.Fprintf(&b, "| kill -9 of a node, until another one first attempts its mail, s; %d times | ≤ %.0f | %s |\n",
			len(takeovers), wantTakeover.Seconds(), spread(seconds, "%.1f"))
	}
	return b.String()
}

// spread is the median of some values, with the least and the greatest.
func spread(values []float64, format string) string {
	if len(values) == 0 {
		return "–"
	}
	v := slices.Sorted(slices.Values(values))
	return fmt.Sprintf(format+" ("+format+"–"+format+")", v[len(v)/2], v[0], v[len(v)-1])
}

func databaseVersion() string {
	words := strings.Fields(output(filepath.Join(findPostgres(), "postgres"), "--version"))
	return "PostgreSQL " + words[min(2, len(words)-1)]
}

// machineLoad is the system's load average, which says whether others used the machine.
func machineLoad() string {
	b, _ := os.ReadFile("/proc/loadavg")
	words := strings.Fields(string(b))
	return strings.Join(words[:min(3, len(words))], " ")
}
