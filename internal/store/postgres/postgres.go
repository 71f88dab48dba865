// Package postgres is the engine of the store for more than one machine: everything in a PostgreSQL database, or in
// one that speaks its protocol, which any number of nodes may use at the same time.
//
// # Tables
//
//	waybill_kv      key, version, value: the store. One B-tree, in the order of octets.
//	waybill_version the sequence that versions come from, 1024 at a time: one for each batch of a group
//	waybill_batch   ids of batches and their results, in buckets of ten minutes, of which two are kept
//	waybill_writer  a row for each connection that commits
//	waybill_change  a row for each group that was committed: its writer, its number there, the keys that it changed
//	waybill_meta    the schema's version, and the bucket that is filled
//
// Migrate makes them. A release refuses tables of a version that it does not know, also when they change under it.
//
// # How a commit goes
//
// Batches wait in a queue; a writer, one for each of a few connections, takes all that wait, as far as they have no
// key in common with those that another writer has, and commits them in one transaction. It has two halves, each a pipeline
// and so one round trip, with a number of statements that does not depend on the number of batches:
//
//  1. lock all keys that the batches name, in order (those whose version is only checked last, for reading), read versions and
//     counters, look for known ids, draw versions;
//  2. write, and COMMIT.
//
// In between the batches are evaluated here, one after another. A conflict so fails the batch that has it and no other.
// If the server does not like what one batch says, each batch of the group is committed alone.
//
// # Why this is one total order
//
// It is two-phase locking, at READ COMMITTED. A key that exists is locked by SELECT … FOR UPDATE. A key that does not
// exist cannot be locked, but it can be inserted: the second half inserts every key that the group found absent, and
// deletes those again that are to stay absent. Somebody else's insertion of the same key waits for the unique index, and
// then one of the two fails; it is tried again. So when the insertions have succeeded, everything that the group has
// seen is locked, and as it was seen.
//
// A range has no lock either. It is deleted after all that, and then looked at by a further statement, which waits for
// nobody: if it sees anything there, the transaction is tried again. So everything that was committed until that moment
// is in the order before the group, and what comes later after it, because from then on the group waits for no lock.
//
// Versions are drawn when the keys that exist are locked, so they grow along each key. For a key that was
// absent one more statement makes sure of it: a group that has changed it meanwhile, and drew a greater version, makes
// the transaction be tried again.
//
// Nothing of this relies on notifications, advisory locks, or a stronger isolation, which an engine may have all the same:
// a serialization failure is tried again too. Statements that are to fail divide by zero, which every engine knows.
//
// # Durability
//
// A group is durable when its COMMIT is answered; synchronous_commit = off is overridden. There is no short cut
// for lazy batches: only a commit that the server may forget is visible before it is durable, and with it the server
// forgets which versions it has given, though others may have read them. So Barrier costs nothing, unless there are
// synchronous standbys: then what can be read may still be on its way to them, and Barrier is a commit.
//
// # Failure
//
// If the connection is lost before the second half was sent, nothing was applied, and the group is tried on a new one.
// After that its COMMIT may have been executed, or be under way. The transaction holds the row of its writer; a new
// connection changes this row, for which it has to wait until the transaction has ended, and to which the old one can
// add nothing any more; then it looks whether the group's row is in waybill_change. A session that does not end is
// terminated. The commit of this question is as durable as any, so its answer is. It is the same after a warning at a
// COMMIT, which the server sends when somebody cancelled its wait for a standby. Only if the question cannot be asked either the
// caller gets ErrUnknown. A COMMIT is never cancelled.
//
// A node that is frozen, or cut off, while it holds locks does so for some seconds: between the halves the server ends its session
// (idle_in_transaction_session_timeout); if it was frozen while a half or its answer was under way, whoever waits for a lock in vain does.
//
// Any other failure (no connection, a read-only server, a full disk, a timeout) makes the store unavailable: batches and
// snapshots are refused, one line in the log says why and what to do, and the keeper tries until a commit succeeds.
//
// # Watching
//
// What this node commits is told at once. Of the others' writers the newest number in waybill_change is asked for twice
// a second, in one statement, and then what they changed since. Each writer's numbers become visible in their
// order, as it commits one group after another; a sequence for all would have gaps that fill up later.
//
// What this package deliberately does not do: it never creates tables on its own, and it takes no part in failover.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"waybill/internal/store"
	"waybill/internal/store/watch"
)

// Options say where the store is and how it behaves. Only URL is required.
type Options struct {
	// URL names the database: postgres://user:password@host:port/database, with the parameters, the environment variables
	// and the password file of libpq. Several hosts may be named; the one is used then that takes writes.
	URL string
	// Logger gets failures and recoveries; nil discards them.
	Logger *slog.Logger
	// Writers is how many connections commit; 0: 2.
	Writers int
	// Readers is how many connections, and so snapshots, may be open at the same time; 0: 16.
	Readers int
	// SnapshotAge is how long a snapshot may be used; 0: 30 minutes. An old one keeps the server from cleaning up.
	SnapshotAge time.Duration
	// Patience is how long a caller waits for the server at most, to connect, for a free reader, or to learn what became
	// of a commit; 0: 20 s.
	Patience time.Duration
	// ReopenPauses are the pauses before the attempts to reach a server that failed, the last one again and again.
	// Empty: 100 ms, growing to 3 s.
	ReopenPauses []time.Duration

	schemas  *schemas      // nil: those of this release
	lockWait time.Duration // how long a statement waits for a lock; 0: 10 s
	idleWait time.Duration // how long the server waits for the second half of a transaction; 0: 5 s
}

// Store is the engine. It implements store.Store.
type Store struct {
	o       Options
	cfg     *pgconn.Config
	queue   *queue
	readers *readers
	watch   watch.Set
	mine    sync.Map // ids of this store's writers
	links   sync.Map // their connections
	// replicated: the server waits for a standby, so what can be read may not be as durable as it should.
	replicated atomic.Bool

	mu     sync.Mutex
	down   error         // why batches are refused, or nil
	failed chan struct{} // tells the keeper of it

	ctx     context.Context // ends with the store
	cancel  context.CancelFunc
	closed  atomic.Bool
	closing sync.Once
	quit    chan struct{}
	working sync.WaitGroup // writers
	kept    chan struct{}  // closed when the keeper has ended
	err     error          // of Close, for its second caller
}

var _ store.Store = (*Store)(nil)

// Open connects to the database, which must hold the tables that Migrate makes. Errors: ErrNoSchema, ErrOldSchema,
// ErrNewSchema, and why the server cannot be used.
func Open(o Options) (*Store, error) {
	o = withDefaults(o)
	cfg, err := parse(o.URL)
	if err != nil {
		return nil, err
	}
	s := &Store{
		o: o, cfg: cfg, queue: newQueue(), failed: make(chan struct{}, 1), quit: make(chan struct{}), kept: make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.readers = newReaders(s)
	first := &writer{s: s}
	if err := first.ready(); err != nil {
		s.cancel()
		return nil, fmt.Errorf("open the store in %s: %w", place(cfg), explain(err))
	}
	k := &keeper{s: s}
	if err := k.poll(); err != nil { // what is to be heard of begins here
		first.disconnect()
		s.cancel()
		return nil, fmt.Errorf("open the store in %s: %w", place(cfg), explain(err))
	}
	s.working.Go(first.work)
	for range o.Writers - 1 {
		w := &writer{s: s}
		s.working.Go(w.work)
	}
	go k.keep()
	return s, nil
}

func withDefaults(o Options) Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.schemas == nil {
		o.schemas = ours()
	}
	if o.Writers <= 0 {
		o.Writers = 2
	}
	if o.Readers <= 0 {
		o.Readers = 16
	}
	if o.SnapshotAge <= 0 {
		o.SnapshotAge = 30 * time.Minute
	}
	if o.Patience <= 0 {
		o.Patience = 20 * time.Second
	}
	if o.lockWait <= 0 {
		o.lockWait = lockWait
	}
	if o.idleWait <= 0 {
		o.idleWait = idleWait
	}
	if len(o.ReopenPauses) == 0 {
		o.ReopenPauses = []time.Duration{
			100 * time.Millisecond, 300 * time.Millisecond, time.Second, 3 * time.Second,
		}
	}
	return o
}

