// Package pgtest runs a real PostgreSQL server for tests, in a directory of its own, on a free port of loopback.
package pgtest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Password is that of the user postgres, who may do everything.
const Password = "secret of the tests"

const startTimeout = time.Minute

// Server is a server and its data, which outlive its processes: it may be stopped or killed, and started again.
type Server struct {
	Port int

	dir      string
	programs string // directory of its programs
	as       *syscall.Credential
	settings []string
	process  *exec.Cmd
	log      *os.File
	schemas  atomic.Int64
}

// Find returns the directory of the server's programs, or "" if it is not installed.
func Find() string {
	if path, err := exec.LookPath("postgres"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			path = real
		}
		if _, err := os.Stat(filepath.Join(filepath.Dir(path), "initdb")); err == nil {
			return filepath.Dir(path)
		}
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres") // Debian's place, which is not in the path
	if len(found) == 0 {
		return ""
	}
	return filepath.Dir(found[len(found)-1])
}

// New starts a server with settings of postgresql.conf ("name = value") and ends it with the test. The test is skipped
// if there is no PostgreSQL. The data is in dir, or in a temporary directory if that is "".
func New(tb testing.TB, dir string, settings ...string) *Server {
	tb.Helper()
	programs := Find()
	if programs == "" {
		tb.Skip("postgres is not installed")
	}
	s, err := Create(programs, dir, settings...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Remove)
	return s
}

// Create makes a server of these programs and starts it. Remove it after.
func Create(programs, dir string, settings ...string) (*Server, error) {
	s := &Server{programs: programs, settings: settings}
	return s.begin(dir, s.initialize)
}

