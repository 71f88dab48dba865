// Command bench measures waybill beside Postfix + Dovecot in one run on one machine: the same generator sends the same
// kind of messages to each in turn, over loopback, and counts a message as delivered when POP3 shows it in its mailbox.
// docs/bench.md says what each figure means and what it leaves out. scripts/bench.sh installs what is needed and runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"
)

// options are the command's flags.
type options struct {
	waybill  string // the binary; "" leaves waybill out
	out      string // directory of result.md and of the CPU profile
	dir      string // parent of the servers' directories: the disk that is measured
	rounds   int
	scenario // the main load; a trial puts its own here
	messages map[string]int
	only     string
	keep     bool
	all      bool   // the further loads and the idle sessions too
	figure   string // only these of the further figures, and nothing else
	deferred int    // messages of the figure with a full queue
	soak     int    // messages of the soak
	nodes    nodesOptions
}

func main() {
	var o options
	var waybillMessages, postfixMessages int
	flag.StringVar(&o.waybill, "waybill", "", "the waybill `binary`; without it only the others are measured")
	flag.StringVar(&o.out, "out", "bench", "`directory` of result.md and waybill.cpu.prof")
	flag.StringVar(&o.dir, "dir", os.TempDir(), "`directory` under which the servers keep their data")
	flag.IntVar(&o.rounds, "rounds", 3, "measured rounds of each server; medians are shown")
	flag.IntVar(&o.sessions, "sessions", 20, "SMTP sessions at a time")
	flag.IntVar(&o.size, "size", 8192, "octets of a message")
	flag.IntVar(&waybillMessages, "waybill-messages", 80000, "messages in a round of waybill")
	flag.IntVar(&postfixMessages, "postfix-messages", 4000, "messages in a round of Postfix + Dovecot")
	flag.StringVar(&o.only, "only", "", "measure only the `server` whose name begins so")
	flag.BoolVar(&o.all, "all", true, "also measure the further loads and idle sessions")
	flag.StringVar(&o.figure, "figure", "", "measure only the further figures whose `names`, with commas between, begin so: relay, pop3, latency, fanout, bigbox, deferred, soak, nodes")
	flag.IntVar(&o.nodes.messages, "node-messages", 10_000, "`messages` in a round of nodes on PostgreSQL")
	flag.StringVar(&o.nodes.stored, "stored", "10000,100000", "`numbers` of stored messages, growing, at which a node on PostgreSQL is measured")
	flag.IntVar(&o.nodes.takeovers, "takeovers", 5, "how many `times` a node is killed and its mail taken over by another")
	flag.StringVar(&o.nodes.engineTests, "engine-tests", "", "`program` of the tests of waybill's PostgreSQL engine, as go test -c builds it, for the commits beside a bare writer; "+
		"scripts/bench.sh gives it. Without it they are left out")
	flag.IntVar(&o.deferred, "deferred", 100_000, "deferred `messages` in the queue, for that figure")
	flag.IntVar(&o.soak, "soak", 1_000_000, "`messages` of -figure soak")
	flag.BoolVar(&o.keep, "keep", false, "keep the servers' directories, with their logs")
	flag.Parse()
	o.messages = map[string]int{nameWaybill: waybillMessages, namePostfix: postfixMessages}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// findPrograms makes the paths of the programs absolute, as the servers run in directories of their own. The engine's is wanted only when most is
// measured, so it is looked for before.
func (o *options) findPrograms() (err error) {
	for _, path := range []*string{&o.waybill, &o.nodes.engineTests} {
		if *path == "" {
			continue
		}
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	if o.nodes.engineTests == "" {
		return nil
	}
	if _, err := exec.LookPath(o.nodes.engineTests); err != nil {
		return fmt.Errorf("-engine-tests names the program that `go test -c ./internal/store/postgres` builds, as scripts/bench.sh does: %w", err)
	}
	return nil
}

// run measures every server that can be run here, writes the table and prints it.
func run(ctx context.Context, o options) error {
	if err := checkNames(o.figure); err != nil {
		return err
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	if err := o.findPrograms(); err != nil {
		return err
	}
	servers, missing := available(o)
	for _, m := range missing {
		progress("left out: %s", m)
	}
	if len(servers) == 0 {
		return errors.New("no server to measure")
	}
	if o.figure != "" {
		table, err := runFigures(ctx, o, servers)
		fmt.Print(table)
		return err
	}
	results := map[string]*series{}
	for _, s := range servers {
		results[s.name()] = &series{messages: o.messages[s.name()]}
	}
	// The rounds alternate, so that whatever else the machine does falls on all servers alike.
	for round := 1; round <= o.rounds; round++ {
		for _, s := range servers {
			m, err := measure(ctx, o, s, o.messages[s.name()])
			if err != nil {
				return fmt.Errorf("%s: %w", s.name(), err)
			}
			progress("round %d of %d, %s: %s", round, o.rounds, s.name(), m)
			results[s.name()].rounds = append(results[s.name()].rounds, m)
		}
	}
	for _, s := range servers {
		if err := extras(ctx, o, s, results[s.name()]); err != nil {
			return fmt.Errorf("%s: %w", s.name(), err)
		}
	}
	table := report(o, servers, results)
	if o.all {
		further, err := runTrials(ctx, o, servers)
		if err != nil {
			return err
		}
		idle, err := idleCosts(ctx, o, servers)
		if err != nil {
			return err
		}
		more, err := runFigures(ctx, o, servers)
		if err != nil {
			return err
		}
		table += "\n" + further + "\n" + more + "\n" + idle
	}
	fmt.Print(table)
	return os.WriteFile(filepath.Join(o.out, "result.md"), []byte(table), 0o644)
}

// extras are the runs whose instruments would disturb the measured rounds: syncs counted by strace, the CPU profile.
func extras(ctx context.Context, o options, s server, r *series) error {
	n := r.messages / 4
	if _, err := exec.LookPath("strace"); err != nil {
		progress("syncs are not counted: no strace")
	} else {
		syncs, err := countSyncs(ctx, o, s, n)
		if err != nil {
			return fmt.Errorf("count syncs: %w", err)
		}
		r.syncs = syncs
		progress("%s: %.2f syncs a message", s.name(), syncs)
	}
	if s.name() != nameWaybill {
		return nil
	}
	profile, err := filepath.Abs(filepath.Join(o.out, "waybill.cpu.prof"))
	if err != nil {
		return err
	}
	if _, err := load(ctx, o, s, launch{env: []string{"WAYBILL_CPUPROFILE=" + profile}}, r.messages, nil); err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	top, err := exec.CommandContext(ctx, "go", "tool", "pprof", "-top", "-nodecount=15", o.waybill, profile).Output()
	if err != nil {
		progress("no CPU profile from waybill")
		return nil
	}
	progress("CPU profile: go tool pprof %s %s\n%s", o.waybill, profile, strings.TrimSpace(string(top)))
	return nil
}

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s  %s\n", time.Now().Format("15:04:05"), fmt.Sprintf(format, args...))
}
