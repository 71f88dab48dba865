package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// connectTimeout bounds one attempt to connect, unless the URL says connect_timeout.
const connectTimeout = 10 * time.Second

// link is one connection to the server.
type link struct {
	conn     *pgconn.PgConn
	prepared map[string]bool
	// warned: a warning came since it was last cleared. To a COMMIT it says that the commit is not what was asked for.
	warned atomic.Bool
	// sealed: no request to cancel may be sent any more, because a COMMIT is under way.
	sealed atomic.Bool
}

// errSealed keeps pgconn from asking the server to cancel a COMMIT, as it does with whatever is under way when a
// connection ends: what waits for a synchronous standby would be made visible without it.
var errSealed = errors.New("a COMMIT is not cancelled")

// errURL holds nothing of the URL, as any part of it may be the password.
var errURL = errors.New("the store's URL cannot be read: write postgres://user:password@host:port/database, with special " +
	"characters of the password in percent-encoding")

// parse reads a URL (or a list of key=value) as libpq does, with its environment variables and password file.
func parse(url string) (*pgconn.Config, error) {
	cfg, err := pgconn.ParseConfig(url)
	var file *fs.PathError
	if errors.As(err, &file) {
		return nil, fmt.Errorf("a file that the store's URL names cannot be read: %w", file)
	}
	if err != nil {
		return nil, errURL
	}
	if cfg.ValidateConnect == nil {
		cfg.ValidateConnect = takesWrites
	}
	return cfg, nil
}

// takesWrites looks at each server before it is used, unless the URL says which one to take. One that takes no writes may lag behind:
// what was acknowledged would be missing there. A URL may name several, and so may a name that has several addresses.
func takesWrites(ctx context.Context, c *pgconn.PgConn) error {
	results, err := c.Exec(ctx, "SHOW transaction_read_only").ReadAll()
	switch {
	case code(err) != "": // an engine that has no such setting
		return nil
	case err != nil:
		return err
	case len(results) == 1 && len(results[0].Rows) == 1 && string(results[0].Rows[0][0]) == "on":
		return &pgconn.PgError{Severity: "ERROR", Code: "25006", Message: "the server takes no writes"} // read_only_sql_transaction
	}
	return nil
}

// place names the store in logs and errors, without secrets.
func place(cfg *pgconn.Config) string {
	return fmt.Sprintf("%s:%d/%s", cfg.Host, cfg.Port, cfg.Database)
}

// lockWait is how long a statement waits for a lock, as settings say.
const lockWait = 10 * time.Second

// settings are what a session needs, if the server knows them.
var settings = []string{
	"SET enable_seqscan = off", // statistics of a table that has just been filled say nothing
	"SET jit = off",
	"SET lock_timeout = '10s'",
	"SET idle_in_transaction_session_timeout = 0", // snapshots have a limit of their own, writers a shorter one
	// A client that has gone must not hold locks for long.
	"SET tcp_keepalives_idle = 10", "SET tcp_keepalives_interval = 5", "SET tcp_keepalives_count = 3",
}

// dial connects and makes the session ready. It checks nothing of the store's tables.
func dial(ctx context.Context, cfg *pgconn.Config) (*link, error) {
	l := &link{prepared: map[string]bool{}}
	cfg = cfg.Copy()
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = connectTimeout
	}
	dialer := &net.Dialer{
		Timeout: cfg.ConnectTimeout, Control: boundSilence,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3},
	}
	cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if l.sealed.Load() {
			return nil, errSealed
		}
		return dialer.DialContext(ctx, network, addr)
	}
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if n.SeverityUnlocalized == "WARNING" || n.Severity == "WARNING" {
			l.warned.Store(true)
		}
	}
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "waybill"
	}
	ctx, cancel := context.WithTimeout(ctx, 3*cfg.ConnectTimeout)
	defer cancel()
	var err error
	if l.conn, err = pgconn.ConnectConfig(ctx, cfg); err != nil {
		return nil, err
	}
	if err := l.prepare(ctx); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// prepare makes the session's settings.
func (l *link) prepare(ctx context.Context) error {
	if err := l.exec(ctx, strings.Join(settings, ";")); err != nil {
		for _, s := range settings { // an engine that does not know one of them
			if err := l.exec(ctx, s); err != nil && code(err) == "" {
				return err
			}
		}
	}
	return l.demandSync(ctx)
}

// demandSync sees to it that a commit is durable when it returns: what the server's synchronous_commit says is its
// operator's choice, except for off.
func (l *link) demandSync(ctx context.Context) error {
	results, err := l.conn.Exec(ctx, "SHOW synchronous_commit").ReadAll()
	if err != nil {
		if code(err) != "" {
			return nil // an engine that has no such choice
		}
		return err
	}
	if len(results) == 1 && len(results[0].Rows) == 1 && string(results[0].Rows[0][0]) == "off" {
		return l.exec(ctx, "SET synchronous_commit = on")
	}
	return nil
}

// close ends the connection, without waiting for what may be under way.
func (l *link) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = l.conn.Close(ctx)
}

// cut ends the connection under the feet of whoever uses it.
func (l *link) cut() {
	l.sealed.Store(true)
	_ = l.conn.Conn().Close()
}

// request is one statement of a pipeline.
type request struct {
	statement statement
	params    [][]byte
	row       func(values [][]byte) error // for each row; what it gets is valid until it returns
	tag       string                      // what the server said, afterwards
	rows      int64                       // how many rows it spoke of
}

// send sends all requests in one go and reads the answers. The first error ends it: what follows was not executed. Nothing goes out
// before all is ready: a node that is frozen in between would hold its locks, and no time-out of the server's counts then.
func (l *link) send(ctx context.Context, requests ...*request) error {
	p := l.conn.StartPipeline(ctx)
	fresh := make([]bool, len(requests))
	for i, r := range requests {
		if s := r.statement; !l.prepared[s.name] {
			fresh[i] = true
			p.SendPrepare(s.name, s.sql, s.params)
		}
		p.SendQueryPrepared(r.statement.name, r.params, formats(len(r.params)), binaryFormat)
	}
	err := p.Sync()
	for i, r := range requests {
		if err != nil {
			break
		}
		if fresh[i] {
			if _, err = p.GetResults(); err != nil {
				break
			}
			l.prepared[r.statement.name] = true
		}
		err = r.read(p)
	}
	if err == nil {
		_, err = p.GetResults()
	}
	if closing := p.Close(); err == nil {
		err = closing
	}
	return err
}

var binaryFormat = []int16{1}

// formats says that all parameters are binary.
func formats(n int) []int16 {
	if n == 0 {
		return nil
	}
	return binaryFormat
}

func (r *request) read(p *pgconn.Pipeline) error {
	results, err := p.GetResults()
	if err != nil {
		return err
	}
	reader, ok := results.(*pgconn.ResultReader)
	if !ok {
		return errShortAnswer
	}
	for reader.NextRow() {
		if r.row == nil || err != nil {
			continue
		}
		err = r.row(reader.Values())
	}
	tag, closing := reader.Close()
	r.tag, r.rows = tag.String(), tag.RowsAffected()
	return errors.Join(closing, err)
}

// lost tells whether the connection has ended.
func (l *link) lost() bool { return l.conn.IsClosed() }
