// Package pgtest runs a real PostgreSQL server for tests, in a directory of its own, on a free port of loopback.
package pgtest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"waybill/internal/store/postgres/pgserver"
)

// Password is that of the user postgres, who may do everything.
const Password = "secret of the tests"

const queryTimeout = time.Minute

// Server is a server and its data, which outlive its processes: it may be stopped or killed, and started again.
type Server struct {
	*pgserver.Server
	schemas atomic.Int64
}

// find returns the directory of the server's programs. The test is skipped if it is not installed.
func find(tb testing.TB) string {
	tb.Helper()
	programs, err := pgserver.Find()
	if err != nil {
		tb.Skip("PostgreSQL is not installed:", err)
	}
	return programs
}

// New starts a server with settings of postgresql.conf ("name = value") and ends it with the test. The test is skipped
// if there is no PostgreSQL. The data is in dir, or in a temporary directory if that is "".
func New(tb testing.TB, dir string, settings ...string) *Server {
	tb.Helper()
	s, err := Create(find(tb), dir, settings...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Remove)
	return s
}

// Create makes a server of these programs and starts it. Remove it after.
func Create(programs, dir string, settings ...string) (*Server, error) {
	return create(programs, dir, settings, func(s *pgserver.Server) error {
		if err := s.Initialize(context.Background()); err != nil {
			return err
		}
		return s.Run(context.Background(), nil, "cp", "-a", s.Data(), pristine(s))
	})
}

// Fork makes a server like s was when it was made, with other settings, and ends it with the test. It is much cheaper
// than New.
func (s *Server) Fork(tb testing.TB, settings ...string) *Server {
	tb.Helper()
	return s.another(tb, settings, func(f *pgserver.Server) error {
		return f.Run(context.Background(), nil, "cp", "-a", pristine(s.Server), f.Data())
	})
}

// Standby makes a hot standby of s, which follows it as long as it runs, and ends it with the test. Promote makes it a
// server of its own.
func (s *Server) Standby(tb testing.TB, settings ...string) *Server {
	tb.Helper()
	return s.another(tb, settings, func(f *pgserver.Server) error {
		return f.Run(context.Background(), []string{"PGPASSWORD=" + Password}, "pg_basebackup",
			"--pgdata", f.Data(), "--write-recovery-conf", "--checkpoint=fast", "--no-sync",
			"--dbname", fmt.Sprintf("host=127.0.0.1 port=%d user=postgres", s.Port))
	})
}

func (s *Server) another(tb testing.TB, settings []string, fill func(*pgserver.Server) error) *Server {
	tb.Helper()
	f, err := create(s.Programs(), "", settings, fill)
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

// create makes the server's directory, in dir, has it filled, and starts the server.
func create(programs, dir string, settings []string, fill func(*pgserver.Server) error) (*Server, error) {
	// Not the test's own temporary directory: nobody else may enter that.
	dir, err := os.MkdirTemp(dir, "waybill-postgres")
	if err != nil {
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	s, err := pgserver.Create(context.Background(), pgserver.Options{
		Programs: programs, Dir: dir, Password: Password, Settings: settings, Fill: fill,
	})
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	return &Server{Server: s}, nil
}

// pristine is a copy of a new server's data, to fork from.
func pristine(s *pgserver.Server) string { return filepath.Join(s.Dir(), "pristine") }

// Kill ends all processes of the server at once, as a crash of the machine does but for its disk's cache.
func (s *Server) Kill() {
	pid := s.PID()
	if pid == 0 {
		return
	}
	children := childrenOf(pid)
	s.End(syscall.SIGKILL)
	for _, pid := range children {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	for _, pid := range children {
		for syscall.Kill(pid, 0) == nil && !zombie(pid) {
			time.Sleep(time.Millisecond)
		}
	}
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
	parent := s.PID()
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

// Hold executes SQL and keeps its session, with the locks of its transaction, until release is called, which rolls it back.
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
	return func() {
		_, _ = c.Exec(ctx, "ROLLBACK").ReadAll() // of the end of a session nothing tells when it is over
		_ = c.Close(ctx)
	}
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
	ctx, cancel := context.WithTimeout(context.Background(), queryTimeout)
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
