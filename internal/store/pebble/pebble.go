// Package pebble is the embedded engine of the store: everything in one Pebble database, one shared fsync for
// the batches of all concurrent callers.
//
// # How a commit goes
//
// A batch is encoded outside of any lock. Under one short lock its checks are evaluated against everything
// applied so far, its counters are advanced, the numbers are written into their places, and it is applied to
// Pebble, which appends it to the log and makes it visible. The wait for the log's fsync is outside the lock, so
// that one fsync serves everybody who came meanwhile. The order of application is the order in the log: what is
// durable implies that everything before it is.
//
// # Keys and values on disk
//
//	0x00 'v'                     version up to which numbers are reserved (8 octets, big-endian)
//	0x00 'b' <bucket 8> <id 16>  a batch id: version (8), then each counter's number (8)
//	0x01 <key>                   a key of the user: version of the commit that wrote it (8), then the value
//
// Versions are reserved in advance, a million at a time, in the batch that needs them; so no batch pays for
// them and none is ever used again, not even one that a crash lost.
//
// # Failure
//
// Pebble lives in generations. The first write, sync, rename or the like that fails ends the generation: its file
// system (the fence) then swallows every further change without touching the disk, so that Pebble winds down
// without meeting the error a second time, without a retry on the same file and without its Fatalf or a panic;
// nobody who waited is told that anything succeeded (ErrUnknown), later callers get ErrUnavailable, and a new
// generation is opened after a pause that grows. It recovers from what is on the disk, as after a crash. The
// lock of the directory is the Store's own and outlives the generations.
//
// What this package deliberately does not do: it never repairs a corrupt database, and a read that fails is an
// error of that read only.
package pebble

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"waybill/internal/store"
	"waybill/internal/store/watch"
)

// ErrLocked is returned by Open while another Store, of this process or another one, has the directory open.
var ErrLocked = errors.New("store: in use by another process")

// Options say where the store is and how it behaves. Only Dir is required.
type Options struct {
	// Dir is the directory that holds the database; it is made if it is not there.
	Dir string
	// FS is the file system; nil is the operating system's.
	FS vfs.FS
	// Logger gets failures and recoveries; nil discards them.
	Logger *slog.Logger
	// ReopenPauses are the pauses before the attempts to reopen a failed store, the last one again and again.
	// Empty: 100 ms, growing to 30 s.
	ReopenPauses []time.Duration
	// MemTableSize is the size in octets that a table in memory grows to before it is written out; 0: 64 MiB.
	// Tests on file systems in memory take less.
	MemTableSize uint64
}

// Store is the engine. It implements store.Store.
type Store struct {
	o       Options
	lock    io.Closer
	cache   *pebble.Cache
	version atomic.Uint64 // of the newest commit, over all generations
	current atomic.Pointer[generation]
	cause   atomic.Pointer[error] // why the latest attempt to reopen failed
	watch   watch.Set

	closed  atomic.Bool
	closing sync.Once
	quit    chan struct{}  // closed by Close
	kept    chan struct{}  // closed when the keeper has ended
	retired sync.WaitGroup // generations being closed
	err     error          // of Close, for its second caller
}

var _ store.Store = (*Store)(nil)

// Open opens the store in o.Dir, or creates it. It returns ErrLocked while somebody else has it open.
func Open(o Options) (*Store, error) {
	o = withDefaults(o)
	if err := makeDir(o.FS, o.Dir); err != nil {
		return nil, fmt.Errorf("open store %s: %w", o.Dir, err)
	}
	lock, err := lockDir(o.FS, o.Dir)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", o.Dir, err)
	}
	s := &Store{
		o: o, lock: lock, cache: pebble.NewCache(cacheSize(o)),
		quit: make(chan struct{}), kept: make(chan struct{}),
	}
	g, err := s.openGeneration()
	if err != nil {
		s.retired.Wait()
		s.cache.Unref()
		_ = lock.Close()
		return nil, fmt.Errorf("open store %s: %w", o.Dir, err)
	}
	s.current.Store(g)
	go s.keep(g)
	return s, nil
}

func withDefaults(o Options) Options {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	o.Dir = o.FS.PathJoin(o.Dir) // in its shortest form, as the names of the files in it will be
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if len(o.ReopenPauses) == 0 {
		o.ReopenPauses = []time.Duration{
			100 * time.Millisecond, 300 * time.Millisecond, time.Second, 3 * time.Second, 10 * time.Second, 30 * time.Second,
		}
	}
	if o.MemTableSize == 0 {
		o.MemTableSize = memTableSize
	}
	return o
}

// makeDir makes dir and its parents and syncs each parent that got a new entry: a store whose directory is
// forgotten in a crash is lost as a whole.
func makeDir(fs vfs.FS, dir string) error {
	parent := fs.PathDir(dir)
	if _, err := fs.Stat(dir); err == nil {
		// It may have been made just before a stop, and its parent may be nothing that we may read.
		_ = syncDir(fs, parent)
		return nil
	}
	if parent != dir {
		if err := makeDir(fs, parent); err != nil {
			return err
		}
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncDir(fs, parent)
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// lockDir takes the lock that Pebble's own tools respect too.
func lockDir(fs vfs.FS, dir string) (io.Closer, error) {
	lock, err := pebble.LockDirectory(dir, fs)
	if err == nil {
		return lock, nil
	}
	var path *os.PathError
	held := strings.Contains(err.Error(), "held by current process") ||
		!errors.As(err, &path) && (errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES))
	if held {
		return nil, fmt.Errorf("%w: %w", ErrLocked, err)
	}
	return nil, err
}

// acquire returns the current generation for one operation; release it after.
func (s *Store) acquire() (*generation, error) {
	if s.closed.Load() {
		return nil, store.ErrClosed
	}
	g := s.current.Load()
	if err := g.acquire(); err != nil {
		if s.closed.Load() {
			return nil, store.ErrClosed
		}
		return nil, err
	}
	return g, nil
}

// Snapshot implements store.Store.
func (s *Store) Snapshot() (store.Snapshot, error) {
	g, err := s.acquire()
	if err != nil {
		return nil, err
	}
	defer g.release()
	return g.snapshot(s)
}

// Barrier implements store.Store. It costs nothing while everything applied is durable already, else a share of
// one fsync. Its promise ends with the generation: after a failure it returns ErrUnavailable until the store is
// reopened, and then speaks of the state that was recovered.
func (s *Store) Barrier(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	g, err := s.acquire()
	if err != nil {
		return err
	}
	defer g.release()
	return g.barrier()
}

// Watch implements store.Store.
func (s *Store) Watch(prefix []byte) (<-chan struct{}, func()) { return s.watch.Add(string(prefix)) }

// Healthy implements store.Store.
func (s *Store) Healthy() error {
	if s.closed.Load() {
		return store.ErrClosed
	}
	if s.current.Load().acquirable() {
		return nil
	}
	err := s.current.Load().failure()
	if cause := s.cause.Load(); cause != nil {
		err = fmt.Errorf("%w; reopen: %w", err, *cause)
	}
	return err
}

// DiskFree returns the octets that this process may still write on the file system of the store's directory.
func (s *Store) DiskFree() (uint64, error) {
	usage, err := s.o.FS.GetDiskUsage(s.o.Dir)
	if err != nil {
		return 0, fmt.Errorf("disk usage of %s: %w", s.o.Dir, err)
	}
	return usage.AvailBytes, nil
}

// Close implements store.Store. Snapshots that are still open become useless (ErrClosed); a scan under way ends
// first. It returns why the last batches may not be durable, if so.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.closed.Store(true)
		close(s.quit)
		<-s.kept
		s.retired.Wait()
		g := s.current.Load()
		if g.failed() {
			s.err = fmt.Errorf("close store: %w", g.failure())
		}
		s.cache.Unref()
		s.err = errors.Join(s.err, s.lock.Close())
	})
	return s.err
}
