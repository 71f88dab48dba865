package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/term"

	"waybill/internal/config"
	"waybill/internal/node"
	"waybill/internal/store"
	"waybill/internal/store/storecopy"
)

// storeCopyCommand copies a store into another one.
type storeCopyCommand struct {
	From string `arg:"" placeholder:"FROM" help:"What is copied: a data directory, a postgres:// URL, or a configuration file, whose store is meant."`
	To   string `arg:"" placeholder:"TO" help:"Where to: the same. It must be empty, or have a copy of FROM in it that was broken off."`
	JSON bool   `name:"json" help:"Print progress and result as JSON, one object a line."`
}

// Help implements kong.HelpProvider.
func (c *storeCopyCommand) Help() string {
	return "Stop all servers of both stores first. A copy that was broken off, however, goes on where it stopped when the same command is given again; " +
		"until it is done no server starts on TO. In the end everything is read from both stores and compared. FROM is not changed. " +
		"On a command line others may see a password: leave it out of the URL and use libpq's password file, or name a configuration file."
}

func (c *storeCopyCommand) Run(ctx context.Context, std streams) error {
	from, err := storePlace(c.From)
	if err != nil {
		return err
	}
	to, err := storePlace(c.To)
	if err != nil {
		return err
	}
	p := newCopyProgress(std, c.JSON)
	r, err := node.CopyStore(ctx, from, to, p.show, errorLogger(std))
	p.end()
	if err != nil {
		return adviseCopy(ctx, err, p.began)
	}
	return c.print(std, r, time.Since(p.start))
}

// errorLogger logs what stops a copy. That it waits for the disk now and then is no news.
func errorLogger(std streams) *slog.Logger {
	return slog.New(slog.NewTextHandler(std.err, &slog.HandlerOptions{Level: slog.LevelError}))
}

// adviseCopy says what to do about a copy that ended early.
func adviseCopy(ctx context.Context, err error, began bool) error {
	if ctx.Err() != nil && !errors.Is(err, store.ErrUnknown) {
		err = errors.New("the copy was interrupted")
	}
	switch {
	case errors.Is(err, store.ErrUnknown):
		return fmt.Errorf("%w; whether TO is complete is not known: give the same command again, which goes on, or says that there is a store, which is complete then", err)
	case began && errors.Is(err, storecopy.ErrTargetUsed):
		return fmt.Errorf("%w; TO is not complete: the same command makes it like FROM, and what was written to it is gone then", err)
	case began:
		return fmt.Errorf("%w; TO is not complete: the same command goes on from here", err)
	}
	return adviseMigration(err, "FILE, with the database as store in that file")
}

// storePlace reads FROM or TO. The result has a store, and the data directory that is to be locked, if any.
func storePlace(arg string) (config.Config, error) {
	if strings.Contains(arg, "://") {
		url, err := config.ParseStoreURL(arg)
		if err != nil {
			return config.Config{}, usageErrorf("%v", err)
		}
		return config.Config{Store: url}, nil
	}
	info, err := os.Stat(arg)
	if err == nil && info.Mode().IsRegular() {
		c, err := config.Load(arg)
		if err != nil {
			return config.Config{}, err
		}
		return config.Config{Data: c.Data, Store: c.Store}, refuseForeign(c.Data)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return config.Config{}, err
	}
	data, err := filepath.Abs(arg)
	if err != nil {
		return config.Config{}, err
	}
	if filepath.Base(data) == "store" && !holdsStore(data) && holdsStore(filepath.Dir(data)) {
		return config.Config{}, usageErrorf("%s is a store itself: name the data directory, %s", arg, filepath.Dir(data))
	}
	return config.Config{Data: data}, refuseForeign(data)
}

// holdsStore says whether a directory is a data directory with an embedded store.
func holdsStore(data string) bool {
	info, err := os.Stat(filepath.Join(data, "store"))
	return err == nil && info.IsDir()
}

func (c *storeCopyCommand) print(std streams, r storecopy.Result, took time.Duration) error {
	sum := hex.EncodeToString(r.Sum[:])
	if c.JSON {
		return json.NewEncoder(std.out).Encode(map[string]any{
			"done": true, "keys": r.Keys, "octets": r.Octets, "resumed": r.Resumed, "repaired": r.Repaired, "seconds": took.Seconds(), "sha256": sum,
		})
	}
	fmt.Fprintf(std.out, "copied and compared: %d keys, %s, in %s; SHA-256 of both %s\n", r.Keys, octets(r.Octets), took.Round(time.Second/10), sum)
	if r.Resumed > 0 {
		fmt.Fprintf(std.out, "%d of these keys were there already, from a copy that was broken off\n", r.Resumed)
	}
	if r.Repaired > 0 {
		fmt.Fprintf(std.out, "%d keys were copied again: the source was used since the copy had been begun\n", r.Repaired)
	}
	return nil
}

// copyProgress tells how far a copy is: on a terminal in one line, elsewhere now and then in a new one, as JSON each second.
type copyProgress struct {
	std      streams
	json     bool
	terminal bool
	every    time.Duration
	began    bool // the target is marked
	start    time.Time
	last     time.Time
	phase    storecopy.Phase
	since    time.Time // the phase began
	first    storecopy.Progress
}

func newCopyProgress(std streams, asJSON bool) *copyProgress {
	p := &copyProgress{std: std, json: asJSON, every: 10 * time.Second, start: time.Now(), last: time.Now()}
	if f, ok := fileUnder(std.err); ok && !asJSON && term.IsTerminal(int(f.Fd())) {
		p.terminal, p.every = true, time.Second/4
	}
	if asJSON {
		p.every = time.Second
	}
	return p
}

// show is told of each step.
func (p *copyProgress) show(now storecopy.Progress) {
	p.began = true
	if now.Phase != p.phase {
		p.phase, p.since, p.first = now.Phase, time.Now(), now
	}
	if time.Since(p.last) < p.every {
		return
	}
	p.last = time.Now()
	took := max(time.Since(p.since).Seconds(), 0.001)
	rate := float64(now.Octets-p.first.Octets) / took
	left := -1.0
	if now.AllOctets >= now.Octets && rate > 0 {
		left = float64(now.AllOctets-now.Octets) / rate
	}
	if p.json {
		_ = json.NewEncoder(p.std.out).Encode(map[string]any{
			"phase": now.Phase, "keys": now.Keys, "octets": now.Octets, "all_keys": now.AllKeys, "all_octets": now.AllOctets,
			"octets_per_second": int64(rate), "seconds_left": int64(left),
		})
		return
	}
	text := fmt.Sprintf("%s: %d keys, %s", now.Phase, now.Keys, octets(now.Octets))
	if now.AllOctets > 0 {
		text += fmt.Sprintf(" of %s (%.0f %%)", octets(now.AllOctets), 100*float64(now.Octets)/float64(now.AllOctets))
	}
	text += fmt.Sprintf(", %s/s", octets(int64(rate)))
	if left >= 0 {
		text += fmt.Sprintf(", %s left", time.Duration(left*float64(time.Second)).Round(time.Second))
	}
	if p.terminal {
		fmt.Fprintf(p.std.err, "\r%-78s", text)
		return
	}
	fmt.Fprintln(p.std.err, text)
}

// end leaves the line.
func (p *copyProgress) end() {
	if p.terminal && p.began {
		fmt.Fprintln(p.std.err)
	}
}
