package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// figure is a further measurement: what each server needs for it, or does in a second. It returns rows, which both servers
// have alike.
type figure struct {
	name    string
	measure func(ctx context.Context, o options, s server) ([]value, error)
	only    string // the one server that can be measured; "": all
	asked   bool   // measured only if it is named

	// tables measures what makes tables of its own, after the others; nil: measure is used.
	tables func(ctx context.Context, o options, servers []server) (string, error)
}

// value is a cell of the table.
type value struct {
	title  string
	amount float64
	unit   string
	higher bool // is better
	plain  bool // no ratio
}

func (v value) String() string {
	digits := 2
	switch {
	case v.amount >= 100:
		digits = 0
	case v.amount >= 10:
		digits = 1
	}
	return strings.TrimSpace(fmt.Sprintf("%.*f %s", digits, v.amount, v.unit))
}

var figures = []figure{
	{name: "relay", measure: relayFigure},
	{name: "pop3", measure: downloadFigure},
	{name: "latency", measure: latencyFigure},
	{name: "fanout", measure: fanoutFigure},
	{name: "bigbox", measure: bigboxFigure},
	{name: "deferred", measure: deferredFigure, only: nameWaybill},
	{name: "soak", measure: soakFigure, only: nameWaybill, asked: true},
	{name: "nodes", tables: nodesFigure},
}

// wanted says whether a figure is one of those that are named, by how they begin; without a name those that are not only
// measured when they are asked for.
func (f figure) wanted(names string) bool {
	if names == "" {
		return !f.asked
	}
	for name := range strings.SplitSeq(names, ",") {
		if name == f.name || name != "" && !f.asked && strings.HasPrefix(f.name, name) {
			return true
		}
	}
	return false
}

// checkNames says which of the names is none of a figure.
func checkNames(names string) error {
	for name := range strings.SplitSeq(names, ",") {
		if !slices.ContainsFunc(figures, func(f figure) bool { return f.wanted(name) }) {
			return fmt.Errorf("-figure %q: there is no such figure", name)
		}
	}
	return nil
}

// figureTime bounds one figure of one server.
const figureTime = 20 * time.Minute

// runFigures measures the further figures and returns their tables.
func runFigures(ctx context.Context, o options, servers []server) (string, error) {
	var all []string
	if slices.ContainsFunc(figures, func(f figure) bool { return f.measure != nil && f.wanted(o.figure) }) {
		table, err := compare(ctx, o, servers)
		if err != nil {
			return "", err
		}
		all = append(all, table)
	}
	for _, f := range figures {
		if f.tables == nil || !f.wanted(o.figure) {
			continue
		}
		tables, err := f.tables(ctx, o, servers)
		if err != nil {
			return "", fmt.Errorf("%s: %w", f.name, err)
		}
		all = append(all, tables)
	}
	return strings.Join(all, "\n"), nil
}

// compare measures the figures that all servers have alike on each of them, and returns the table.
func compare(ctx context.Context, o options, servers []server) (string, error) {
	var b strings.Builder
	b.WriteString("| |")
	for _, s := range servers {
		fmt.Fprintf(&b, " %s |", s.name())
	}
	b.WriteString(timesHead(servers) + "\n|---|" + strings.Repeat("---:|", len(servers)) + timesRule(servers) + "\n")
	for _, f := range figures {
		if f.measure == nil || !f.wanted(o.figure) {
			continue
		}
		columns := make([][]value, len(servers))
		for i, s := range servers {
			if f.only != "" && f.only != s.name() {
				continue
			}
			timed, cancel := context.WithTimeout(ctx, figureTime)
			values, err := f.measure(timed, o, s)
			cancel()
			if err != nil {
				return "", fmt.Errorf("%s, %s: %w", s.name(), f.name, err)
			}
			progress("%s, %s: %v", f.name, s.name(), values)
			columns[i] = values
		}
		b.WriteString(lines(columns))
	}
	return b.String(), nil
}

// lines are the rows of one figure: a cell for each server, and how many times better the last one is than the first.
func lines(columns [][]value) string {
	var b strings.Builder
	last := columns[len(columns)-1]
	for k, v := range last {
		fmt.Fprintf(&b, "| %s |", v.title)
		for _, c := range columns {
			if k < len(c) {
				fmt.Fprintf(&b, " %s |", c[k])
			} else {
				b.WriteString(" – |")
			}
		}
		if len(columns) > 1 {
			b.WriteString(ratio(columns[0], v, k))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func ratio(first []value, v value, k int) string {
	if k >= len(first) || v.plain || v.amount == 0 || first[k].amount == 0 {
		return " – |"
	}
	times := first[k].amount / v.amount
	if v.higher {
		times = 1 / times
	}
	return fmt.Sprintf(" %.1f |", times)
}

// withServer runs do on a fresh server.
func withServer(ctx context.Context, o options, s server, l launch, do func(dir string, r *running) error) (err error) {
	dir, r, err := startIn(ctx, o, s, l)
	if err != nil {
		return err
	}
	defer cleanUp(o, dir, r, &err)
	return do(dir, r)
}

// seconds since began, in milliseconds.
func millis(d time.Duration) float64 { return d.Seconds() * 1000 }
