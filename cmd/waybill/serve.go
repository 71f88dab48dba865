package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"

	"waybill/internal/config"
	"waybill/internal/node"
)

// serveCommand runs one node until SIGINT or SIGTERM.
type serveCommand struct {
	Config    string `required:"" env:"WAYBILL_CONFIG" type:"existingfile" placeholder:"FILE" help:"Configuration file (TOML)."`
	LogFormat string `enum:"text,json" default:"text" help:"How log lines are written: ${enum}."`
	LogLevel  string `enum:"debug,info,warn,error" default:"info" help:"Least level that is logged: ${enum}. info has a line for each step of a message."`
	Verbose   bool   `short:"v" help:"The same as --log-level debug."`
}

// drainTime is how long sessions under way may go on after a signal.
const drainTime = 30 * time.Second

func (c *serveCommand) Run(ctx context.Context, std streams) error {
	conf, err := config.Load(c.Config)
	if err != nil {
		return err
	}
	if err := refuseForeign(conf.Data); err != nil {
		return err
	}
	stopProfile, err := startProfile(os.Getenv("WAYBILL_CPUPROFILE"))
	if err != nil {
		return err
	}
	defer stopProfile()
	useProcessors()
	go collect(ctx)
	hup := make(chan os.Signal, 1) // SIGHUP ends nothing, at no moment
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	out := newLogBuffer(std.err)
	defer out.Close()
	log := c.logger(out)
	checkFileLimit(log, conf.Limits)
	n, err := node.New(node.Options{Config: conf, Logger: log})
	if err != nil {
		return adviseMigration(err, c.Config)
	}
	if err := n.Start(ctx); err != nil {
		return err
	}
	fmt.Fprintf(std.err, "%s: store %s\n", conf.Hostname, node.StorePlace(conf))
	for _, b := range n.Listeners() {
		fmt.Fprintf(std.err, "%s: %s listening on %s\n", conf.Hostname, b.Protocol, b.Addr)
	}
	fmt.Fprintf(std.err, "%s: ready\n", conf.Hostname)
	notifySystem("READY=1")
	c.reloadUntil(ctx, hup, n, log)
	notifySystem("STOPPING=1")
	return c.drain(n, conf.Hostname, std)
}

// reloadUntil reads the configuration and the certificates again at each SIGHUP until ctx is done.
func (c *serveCommand) reloadUntil(ctx context.Context, hup <-chan os.Signal, n *node.Node, log *slog.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
			c.reload(n, log)
		}
	}
}

// reload changes nothing but the certificate if the configuration is wrong, and says what is.
func (c *serveCommand) reload(n *node.Node, log *slog.Logger) {
	conf, err := config.Load(c.Config)
	if err != nil {
		n.ReloadCertificates()
		log.Error("the configuration is not reloaded: it has mistakes", "error", err)
		return
	}
	pending, err := n.Reload(conf)
	switch {
	case err != nil:
		log.Error("the configuration is not reloaded", "error", err)
	case len(pending) > 0:
		log.Warn("the configuration is reloaded; some changes count from the next start on", "changed", strings.Join(pending, ", "))
	default:
		log.Info("the configuration is reloaded")
	}
}

// notifySystem tells systemd of a state (sd_notify), if it asked to be told.
func notifySystem(state string) {
	socket := os.Getenv("NOTIFY_SOCKET")
	if socket == "" {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return
	}
	defer conn.Close()
	conn.Write([]byte(state))
}

// drain lets sessions under way end, for a while or until a second signal. Whatever was acknowledged is on disk by then.
func (c *serveCommand) drain(n *node.Node, hostname string, std streams) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	fmt.Fprintf(std.err, "%s: stopping; sessions under way have %s to end, or until the next signal\n", hostname, drainTime)
	return n.Shutdown(ctx)
}

func (c *serveCommand) logger(out io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.LogLevel)) // the flag takes no others
	if c.Verbose {
		level = slog.LevelDebug
	}
	options := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(out, options))
	}
	return slog.New(slog.NewTextHandler(out, options))
}

// logger is that of the other commands.
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
