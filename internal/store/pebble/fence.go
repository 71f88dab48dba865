package pebble

import (
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// errFenced is what a dead generation gets when it opens a file.
var errFenced = errors.New("store: this generation of the store has failed")

// fence is the file system of one generation. The first change that fails makes it dead: from then on changes
// are swallowed, successful in appearance and without effect. Pebble answers an error of its log with a panic
// under its locks, one of its manifest with Fatalf, and one of a flush with an immediate retry; a dead fence
// spares it all three, and whoever waits for a commit looks at the fence before believing in it (generation.failed).
//
// Reads of open files go through, as they harm nobody.
type fence struct {
	vfs.FS
	dir    string
	failed func(error) // called once, with the first error; must not block

	under sync.RWMutex // held for reading while a change is under way
	dead  atomic.Bool
	once  sync.Once
}

// enter begins a change; false: the fence is dead, pretend. Else exit must follow.
func (f *fence) enter() bool {
	f.under.RLock()
	if f.dead.Load() {
		f.under.RUnlock()
		return false
	}
	return true
}

// exit ends a change and says whether its error ended the generation, so that the caller pretends success.
func (f *fence) exit(name string, err error) (swallow bool) {
	fatal := err != nil && f.mine(name) && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrExist)
	if fatal {
		f.dead.Store(true) // before the unlock: nothing passes in between
	}
	f.under.RUnlock()
	if fatal {
		f.once.Do(func() { f.failed(err) })
	}
	return fatal
}

// kill makes the fence dead.
func (f *fence) kill(err error) {
	f.dead.Store(true)
	f.once.Do(func() { f.failed(err) })
}

// drain returns when no change is under way any more. The fence must be dead.
func (f *fence) drain() {
	f.under.Lock()
	defer f.under.Unlock()
}

// mine: a checkpoint into another directory may fail without ending the store.
func (f *fence) mine(name string) bool { return name == f.dir || f.PathDir(name) == f.dir }

func (f *fence) change(name string, op func() error) error {
	if !f.enter() {
		return nil
	}
	err := op()
	if f.exit(name, err) {
		return nil
	}
	return err
}

func (f *fence) open(name string, op func() (vfs.File, error)) (vfs.File, error) {
	if !f.enter() {
		return &voidFile{name: name}, nil
	}
	file, err := op()
	if f.exit(name, err) {
		return &voidFile{name: name}, nil
	}
	if err != nil {
		return nil, err
	}
	return &fencedFile{File: file, fence: f, name: name}, nil
}

// Create makes a file. Before a marker, whose name points to another file, the directory is synced: Pebble does it
// only after, so that a crash might leave the pointer without the file (on file systems that do not keep the order
// of names).
func (f *fence) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.open(name, func() (vfs.File, error) {
		if strings.HasPrefix(f.PathBase(name), "marker.") {
			if err := syncDir(f.FS, f.dir); err != nil {
				return nil, err
			}
		}
		return f.FS.Create(name, c)
	})
}

func (f *fence) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return f.open(name, func() (vfs.File, error) { return f.FS.OpenReadWrite(name, c, o...) })
}

func (f *fence) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.open(to, func() (vfs.File, error) { return f.FS.ReuseForWrite(from, to, c) })
}

func (f *fence) OpenDir(name string) (vfs.File, error) {
	return f.open(name, func() (vfs.File, error) { return f.FS.OpenDir(name) })
}

// Open is refused when dead: the next generation may have made another file of that name.
func (f *fence) Open(name string, o ...vfs.OpenOption) (vfs.File, error) {
	if f.dead.Load() {
		return nil, errFenced
	}
	return f.FS.Open(name, o...)
}

func (f *fence) Link(from, to string) error {
	return f.change(to, func() error { return f.FS.Link(from, to) })
}

func (f *fence) Rename(from, to string) error {
	return f.change(to, func() error { return f.FS.Rename(from, to) })
}

func (f *fence) MkdirAll(dir string, perm os.FileMode) error {
	return f.change(dir, func() error { return f.FS.MkdirAll(dir, perm) })
}

// Remove and RemoveAll: a file that stays is waste, not loss, and is tried again at the next opening.
func (f *fence) Remove(name string) error { return f.remove(name, f.FS.Remove) }

func (f *fence) RemoveAll(name string) error { return f.remove(name, f.FS.RemoveAll) }

func (f *fence) remove(name string, op func(string) error) error {
	if !f.enter() {
		return nil
	}
	defer f.under.RUnlock()
	return op(name)
}

// Lock is Pebble's own; the Store holds the real one.
func (f *fence) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

func (f *fence) Unwrap() vfs.FS { return f.FS }
