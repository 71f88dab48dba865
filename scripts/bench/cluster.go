package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// cluster is some nodes of waybill on one database, which is started with them and on which they find the accounts. It is measured like any
// other server.
type cluster struct {
	waybill
	title string
	nodes int
	db    *database
	port  string // by which they reach the database; "": its own
}

func (c *cluster) name() string { return c.title }

// start starts everything. Each node has a directory of its own in l.dir.
func (c *cluster) start(ctx context.Context, l launch) (_ *running, err error) {
	if err := c.db.start(ctx); err != nil {
		return nil, errors.Join(err, c.db.stop())
	}
	name, err := c.db.create(ctx)
	if err != nil {
		return nil, errors.Join(err, c.db.stop())
	}
	r := &running{end: func() error { return errors.Join(c.db.drop(context.WithoutCancel(ctx), name), c.db.stop()) }}
	l.store = c.db.url(name, cmp.Or(c.port, c.db.port))
	for i := range c.nodes {
		var config string
		var ports []string
		if config, ports, err = c.configureNode(ctx, l, i); err != nil {
			break
		}
		r.smtp += comma(r.smtp) + "127.0.0.1:" + ports[0]
		r.pop3 += comma(r.pop3) + "127.0.0.1:" + ports[1]
		node := l
		node.dir = filepath.Dir(config)
		if err = r.run(node, c.binary, "serve", "--config", config); err != nil {
			break
		}
	}
	return r.await(ctx, err)
}

func comma(list string) string {
	if list == "" {
		return ""
	}
	return ","
}

// nodeName is what node i calls itself.
func nodeName(i int) string { return fmt.Sprintf("node%d.%s", i, domain) }

func nodeDirectory(i int) string { return fmt.Sprintf("node%d", i) }

func (c *cluster) configureNode(ctx context.Context, l launch, i int) (config string, ports []string, err error) {
	l.host, l.dir = nodeName(i), filepath.Join(l.dir, nodeDirectory(i))
	if err := os.Mkdir(l.dir, 0o755); err != nil {
		return "", nil, err
	}
	return c.configure(ctx, l)
}

// prepare makes the tables and the accounts in a database that the nodes' are copies of.
func (w waybill) prepare(ctx context.Context, o options, d *database) (err error) {
	dir, err := os.MkdirTemp(o.dir, "waybill-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := d.start(ctx); err != nil {
		return errors.Join(err, d.stop())
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	if _, err := d.query(ctx, "postgres", "CREATE DATABASE "+prepared); err != nil {
		return err
	}
	config, _, err := w.configure(ctx, launch{dir: dir, store: d.url(prepared, d.port)})
	if err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, w.binary, "store", "migrate", "--config", config).CombinedOutput(); err != nil {
		return fmt.Errorf("store migrate: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return w.addAccounts(ctx, config, mailboxes)
}

// databases are the two that nodes are measured on.
type databases struct{ alone, replicated *database }

func newDatabases(ctx context.Context, o options, w waybill, programs string) (d *databases, err error) {
	d = &databases{}
	for _, db := range []**database{&d.alone, &d.replicated} {
		if *db, err = newDatabase(ctx, programs, o.dir); err == nil {
			err = w.prepare(ctx, o, *db)
		}
		if err != nil {
			d.remove()
			return nil, err
		}
	}
	err = d.replicated.serve(ctx)
	if err == nil {
		err = d.replicated.follow(ctx, o.dir)
	}
	if err = errors.Join(err, d.replicated.stop()); err != nil {
		d.remove()
		return nil, err
	}
	return d, nil
}

func (d *databases) remove() {
	for _, db := range []*database{d.alone, d.replicated} {
		if db != nil {
			db.remove()
		}
	}
}
