package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"waybill/internal/mua"
)

// fetchCommand retrieves all mail of an account.
type fetchCommand struct {
	serverFlags
	Keep bool   `help:"Leave the mail on the server; default: delete what is safely kept in a Maildir or file."`
	Out  string `default:"-" placeholder:"DIR" help:"Maildir to put the messages into; - prints them, and leaves them on the server unless the output is a file."`
	JSON bool   `name:"json" help:"Print the result as JSON (with --out DIR)."`
}

func (c *fetchCommand) Run(ctx context.Context, std streams) error {
	if c.User == "" {
		return usageErrorf("--user is required")
	}
	server, err := c.server(defaultPorts{plain: 110, implicit: 995})
	if err != nil {
		return err
	}
	client, err := c.client(std)
	if err != nil {
		return err
	}
	password, err := c.password(std)
	if err != nil {
		return err
	}
	var sink mua.Sink = printSink{std.out}
	if c.Out != "-" {
		if sink, err = newMaildir(c.Out); err != nil {
			return err
		}
	}
	remove := !c.Keep && c.keepsSafely(std)
	n, err := client.Retrieve(ctx, mua.Settings{User: c.User, Password: password, POP3: server}, sink, remove)
	return errors.Join(c.report(std, n, remove), explainClient(err))
}

// keepsSafely says whether what is written is on a disk afterwards: what went into a pipe or to a terminal may be lost.
func (c *fetchCommand) keepsSafely(std streams) bool {
	if c.Out != "-" {
		return true
	}
	f, ok := fileUnder(std.out)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode().IsRegular()
}

func (c *fetchCommand) report(std streams, n int, removed bool) error {
	if c.JSON && c.Out != "-" {
		return json.NewEncoder(std.out).Encode(map[string]any{"retrieved": n, "deleted": removed})
	}
	fate := "left on the server"
	if removed {
		fate = "deleted from the server"
	}
	noun := "messages"
	if n == 1 {
		noun = "message"
	}
	fmt.Fprintf(std.err, "%d %s retrieved and %s\n", n, noun, fate)
	return nil
}

// printSink prints messages as they are.
type printSink struct{ out io.Writer }

func (p printSink) Begin(string, int64) (mua.Keeper, error) { return printKeeper(p), nil }

type printKeeper struct{ out io.Writer }

func (p printKeeper) Write(b []byte) (int, error) { return p.out.Write(b) }
func (p printKeeper) Discard() error              { return nil }

// Keep makes sure that what was printed has left us; a terminal or pipe cannot be synced.
func (p printKeeper) Keep() error {
	f, ok := fileUnder(p.out)
	if !ok {
		return nil
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	return f.Sync()
}

// maildir keeps messages in a Maildir: written to tmp, synced, renamed to new, and the directory synced.
type maildir struct {
	dir   string
	host  string
	count int
}

func newMaildir(dir string) (*maildir, error) {
	for _, sub := range []string{"tmp", "new", "cur"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, err
		}
	}
	host, err := os.Hostname()
	return &maildir{dir: dir, host: strings.NewReplacer("/", `\057`, ":", `\072`).Replace(host)}, err
}

func (m *maildir) Begin(string, int64) (mua.Keeper, error) {
	m.count++
	name := fmt.Sprintf("%d.M%dP%dQ%d.%s", time.Now().Unix(), time.Now().Nanosecond()/1000, os.Getpid(), m.count, m.host)
	f, err := os.OpenFile(filepath.Join(m.dir, "tmp", name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	return &maildirKeeper{f, filepath.Join(m.dir, "new", name)}, err
}

type maildirKeeper struct {
	*os.File
	target string
}

func (k *maildirKeeper) Keep() error {
	if err := errors.Join(k.Sync(), k.Close()); err != nil {
		return err
	}
	if err := os.Rename(k.Name(), k.target); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(k.target))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func (k *maildirKeeper) Discard() error {
	return errors.Join(k.Close(), os.Remove(k.Name()))
}
