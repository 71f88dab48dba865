package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime/pprof"
	"time"

	"waybill/internal/config"
	"waybill/internal/node"
)

// serveCommand runs one node until SIGINT or SIGTERM.
type serveCommand struct {
	Config  string `required:"" type:"existingfile" placeholder:"FILE" help:"Configuration file (TOML)."`
	Verbose bool   `short:"v" help:"Log more."`
}

// drainTime is how long sessions under way may go on after a signal.
const drainTime = 30 * time.Second

func (c *serveCommand) Run(ctx context.Context, std streams) error {
	conf, err := config.Load(c.Config)
	if err != nil {
		return err
	}
	stopProfile, err := startProfile(os.Getenv("WAYBILL_CPUPROFILE"))
	if err != nil {
		return err
	}
	defer stopProfile()
	useProcessors()
	n, err := node.New(node.Options{Config: conf, Logger: logger(std, c.Verbose)})
	if err != nil {
		return err
	}
	if err := n.Start(ctx); err != nil {
		return err
	}
	for _, b := range n.Listeners() {
		fmt.Fprintf(std.err, "%s: %s listening on %s\n", conf.Hostname, b.Protocol, b.Addr)
	}
	fmt.Fprintf(std.err, "%s: ready\n", conf.Hostname)
	<-ctx.Done()
	fmt.Fprintf(std.err, "%s: stopping; sessions under way have %s to end\n", conf.Hostname, drainTime)
	shutdown, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	return n.Shutdown(shutdown)
}

func logger(std streams, verbose bool) *slog.Logger {
	level := slog.LevelInfo
	if verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(std.err, &slog.HandlerOptions{Level: level}))
}

// startProfile writes a CPU profile of the whole run to file, if one is named.
func startProfile(file string) (stop func(), err error) {
	if file == "" {
		return func() {}, nil
	}
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		f.Close()
	}, nil
}
