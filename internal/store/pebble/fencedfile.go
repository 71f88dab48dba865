package pebble

import (
	"os"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// fencedFile is a file that may be changed, behind the fence.
type fencedFile struct {
	vfs.File
	fence *fence
	name  string
}

func (f *fencedFile) Write(p []byte) (int, error) {
	if !f.fence.enter() {
		return len(p), nil
	}
	n, err := f.File.Write(p)
	if f.fence.exit(f.name, err) {
		return len(p), nil
	}
	return n, err
}

func (f *fencedFile) WriteAt(p []byte, at int64) (int, error) {
	if !f.fence.enter() {
		return len(p), nil
	}
	n, err := f.File.WriteAt(p, at)
	if f.fence.exit(f.name, err) {
		return len(p), nil
	}
	return n, err
}

func (f *fencedFile) Sync() error { return f.fence.change(f.name, f.File.Sync) }

func (f *fencedFile) SyncData() error { return f.fence.change(f.name, f.File.SyncData) }

func (f *fencedFile) SyncTo(length int64) (full bool, err error) {
	if !f.fence.enter() {
		return true, nil
	}
	full, err = f.File.SyncTo(length)
	if f.fence.exit(f.name, err) {
		return true, nil
	}
	return full, err
}

// Preallocate is only a hint: where it fails, the write tells.
func (f *fencedFile) Preallocate(offset, length int64) error {
	if !f.fence.enter() {
		return nil
	}
	defer f.fence.under.RUnlock()
	return f.File.Preallocate(offset, length)
}

// Close releases the descriptor whether or not the fence is dead.
func (f *fencedFile) Close() error {
	err := f.File.Close()
	if f.fence.dead.Load() {
		return nil
	}
	if err != nil && f.fence.mine(f.name) {
		f.fence.kill(err) // some file systems report a lost write only here
		return nil
	}
	return err
}

// voidFile is the file that a dead fence gives out: written to nowhere.
type voidFile struct {
	name string
	size int64
}

func (f *voidFile) Write(p []byte) (int, error) {
	f.size += int64(len(p))
	return len(p), nil
}

func (f *voidFile) WriteAt(p []byte, at int64) (int, error) {
	f.size = max(f.size, at+int64(len(p)))
	return len(p), nil
}

func (f *voidFile) Close() error                      { return nil }
func (f *voidFile) Read([]byte) (int, error)          { return 0, errFenced }
func (f *voidFile) ReadAt([]byte, int64) (int, error) { return 0, errFenced }
func (f *voidFile) Preallocate(int64, int64) error    { return nil }
func (f *voidFile) Sync() error                       { return nil }
func (f *voidFile) SyncTo(int64) (bool, error)        { return true, nil }
func (f *voidFile) SyncData() error                   { return nil }
func (f *voidFile) Prefetch(int64, int64) error       { return nil }
func (f *voidFile) Fd() uintptr                       { return vfs.InvalidFd }
func (f *voidFile) Stat() (vfs.FileInfo, error)       { return voidInfo{f.name, f.size}, nil }

type voidInfo struct {
	name string
	size int64
}

func (i voidInfo) Name() string           { return i.name }
func (i voidInfo) Size() int64            { return i.size }
func (i voidInfo) Mode() os.FileMode      { return 0o600 }
func (i voidInfo) ModTime() time.Time     { return time.Time{} }
func (i voidInfo) IsDir() bool            { return false }
func (i voidInfo) Sys() any               { return nil }
func (i voidInfo) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }
