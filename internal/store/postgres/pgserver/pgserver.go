// Package pgserver runs a PostgreSQL server of one's own, in a directory of its own, on a free port of loopback, for as long as the
// process lives that started it. It is for the lab and for tests; whoever runs a mail server has their database already.
package pgserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

const (
	startTimeout = time.Minute
	stopTimeout  = 10 * time.Second
)

// Options is what a Server is made of.
type Options struct {
	Programs string              // directory of PostgreSQL's programs; required: see Find
	Dir      string              // for the server alone: it must exist, be empty, and let the server's user in; required
	Password string              // of the user postgres, who may do everything; required
	Settings []string            // of postgresql.conf, "name = value"
	Fill     func(*Server) error // makes the data; default: Initialize
}

// Server is a server and its data, which outlive its processes: it may be stopped or killed, and started again.
type Server struct {
	Port int

	o       Options
	as      *syscall.Credential // nil: who runs this process
	process *process            // nil: none runs
	log     *os.File
}

// Create makes a server and starts it. Remove it after. It ends, with nothing left but the directory, when ctx is done before
// the server takes connections.
func Create(ctx context.Context, o Options) (*Server, error) {
	s := &Server{o: o}
	if o.Fill == nil {
		s.o.Fill = func(s *Server) error { return s.Initialize(ctx) }
	}
	if err := s.create(ctx, freePort); err != nil {
		return nil, errors.Join(err, s.close(syscall.SIGQUIT))
	}
	return s, nil
}

// create makes and starts the server on a port that port chooses, again and again if the one is taken.
func (s *Server) create(ctx context.Context, port func() (int, error)) (err error) {
	// Before the directory is somebody else's, who could put a link there.
	if s.log, err = os.Create(filepath.Join(s.o.Dir, "log")); err != nil {
		return err
	}
	if err := os.WriteFile(s.passwordFile(), []byte(s.o.Password), 0o600); err != nil {
		return err
	}
	if err := s.settle(); err != nil {
		return err
	}
	if err := s.o.Fill(s); err != nil {
		return err
	}
	return s.startSomewhere(ctx, port)
}

// portTries bounds how often another port is taken because somebody else was faster to take the one that was free.
const portTries = 5

func (s *Server) startSomewhere(ctx context.Context, port func() (int, error)) (err error) {
	for range portTries {
		if s.Port, err = port(); err != nil {
			return err
		}
		if err = s.start(ctx); err == nil || !strings.Contains(s.Log(), "could not bind") {
			return err
		}
	}
	return err
}

// Initialize makes the data of an empty server.
func (s *Server) Initialize(ctx context.Context) error {
	return s.Run(ctx, nil, "initdb", "--pgdata", s.Data(), "--username=postgres", "--auth=scram-sha-256", "--pwfile="+s.passwordFile(),
		"--encoding=UTF8", "--locale=C", "--wal-segsize=4", "--no-sync", "--no-instructions")
}

func (s *Server) passwordFile() string { return filepath.Join(s.o.Dir, "password") }

// Data is the directory of the server's data.
func (s *Server) Data() string { return filepath.Join(s.o.Dir, "data") }

// Dir is the server's directory.
func (s *Server) Dir() string { return s.o.Dir }

// Programs is the directory of its programs.
func (s *Server) Programs() string { return s.o.Programs }

// Run runs a program to its end, if it has no path one of PostgreSQL's or the system's, as the owner of the data.
func (s *Server) Run(ctx context.Context, env []string, program string, args ...string) error {
	cmd := s.command(ctx, program, args...)
	cmd.Env = append(cmd.Env, env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("%s: %w: %s", program, err, bytes.TrimSpace(out))
	}
	return nil
}

func (s *Server) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	path := filepath.Join(s.o.Programs, program)
	if _, err := os.Stat(path); err != nil {
		path = program
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = s.o.Dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.SysProcAttr = attributes(s.as)
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // initdb has children
	return cmd
}

// Start starts the server and waits until it takes connections. More settings may be given, for this time.
func (s *Server) Start(settings ...string) error { return s.start(context.Background(), settings...) }

