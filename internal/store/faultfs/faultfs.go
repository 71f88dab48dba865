// Package faultfs is a file system for tests of what happens when the disk fails or the machine stops: errors on
// chosen operations, operations that are silently left out, a step count, and a disk in memory that forgets what
// was not synced. It is test support; nothing that serves mail imports it.
package faultfs

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

var (
	// ErrInjected is an error to return from a hook.
	ErrInjected = errors.New("faultfs: injected error")
	// ErrNoSpace is what a full disk says.
	ErrNoSpace error = &os.PathError{Op: "write", Path: "faultfs", Err: syscall.ENOSPC}
	// ErrReadOnly is what a disk says that the kernel took the right to write from, as it does after errors.
	ErrReadOnly error = &os.PathError{Op: "open", Path: "faultfs", Err: syscall.EROFS}
	// ErrSkip, returned from a hook, leaves the operation out and reports success: a disk that lies. A file that
	// would have to be returned is made all the same.
	ErrSkip = errors.New("faultfs: skip")
)

// Kind is what an operation does.
type Kind string

// The kinds of operation that a hook sees.
const (
	Create Kind = "create" // also opening for writing
	Reuse  Kind = "reuse"  // renaming a file and opening it for writing
	Write  Kind = "write"
	Sync   Kind = "sync" // of a file or a directory, data only or all
	Rename Kind = "rename"
	Link   Kind = "link"
	Remove Kind = "remove"
	Mkdir  Kind = "mkdir"
)

// Op is one operation that changes the disk. Name is the new name where there are two.
type Op struct {
	Kind Kind
	Name string
}

// Log says whether the operation is on a write-ahead log of the store.
func (o Op) Log() bool { return strings.HasSuffix(o.Name, ".log") }

// FS wraps a file system. Hooks may be changed at any time; they run on whatever goroutine uses the file system
// and must not use it themselves.
type FS struct {
	vfs.FS
	before atomic.Pointer[func(Op) error]
	after  atomic.Pointer[func(Op)]
	steps  atomic.Int64

	// under is held for reading during each operation and for writing by Disk.Crash: the file system in memory
	// locks twice in some of them, which would end in a deadlock with its own CrashClone.
	under sync.RWMutex
}

// New returns base without hooks.
func New(base vfs.FS) *FS { return &FS{FS: base} }

// Before sets what is asked before each operation; its error is the operation's result, which then is not done.
// nil: nothing is asked.
func (f *FS) Before(hook func(Op) error) {
	if hook == nil {
		f.before.Store(nil)
		return
	}
	f.before.Store(&hook)
}

// After sets what is told after each operation that succeeded: a durable step, if it was a sync. nil: nothing.
func (f *FS) After(hook func(Op)) {
	if hook == nil {
		f.after.Store(nil)
		return
	}
	f.after.Store(&hook)
}

// Steps is the number of operations done so far.
func (f *FS) Steps() int64 { return f.steps.Load() }

func (f *FS) do(o Op, op func() error) error {
	if before := f.before.Load(); before != nil {
		switch err := (*before)(o); {
		case errors.Is(err, ErrSkip):
			return nil
		case err != nil:
			return err
		}
	}
	if err := f.real(op); err != nil {
		return err
	}
	f.steps.Add(1)
	if after := f.after.Load(); after != nil {
		(*after)(o)
	}
	return nil
}

func (f *FS) real(op func() error) error {
	f.under.RLock()
	defer f.under.RUnlock()
	return op()
}

func (f *FS) open(o Op, op func() (vfs.File, error)) (opened vfs.File, err error) {
	do := func() (err error) {
		opened, err = op()
		return err
	}
	err = f.do(o, do)
	if err == nil && opened == nil { // left out, but something must be given
		err = f.real(do)
	}
	if err != nil {
		return nil, err
	}
	return &file{File: opened, fs: f, name: o.Name}, nil
}

// Create implements vfs.FS.
func (f *FS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.open(Op{Create, name}, func() (vfs.File, error) { return f.FS.Create(name, c) })
}

// OpenReadWrite implements vfs.FS.
func (f *FS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return f.open(Op{Create, name}, func() (vfs.File, error) { return f.FS.OpenReadWrite(name, c, o...) })
}

// ReuseForWrite implements vfs.FS.
func (f *FS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.open(Op{Reuse, to}, func() (vfs.File, error) { return f.FS.ReuseForWrite(from, to, c) })
}

// OpenDir implements vfs.FS.
func (f *FS) OpenDir(name string) (vfs.File, error) {
	dir, err := f.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &file{File: dir, fs: f, name: name}, nil
}

// Rename implements vfs.FS.
func (f *FS) Rename(from, to string) error {
	return f.do(Op{Rename, to}, func() error { return f.FS.Rename(from, to) })
}

// Link implements vfs.FS.
func (f *FS) Link(from, to string) error {
	return f.do(Op{Link, to}, func() error { return f.FS.Link(from, to) })
}

// Remove implements vfs.FS.
func (f *FS) Remove(name string) error {
	return f.do(Op{Remove, name}, func() error { return f.FS.Remove(name) })
}

// RemoveAll implements vfs.FS.
func (f *FS) RemoveAll(name string) error {
	return f.do(Op{Remove, name}, func() error { return f.FS.RemoveAll(name) })
}

// MkdirAll implements vfs.FS.
func (f *FS) MkdirAll(name string, perm os.FileMode) error {
	return f.do(Op{Mkdir, name}, func() error { return f.FS.MkdirAll(name, perm) })
}

// Lock implements vfs.FS; it is not counted.
func (f *FS) Lock(name string) (io.Closer, error) {
	f.under.RLock()
	defer f.under.RUnlock()
	return f.FS.Lock(name)
}

// Unwrap implements vfs.FS.
func (f *FS) Unwrap() vfs.FS { return f.FS }

// file is an open file or directory.
type file struct {
	vfs.File
	fs   *FS
	name string
}

func (f *file) Write(p []byte) (n int, err error) {
	n = len(p)
	err = f.fs.do(Op{Write, f.name}, func() (err error) {
		n, err = f.File.Write(p)
		return err
	})
	if err != nil {
		n = 0
	}
	return n, err
}

func (f *file) WriteAt(p []byte, at int64) (n int, err error) {
	n = len(p)
	err = f.fs.do(Op{Write, f.name}, func() (err error) {
		n, err = f.File.WriteAt(p, at)
		return err
	})
	return n, err
}

func (f *file) Sync() error { return f.fs.do(Op{Sync, f.name}, f.File.Sync) }

func (f *file) SyncData() error { return f.fs.do(Op{Sync, f.name}, f.File.SyncData) }

// Disk is a disk in memory that can lose its power. Use it as the file system of a store with small tables in
// memory (Options.MemTableSize), as each sync copies the file.
type Disk struct {
	*FS
	mem *vfs.MemFS
}

// NewDisk returns an empty one.
func NewDisk() *Disk { return wrap(vfs.NewCrashableMem()) }

func wrap(mem *vfs.MemFS) *Disk { return &Disk{FS: New(mem), mem: mem} }

// Crash returns the disk as it might be found if the power failed at this moment: all that was synced, and of
// the rest each block and each name with the probability percent. The Disk itself goes on unharmed; so a test may
// crash again and again, also from an After hook.
func (d *Disk) Crash(percent int, seed uint64) *Disk {
	d.under.Lock()
	defer d.under.Unlock()
	return wrap(d.mem.CrashClone(vfs.CrashCloneCfg{
		UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(seed, seed)),
	}))
}
