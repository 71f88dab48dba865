package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/term"

	"waybill/internal/config"
	"waybill/internal/node"
	"waybill/internal/verify"
)

// backupCommand copies the store, whether or not the server runs.
type backupCommand struct {
	Dir string `arg:"" placeholder:"DIR" help:"Where the backup is to be: a new directory."`
	configFlag
}

func (c *backupCommand) Run(ctx context.Context, std streams) error {
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return err
	}
	return c.with(std, func(a admin, conf config.Config) error {
		if err := node.SaveBackup(ctx, a, conf, dir); err != nil {
			return err
		}
		if objects := conf.Bodies.String(); objects != "" {
			fmt.Fprintf(std.err, "the backup has no message bodies that lie in %s: copy that bucket now, after the backup\n", objects)
			return c.say(std, "backup", dir, "backup of everything in the store up to now is in %s\n")
		}
		return c.say(std, "backup", dir, "backup of everything up to now is in %s\n")
	})
}

// restoreCommand puts a backup in the place of a store.
type restoreCommand struct {
	Dir string `arg:"" placeholder:"DIR" help:"The backup."`
	configFlag
}

func (c *restoreCommand) Run(ctx context.Context, std streams) error {
	conf, err := config.Load(c.Config)
	if err != nil {
		return err
	}
	if err := node.Restore(conf, c.Dir); err != nil {
		return err
	}
	fmt.Fprintln(std.err, "restored; now it is verified")
	v := verifyCommand{configFlag: c.configFlag}
	return v.Run(ctx, std)
}

// verifyCommand reads the whole store and tells what is damaged.
type verifyCommand struct{ configFlag }

func (c *verifyCommand) Run(ctx context.Context, std streams) error {
	return c.with(std, func(a admin, _ config.Config) error {
		report, err := a.Verify(ctx, progressOf(std))
		if err != nil {
			return err
		}
		return c.print(std, report)
	})
}

// progressOf tells how far a run is, on a terminal.
func progressOf(std streams) func(verify.Report) {
	f, ok := fileUnder(std.err)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	var last time.Time
	return func(r verify.Report) {
		if time.Since(last) > time.Second/4 {
			last = time.Now()
			fmt.Fprintf(os.Stderr, "\r%d keys, %s, %d findings ", r.Keys, octets(r.Octets), r.Damage+r.Untidy)
		}
	}
}

// print fails if something is damaged.
func (c *verifyCommand) print(std streams, r verify.Report) error {
	var err error
	if r.Damage > 0 {
		err = errReported
	}
	if c.JSON {
		if e := json.NewEncoder(std.out).Encode(r); e != nil {
			return e
		}
		return err
	}
	for _, f := range r.Findings {
		fmt.Fprintf(std.out, "%s: %s: %s\n", f.Severity, f.What, f.Detail)
	}
	if more := r.Damage + r.Untidy - int64(len(r.Findings)); more > 0 {
		fmt.Fprintf(std.out, "and %d more\n", more)
	}
	words := "no damage found"
	if r.Damage > 0 {
		words = fmt.Sprintf("DAMAGE FOUND: %d", r.Damage)
	}
	fmt.Fprintf(std.out, "%s (%d messages in mailboxes, %d in the queue, %d contents; %d keys, %s)\n", words, r.Messages, r.Queued, r.Bodies, r.Keys, octets(r.Octets))
	return err
}
