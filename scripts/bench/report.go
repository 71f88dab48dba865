package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// series are the rounds of one server.
type series struct {
	messages int // in a round
	rounds   []measurement
	syncs    float64 // per message; 0: not counted
}

// row is one line of the table. factor tells how the better side is found: higher or lower is better, or no ratio.
type row struct {
	title  string
	value  func(*series) float64
	format string
	higher bool
}

var rows = []row{
	{"accepted messages/s", median(func(m measurement) float64 { return m.accepted }), "%.0f", true},
	{"**delivered messages/s**", median(func(m measurement) float64 { return m.delivered }), "%.0f", true},
	{"reply to the dot, p50, ms", median(func(m measurement) float64 { return m.p50.Seconds() * 1000 }), "%.1f", false},
	{"reply to the dot, p99, ms", median(func(m measurement) float64 { return m.p99.Seconds() * 1000 }), "%.1f", false},
	{"CPU seconds per 1,000 messages", median(func(m measurement) float64 { return m.cpu }), "%.2f", false},
	{"fsyncs per message", func(s *series) float64 { return s.syncs }, "%.2f", false},
	{"KiB written per message", median(func(m measurement) float64 { return m.written / 1024 }), "%.1f", false},
	{"peak memory, MiB", median(func(m measurement) float64 { return float64(m.memory) / (1 << 20) }), "%.0f", false},
}

func median(of func(measurement) float64) func(*series) float64 {
	return func(s *series) float64 {
		var values []float64
		for _, m := range s.rounds {
			values = append(values, of(m))
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
}

// report is the Markdown table: a column per server, and how many times better the last one is than the first.
func report(o options, servers []server, results map[string]*series) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Messages of %d octets over %d SMTP sessions into %d mailboxes, synced to disk before each 250; %d cores, %s.\n",
		o.size, o.sessions, mailboxes, runtime.NumCPU(), cpuModel())
	fmt.Fprintf(&b, "Median of %d alternating rounds, %s.", o.rounds, time.Now().Format(time.DateOnly))
	for _, s := range servers {
		fmt.Fprintf(&b, " %s: %d messages a round.", s.version(), results[s.name()].messages)
	}
	b.WriteString("\n\n| |")
	for _, s := range servers {
		fmt.Fprintf(&b, " %s |", s.name())
	}
	b.WriteString(timesHead(servers) + "\n|---|" + strings.Repeat("---:|", len(servers)) + timesRule(servers) + "\n")
	for _, r := range rows {
		b.WriteString(r.line(servers, results))
	}
	return b.String()
}

func (r row) line(servers []server, results map[string]*series) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s |", r.title)
	var values []float64
	for _, s := range servers {
		v := r.value(results[s.name()])
		values = append(values, v)
		if v == 0 {
			b.WriteString(" – |")
			continue
		}
		fmt.Fprintf(&b, " "+r.format+" |", v)
	}
	if len(values) > 1 {
		better, worse := values[len(values)-1], values[0]
		if !r.higher {
			better, worse = worse, better
		}
		if worse > 0 && better > 0 {
			fmt.Fprintf(&b, " %.1f |", better/worse)
		} else {
			b.WriteString(" – |")
		}
	}
	b.WriteByte('\n')
	return b.String()
}

func cpuModel() string {
	data, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "model name") {
			_, model, _ := strings.Cut(line, ":")
			return strings.TrimSpace(model)
		}
	}
	return runtime.GOARCH
}