func (s *Server) start(ctx context.Context, settings ...string) (err error) {
	args := []string{
		"-D", s.Data(), "-k", s.socketDir(), "-p", strconv.Itoa(s.Port), "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200",
	}
	for _, setting := range append(append([]string(nil), s.o.Settings...), settings...) {
		args = append(args, "-c", setting)
	}
	cmd := s.command(context.WithoutCancel(ctx), "postgres", args...)
	cmd.Stdout, cmd.Stderr = s.log, s.log
	if s.process, err = begin(cmd); err != nil {
		return err
	}
	return s.ready(ctx)
}

// maxSocketPath is how long the path of a socket may be anywhere.
const maxSocketPath = 103

// socketDir is where the server makes its socket: in its directory, or nowhere if the path would be too long.
func (s *Server) socketDir() string {
	if len(filepath.Join(s.o.Dir, ".s.PGSQL.65535")) > maxSocketPath {
		return ""
	}
	return s.o.Dir
}

func (s *Server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("it takes no connections after %s", startTimeout))
	defer cancel()
	for {
		err := s.ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-s.process.ended:
			s.process = nil
			return fmt.Errorf("PostgreSQL does not start: %s", s.Log())
		case <-ctx.Done():
			return fmt.Errorf("PostgreSQL does not start: %w (%w): %s", context.Cause(ctx), err, s.Log())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// errOtherServer: somebody else has the port.
var errOtherServer = errors.New("another server answers at its port")

// ask asks the server whether it is this one.
func (s *Server) ask(ctx context.Context) error {
	c, err := pgconn.Connect(ctx, s.URL())
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	results, err := c.Exec(ctx, "SHOW data_directory").ReadAll()
	if err != nil {
		return err
	}
	if len(results) != 1 || len(results[0].Rows) != 1 || string(results[0].Rows[0][0]) != s.Data() {
		return errOtherServer
	}
	return nil
}

// Log is what the server has written.
func (s *Server) Log() string {
	b, _ := os.ReadFile(filepath.Join(s.o.Dir, "log"))
	return string(bytes.TrimSpace(b))
}

// PID is that of the server's first process, the parent of the others; 0 if none runs.
func (s *Server) PID() int {
	if s.process == nil {
		return 0
	}
	return s.process.cmd.Process.Pid
}

// Stop shuts the server down properly, ending all connections.
func (s *Server) Stop() { s.End(syscall.SIGINT) }

// End ends the server's first process by a signal: SIGINT properly, SIGQUIT at once, SIGKILL without its children.
func (s *Server) End(how syscall.Signal) {
	if s.process == nil {
		return
	}
	s.process.end(how)
	s.process = nil
}

// Close stops the server properly, for good, and leaves its data where they are.
func (s *Server) Close() error { return s.close(syscall.SIGINT) }

func (s *Server) close(how syscall.Signal) error {
	s.End(how)
	if s.log == nil {
		return nil
	}
	return s.log.Close()
}

// Remove ends the server at once and deletes its directory.
func (s *Server) Remove() {
	_ = s.close(syscall.SIGQUIT)
	_ = os.RemoveAll(s.o.Dir)
}

// URL is that of the database postgres, with further parameters ("name=value").
func (s *Server) URL(parameters ...string) string {
	return s.URLAt(fmt.Sprintf("127.0.0.1:%d", s.Port), s.o.Password, parameters...)
}

// URLAt is the same, with another address or password.
func (s *Server) URLAt(address, password string, parameters ...string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword("postgres", password), Host: address, Path: "/postgres"}
	q := url.Values{"sslmode": {"disable"}}
	for _, p := range parameters {
		name, value, _ := strings.Cut(p, "=")
		q.Set(name, value)
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// SocketURL is that of the database by way of a socket in the file system.
func (s *Server) SocketURL(parameters ...string) string {
	return s.URLAt("", s.o.Password, append(parameters, "host="+s.o.Dir, "port="+strconv.Itoa(s.Port))...)
}