// dialStore connects and sees that this release can use the tables.
func (s *Store) dialStore(ctx context.Context) (*link, error) {
	l, err := dial(ctx, s.cfg)
	if err != nil {
		return nil, err
	}
	if s.o.lockWait != lockWait {
		err = l.exec(ctx, fmt.Sprintf("SET lock_timeout = %d", s.o.lockWait.Milliseconds()))
	}
	if err == nil {
		err = l.checkSchema(ctx, s.o.schemas)
	}
	if err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// Commit implements store.Store. A Lazy batch is as durable as any other when it returns: the server shows nothing
// before it is durable, unless it is told to forget it in a crash, versions included, which others may have read.
// Keys have at most 2,600 octets, a batch 512 MiB; beyond, an error says so.
func (s *Store) Commit(ctx context.Context, b *store.Batch) (store.Result, error) {
	if err := ctx.Err(); err != nil {
		return store.Result{}, err
	}
	if err := check(b); err != nil {
		return store.Result{}, err
	}
	return s.commit(ctx, b)
}

func (s *Store) commit(ctx context.Context, b *store.Batch) (store.Result, error) {
	j := newJob(b)
	if err := s.queue.push(j); err != nil {
		return store.Result{}, err
	}
	o := s.queue.wait(ctx, j, s.patienceOfCallers())
	return o.result, o.err
}

// applied tells those who watch of a group that was committed.
func (s *Store) applied(a *attempt) {
	if s.watch.Empty() {
		return
	}
	for _, key := range a.writes.affected {
		s.watch.Key([]byte(key))
	}
	for _, r := range a.plan.ranges {
		s.watch.Range(r)
	}
}

// Snapshot implements store.Store.
func (s *Store) Snapshot() (store.Snapshot, error) {
	if err := s.Healthy(); err != nil {
		return nil, err
	}
	return s.readers.open()
}

// Barrier implements store.Store. A server without synchronous standbys shows only what is durable, so there is nothing
// to wait for; on one that has them it is a commit.
func (s *Store) Barrier(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.Healthy(); err != nil {
		return err
	}
	if !s.replicated.Load() {
		return nil
	}
	_, err := s.commit(ctx, &store.Batch{})
	return err
}

// Watch implements store.Store. What other nodes commit is heard of within half a second, if the server is
// not slow.
func (s *Store) Watch(prefix []byte) (<-chan struct{}, func()) { return s.watch.Add(string(prefix)) }

// Healthy implements store.Store.
func (s *Store) Healthy() error {
	if s.closed.Load() {
		return store.ErrClosed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.down
}

// fail marks the store as failed because of err, until the keeper finds it well again, and returns what callers are told.
func (s *Store) fail(err error) error {
	told := unavailable(store.ErrUnavailable, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil || s.ctx.Err() != nil {
		return told
	}
	s.down = told
	s.queue.fail(told)
	s.o.Logger.Error("store failed, batches are refused until it answers again", "store", place(s.cfg), "error", explain(err).Error())
	select {
	case s.failed <- struct{}{}:
	default:
	}
	return told
}

// still notes why the store cannot be used yet; the operator hears of it if that is another reason than before.
func (s *Store) still(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if code(err) == code(s.down) {
		return
	}
	s.down = unavailable(store.ErrUnavailable, err)
	s.o.Logger.Error("store cannot be used yet", "store", place(s.cfg), "error", explain(err).Error())
}

// recovered ends a failure.
func (s *Store) recovered() {
	s.mu.Lock()
	s.down = nil
	s.queue.accept()
	s.mu.Unlock()
	s.o.Logger.Info("store answers again", "store", place(s.cfg))
	s.watch.All()
}

// Close implements store.Store. Snapshots that are still open become useless (ErrClosed). It returns an error if the server
// has not answered the last commits in time.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.closed.Store(true)
		s.queue.close()
		if !s.drained() {
			s.err = fmt.Errorf("close the store: %w", errStuck)
		}
		s.Abandon()
		s.working.Wait()
		close(s.quit)
		<-s.kept
		s.readers.close()
	})
	return s.err
}

// Abandon ends every wait for the server, for good: those who wait get ErrUnavailable, or ErrUnknown where a COMMIT is on its way. For a
// process that must end although the server does not answer: nothing but Close makes sense after it.
func (s *Store) Abandon() {
	s.cancel()
	s.links.Range(func(l, _ any) bool {
		l.(*link).cut()
		return true
	})
}

// drained waits for the writers to end, and tells whether they have.
func (s *Store) drained() bool {
	ended := make(chan struct{})
	go func() {
		s.working.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return true
	case <-time.After(s.patienceOfCallers()):
		return false
	}
}

// patienceOfCallers is how long a batch may take altogether.
func (s *Store) patienceOfCallers() time.Duration { return 3 * s.o.Patience }

// errStuck: a caller's time was up.
var errStuck = errors.New("the server does not answer (does it wait for a synchronous standby?)")