// Fork makes a server like s was when it was made, with other settings, and ends it with the test. It is much cheaper
// than New.
func (s *Server) Fork(tb testing.TB, settings ...string) *Server {
	tb.Helper()
	f := &Server{programs: s.programs, settings: settings}
	f, err := f.begin("", func() error {
		if out, err := f.command("cp", "-a", s.pristine(), f.data()).CombinedOutput(); err != nil {
			return fmt.Errorf("cp: %w: %s", err, out)
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(f.Remove)
	return f
}

// Standby makes a hot standby of s, which follows it as long as it runs, and ends it with the test. Promote makes it a
// server of its own.
func (s *Server) Standby(tb testing.TB, settings ...string) *Server {
	tb.Helper()
	f := &Server{programs: s.programs, settings: settings}
	f, err := f.begin("", func() error {
		base := f.command("pg_basebackup", "--pgdata", f.data(), "--write-recovery-conf", "--checkpoint=fast", "--no-sync",
			"--dbname", fmt.Sprintf("host=127.0.0.1 port=%d user=postgres", s.Port))
		base.Env = append(base.Env, "PGPASSWORD="+Password)
		if out, err := base.CombinedOutput(); err != nil {
			return fmt.Errorf("pg_basebackup: %w: %s", err, out)
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(f.Remove)
	return f
}

// Promote ends a standby's recovery.
func (s *Server) Promote(tb testing.TB) {
	tb.Helper()
	s.Query(tb, "SELECT pg_promote()")
}

// begin makes the server's directory, has it filled, and starts the server.
func (s *Server) begin(dir string, fill func() error) (*Server, error) {
	if err := s.create(dir, fill); err != nil {
		s.Remove()
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	return s, nil
}

func (s *Server) create(dir string, fill func() error) (err error) {
	// Not the test's own temporary directory: nobody else may enter that.
	if s.dir, err = os.MkdirTemp(dir, "waybill-postgres"); err != nil {
		return err
	}
	if err := s.owner(); err != nil {
		return err
	}
	if s.log, err = os.Create(filepath.Join(s.dir, "log")); err != nil {
		return err
	}
	if err := fill(); err != nil {
		return err
	}
	if s.Port, err = freePort(); err != nil {
		return err
	}
	return s.Start()
}

// initialize makes the data of an empty server, and a copy of it to fork from.
func (s *Server) initialize() error {
	password := filepath.Join(s.dir, "password")
	if err := os.WriteFile(password, []byte(Password), 0o644); err != nil {
		return err
	}
	initdb := s.command("initdb", "--pgdata", s.data(), "--username=postgres", "--auth=scram-sha-256", "--pwfile="+password,
		"--encoding=UTF8", "--locale=C", "--wal-segsize=4", "--no-sync", "--no-instructions")
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	if out, err := s.command("cp", "-a", s.data(), s.pristine()).CombinedOutput(); err != nil {
		return fmt.Errorf("cp: %w: %s", err, out)
	}
	return nil
}

// owner gives the directory to somebody whom the server lets run it: it refuses root.
func (s *Server) owner() error {
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return err
		}
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return err
	}
	s.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return os.Chown(s.dir, int(uid), int(gid))
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) pristine() string { return filepath.Join(s.dir, "pristine") }

// command is a program, if it has no path one of PostgreSQL's or the system's, run as the owner of the data.
func (s *Server) command(program string, args ...string) *exec.Cmd {
	if path := filepath.Join(s.programs, program); exists(path) {
		program = path
	}
	cmd := exec.Command(program, args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.SysProcAttr = processAttributes(s.as)
	return cmd
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// Start starts the server and waits until it takes connections. More settings may be given, for this time.
func (s *Server) Start(settings ...string) error {
	args := []string{
		"-D", s.data(), "-k", s.dir, "-p", strconv.Itoa(s.Port), "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200",
	}
	for _, setting := range append(append([]string(nil), s.settings...), settings...) {
		args = append(args, "-c", setting)
	}
	s.process = s.command("postgres", args...)
	s.process.Stdout, s.process.Stderr = s.log, s.log
	if err := s.process.Start(); err != nil {
		return err
	}
	return s.ready()
}

func (s *Server) ready() error {
	for until := time.Now().Add(startTimeout); ; time.Sleep(20 * time.Millisecond) {
		err := s.exec("SELECT 1")
		if err == nil {
			return nil
		}
		if time.Now().After(until) {
			return fmt.Errorf("the server does not start: %w: %s", err, s.Log())
		}
	}
}

// Log is what the server has written.
func (s *Server) Log() string {
	b, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	return string(bytes.TrimSpace(b))
}

// Stop shuts the server down properly, ending all connections.
func (s *Server) Stop() { s.end(syscall.SIGINT) }

// Kill ends all processes of the server at once, as a crash of the machine does but for its disk's cache.
func (s *Server) Kill() {
	if s.process == nil {
		return
	}
	children := childrenOf(s.process.Process.Pid)
	s.end(syscall.SIGKILL)
	for _, pid := range children {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	for _, pid := range children {
		for syscall.Kill(pid, 0) == nil && !zombie(pid) {
			time.Sleep(time.Millisecond)
		}
	}
}

func (s *Server) end(how syscall.Signal) {
	if s.process == nil {
		return
	}
	_ = s.process.Process.Signal(how)
	_ = s.process.Wait()
	s.process = nil
}

// childrenOf finds a process's children, as /proc has them.
func childrenOf(parent int) (pids []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, stat := range stats {
		if pid, _, ppid := readStat(stat); ppid == parent {
			pids = append(pids, pid)
		}
	}
	return pids
}

func zombie(pid int) bool {
	_, state, _ := readStat(fmt.Sprintf("/proc/%d/stat", pid))
	return state == "Z" || state == ""
}

// CPU is the processor time that the server's processes have used, those that have ended included.
func (s *Server) CPU() time.Duration {
	parent := s.process.Process.Pid
	ticks := ticksOf(parent)
	for _, pid := range childrenOf(parent) {
		ticks += ticksOf(pid)
	}
	return time.Duration(ticks) * time.Second / 100 // USER_HZ
}

// ticksOf reads utime, stime, cutime and cstime, which are fields 14 to 17 of proc(5)'s stat.
func ticksOf(pid int) (sum int64) {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(b), ") ")
	if fields := strings.Fields(rest); len(fields) > 14 {
		for _, f := range fields[11:15] {
			n, _ := strconv.ParseInt(f, 10, 64)
			sum += n
		}
	}
	return sum
}

// readStat reads the beginning of a file as proc(5) describes it: pid (name) state ppid.
func readStat(path string) (pid int, state string, ppid int) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, "", 0
	}
	first, rest, _ := strings.Cut(string(b), " (")
	pid, _ = strconv.Atoi(first)
	if i := strings.LastIndexByte(rest, ')'); i >= 0 {
		_, _ = fmt.Sscan(rest[i+1:], &state, &ppid)
	}
	return pid, state, ppid
}

// Remove stops the server and deletes its data.
func (s *Server) Remove() {
	s.end(syscall.SIGQUIT)
	if s.log != nil {
		_ = s.log.Close()
	}
	_ = os.RemoveAll(s.dir)
}

// URL is that of the database postgres, with further parameters ("name=value").
func (s *Server) URL(parameters ...string) string {
	return s.URLAt(fmt.Sprintf("127.0.0.1:%d", s.Port), Password, parameters...)
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
	return s.URLAt("", Password, append(parameters, "host="+s.dir, "port="+strconv.Itoa(s.Port))...)
}

// Schema makes an empty schema and returns the parameter that makes a connection use it.
func (s *Server) Schema(tb testing.TB) (parameter string) {
	tb.Helper()
	name := fmt.Sprintf("s%d", s.schemas.Add(1))
	s.Exec(tb, "CREATE SCHEMA "+name)
	return "search_path=" + name
}

// Exec executes SQL as the superuser.
func (s *Server) Exec(tb testing.TB, sql string, parameters ...string) {
	tb.Helper()
	if err := s.exec(sql, parameters...); err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
}

func (s *Server) exec(sql string, parameters ...string) error {
	_, err := query(s.URL(parameters...), sql)
	return err
}

// ExecAs executes SQL as somebody else.
func (s *Server) ExecAs(tb testing.TB, user, password, sql string) {
	tb.Helper()
	u, err := url.Parse(s.URL())
	if err != nil {
		tb.Fatal(err)
	}
	u.User = url.UserPassword(user, password)
	if _, err := query(u.String(), sql); err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
}

// Hold executes SQL and keeps its session, with the locks of its transaction, until release is called.
func (s *Server) Hold(tb testing.TB, sql string, parameters ...string) (release func()) {
	tb.Helper()
	ctx := context.Background()
	c, err := pgconn.Connect(ctx, s.URL(parameters...))
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := c.Exec(ctx, sql).ReadAll(); err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
	return func() { _ = c.Close(ctx) }
}

// Query executes SQL and returns the first column.
func (s *Server) Query(tb testing.TB, sql string, parameters ...string) []string {
	tb.Helper()
	list, err := query(s.URL(parameters...), sql)
	if err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
	return list
}

func query(url, sql string) (list []string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	c, err := pgconn.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	defer c.Close(ctx)
	results, err := c.Exec(ctx, sql).ReadAll()
	for _, r := range results {
		for _, row := range r.Rows {
			list = append(list, string(row[0]))
		}
	}
	return list, err
}
