package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// databaseSettings are what docs/bench.md says of the servers; all that concerns durability is as it comes.
var databaseSettings = []string{"shared_buffers=512MB", "max_wal_size=4GB", "max_connections=200", "listen_addresses=127.0.0.1"}

// prepared is the database that those of the nodes are copies of.
const prepared = "prepared"

// database is a PostgreSQL server of the benchmark's own, with its data in a directory of its own, and perhaps a standby that follows it.
// It may be started and stopped many times.
type database struct {
	programs string              // directory
	dir      string              // with the data, the socket and the log
	as       *syscall.Credential // whom it runs as; nil: as this program
	port     string
	process  *exec.Cmd
	standby  *database // commits wait for it; nil: there is none
	made     int       // databases for nodes
}

// findPostgres returns the directory of the server's programs, or "". Debian keeps it out of the path.
func findPostgres() string {
	path, err := exec.LookPath("postgres")
	if err != nil {
		found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
		if len(found) == 0 {
			return ""
		}
		path = found[len(found)-1]
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	return filepath.Dir(path)
}

// newDatabase makes an empty server under the directory parent, which is not started yet.
func newDatabase(ctx context.Context, programs, parent string) (*database, error) {
	d := &database{programs: programs}
	if err := d.directory(parent); err != nil {
		return nil, err
	}
	secret := filepath.Join(d.dir, "password")
	if err := os.WriteFile(secret, []byte(password), 0o644); err != nil {
		return nil, d.removed(err)
	}
	_, err := d.run(ctx, "initdb", "--pgdata", d.data(), "--username=postgres", "--auth=scram-sha-256", "--pwfile="+secret,
		"--encoding=UTF8", "--locale=C", "--no-instructions")
	if err != nil {
		return nil, d.removed(err)
	}
	return d, nil
}

// follow makes a standby of d, which must run. From its next start on d commits nothing that the standby has not on its disk too.
func (d *database) follow(ctx context.Context, parent string) error {
	s := &database{programs: d.programs}
	if err := s.directory(parent); err != nil {
		return err
	}
	d.standby = s
	_, err := s.run(ctx, "pg_basebackup", "--pgdata", s.data(), "--write-recovery-conf", "--checkpoint=fast",
		"--dbname", "host=127.0.0.1 user=postgres port="+d.port)
	return err
}

// directory makes that of the server, and a port for it. PostgreSQL refuses to be run by root.
func (d *database) directory(parent string) (err error) {
	ports, err := freePorts(1)
	if err != nil {
		return err
	}
	d.port = ports[0]
	if d.dir, err = os.MkdirTemp(parent, "waybill-bench-postgres-"); err != nil || os.Getuid() != 0 {
		return err
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return d.removed(err)
		}
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	d.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return d.removed(os.Chown(d.dir, int(uid), int(gid)))
}

// removed removes what there is of a server if err is not nil, and returns it.
func (d *database) removed(err error) error {
	if err != nil {
		d.remove()
	}
	return err
}

func (d *database) data() string { return filepath.Join(d.dir, "data") }

func (d *database) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	if path := filepath.Join(d.programs, program); fileExists(path) {
		program = path
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = d.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "PGPASSWORD="+password)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: d.as, Setpgid: true}
	return cmd
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// run runs one of PostgreSQL's programs to its end and returns what it prints.
func (d *database) run(ctx context.Context, program string, args ...string) (string, error) {
	out, err := d.command(ctx, program, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", program, err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// start starts the server, with its standby if it has one, and returns when they are ready.
func (d *database) start(ctx context.Context) (err error) {
	if d.standby == nil {
		return d.serve(ctx)
	}
	// The standby asks again every five seconds for a server that is not there yet, so it is started second.
	if err := errors.Join(d.serve(ctx, "synchronous_standby_names=*", "wal_keep_size=256MB"), d.standby.serve(ctx)); err != nil {
		return err
	}
	return d.await(ctx, "the standby does not follow", func() bool {
		state, err := d.query(ctx, "postgres", "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'")
		return err == nil && state == "1"
	})
}

func (d *database) serve(ctx context.Context, more ...string) error {
	args := []string{"-D", d.data(), "-k", d.dir, "-p", d.port}
	for _, setting := range append(databaseSettings[:len(databaseSettings):len(databaseSettings)], more...) {
		args = append(args, "-c", setting)
	}
	log, err := os.OpenFile(filepath.Join(d.dir, "postgres.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	d.process = d.command(context.WithoutCancel(ctx), "postgres", args...)
	d.process.Stdout, d.process.Stderr = log, log
	if err := d.process.Start(); err != nil {
		d.process = nil
		return err
	}
	return d.await(ctx, "it does not start", func() bool {
		_, err := d.query(ctx, "postgres", "SELECT 1")
		return err == nil
	})
}

// await returns when something has become true, or an error with the end of the log.
func (d *database) await(ctx context.Context, what string, is func() bool) error {
	for until := time.Now().Add(time.Minute); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(until) || ctx.Err() != nil {
			return fmt.Errorf("PostgreSQL: %s\n%s", what, logTail(d.dir))
		}
	}
	return nil
}

// stop shuts the server down, and its standby when that has everything.
func (d *database) stop() error {
	if d.process != nil {
		d.process.Process.Signal(syscall.SIGINT) // ends the sessions, and waits for the standby
		d.process.Wait()
		d.process = nil
	}
	if d.standby != nil {
		return d.standby.stop()
	}
	return nil
}

// remove stops the server and deletes what it has, its standby's too.
func (d *database) remove() {
	d.stop()
	if d.standby != nil {
		d.standby.remove()
	}
	os.RemoveAll(d.dir)
}

// query returns the answer to one statement: rows are lines, columns have a bar between.
func (d *database) query(ctx context.Context, name, sql string) (string, error) {
	return d.run(ctx, "psql", "-X", "-A", "-t", "-q", "-c", sql, d.url(name, d.port))
}

// url of a database, by way of that port.
func (d *database) url(name, port string) string {
	return fmt.Sprintf("postgres://postgres:%s@127.0.0.1:%s/%s?sslmode=disable", password, port, name)
}

// create makes a new database, a copy of the prepared one, and begins a checkpoint's distance anew: no run pays for those before it.
func (d *database) create(ctx context.Context) (name string, err error) {
	d.made++
	name = d.newest()
	if _, err = d.query(ctx, "postgres", "CREATE DATABASE "+name+" TEMPLATE "+prepared); err == nil {
		_, err = d.query(ctx, "postgres", "CHECKPOINT")
	}
	return name, err
}

// newest is the name of the database that was made last.
func (d *database) newest() string { return fmt.Sprintf("bench%d", d.made) }

func (d *database) drop(ctx context.Context, name string) error {
	_, err := d.query(ctx, "postgres", "DROP DATABASE "+name)
	return err
}
