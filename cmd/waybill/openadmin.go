package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"time"

	"waybill/internal/config"
	"waybill/internal/control"
	"waybill/internal/node"
)

// admin is what a command can do to a node, running or not.
type admin interface {
	control.Node
	Close() error
}

// openAdmin opens the store itself when nobody holds the lock of the data directory, and else speaks to the server that does. A store that belongs
// to another user is opened by nobody but that user: what others write there the server could not read.
func openAdmin(conf config.Config, file string, std streams) (admin, error) {
	if err := os.MkdirAll(conf.Data, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	uid, gid, err := node.StoreOwner(conf.Data)
	if err != nil {
		return nil, err
	}
	if me := os.Geteuid(); uid != me {
		return openForeign(conf, file, std, uid, gid, me == 0)
	}
	a, err := openOrReach(conf, logger(std, false))
	return a, adviseMigration(err, file)
}

// lockedTries is how often a store is tried that is in use by a process that cannot be spoken to: a command that ends soon, or
// a server that starts or ends.
const lockedTries = 50

// openOrReach opens the store, or speaks to the process that has it open.
func openOrReach(conf config.Config, log *slog.Logger) (admin, error) {
	for try := 1; ; try++ {
		offline, err := node.OpenOffline(conf, log)
		if err == nil {
			return offline, nil
		}
		if !errors.Is(err, node.ErrInUse) {
			return nil, err
		}
		if client := control.NewClient(conf.Data); client.Answers() {
			return client, nil
		}
		if try == lockedTries {
			return nil, inUse(conf.Data)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func inUse(data string) error {
	return fmt.Errorf("another command or server uses the store in %s; try again: %w", data, node.ErrInUse)
}

// openForeign speaks to the server; where none runs, root to a process of its own that has the owner's rights.
func openForeign(conf config.Config, file string, std streams, uid, gid int, isRoot bool) (admin, error) {
	if client := control.NewClient(conf.Data); client.Answers() {
		return client, nil
	}
	if isRoot {
		started, err := startHelper(conf, file, std, uid, gid)
		if client := control.NewClient(conf.Data); err != nil && client.Answers() { // somebody else was first
			return client, nil
		}
		return started, err
	}
	name := userName(uid)
	return nil, fmt.Errorf("the store in %s belongs to the user %s: run this as that user, as with sudo -u %[2]s", conf.Data, name)
}

// refuseForeign says that a store belongs to another user, where only its owner will do.
func refuseForeign(data string) error {
	_, err := os.Lstat(filepath.Join(data, "store"))
	if err != nil && os.Geteuid() != 0 {
		return nil // what there is to say of it others say
	}
	uid, _, err := node.StoreOwner(data)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || uid == os.Geteuid() {
		return err
	}
	return fmt.Errorf("the store in %s belongs to the user %s: run this as that user, as its unit for systemd does, or give the directory to another with chown -R", data, userName(uid))
}

func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return "#" + strconv.Itoa(uid)
}

// helperCommand serves a socket like that of a server, which does not run, until its standard input ends. Root starts it as the
// owner of the store (startHelper), and so reaches and writes its own files itself, and the store's never.
type helperCommand struct{ configFlag }

// What it prints when it can be spoken to, or when others have the store open. The lines have the same length.
const (
	helperReady = "ready\n"
	helperInUse = "inuse\n"
)

// helperSocket is the name of its socket: not the server's, so that nobody but who started it relies on it. Who holds the
// lock of the data directory has the name.
const helperSocket = "helper.sock"

func (c *helperCommand) Run(ctx context.Context, std streams) error {
	conf, err := config.Load(c.Config)
	if err != nil {
		return err
	}
	log := logger(std, false)
	opened, err := openOrReach(conf, log)
	if err != nil && !errors.Is(err, node.ErrInUse) {
		return adviseMigration(err, c.Config)
	}
	offline, ok := opened.(*node.Offline)
	if !ok { // or a server answers, whom whoever started this finds, too
		_, err := io.WriteString(std.out, helperInUse)
		return err
	}
	socket, err := control.Listen(filepath.Join(conf.Data, helperSocket), offline, log)
	if err != nil {
		return errors.Join(err, offline.Close())
	}
	_, err = io.WriteString(std.out, helperReady)
	if err == nil {
		_, err = io.Copy(io.Discard, std.in) // whoever started it is gone then, however it ended
	}
	return errors.Join(err, socket.Shutdown(ctx), offline.Close())
}
