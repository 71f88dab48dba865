package mbox

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	pause = 100 * time.Millisecond // between two tries to lock
	stale = 5 * time.Minute        // after which a lock file whose owner is not known to live counts for nothing, as for other programs
)

// lock opens the file and locks it as mail programs do, by fcntl and by a file with ".lock" behind its name. unlock ends the
// latter; the former ends when the file is closed.
func (f *File) lock() (file *os.File, made bool, unlock func(), err error) {
	for began := time.Now(); ; time.Sleep(pause) {
		file, isNew, err := f.open()
		if err != nil {
			return nil, false, nil, err
		}
		made = made || isNew
		unlock, err = f.tryLock(file)
		if err == nil {
			return file, made, unlock, nil
		}
		file.Close()
		if !errors.Is(err, ErrInUse) || time.Since(began) > f.patience {
			return nil, false, nil, fmt.Errorf("%s: %w", f.path, err)
		}
	}
}

// tryLock locks, or finds ErrInUse.
func (f *File) tryLock(file *os.File) (unlock func(), err error) {
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	err = unix.FcntlFlock(file.Fd(), unix.F_SETLK, &lock)
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EACCES):
		return nil, ErrInUse
	case err != nil:
		return nil, fmt.Errorf("lock: %w", err)
	}
	if moved, err := f.moved(file); err != nil || moved { // whoever had the lock put another file into its place
		return nil, errors.Join(ErrInUse, err)
	}
	return f.dotLock()
}

func (f *File) moved(file *os.File) (bool, error) {
	mine, err := file.Stat()
	if err != nil {
		return false, err
	}
	named, err := os.Lstat(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return err == nil && !os.SameFile(mine, named), err
}

// dotLock makes the lock file. Where we may not write into the directory, as in /var/mail, the other lock has to do, as for
// other programs.
func (f *File) dotLock() (unlock func(), err error) {
	path := f.path + ".lock"
	lock, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o444)
	switch {
	case errors.Is(err, fs.ErrExist):
		if isStale(path) {
			os.Remove(path) // it is tried again
		}
		return nil, ErrInUse
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return func() {}, nil
	case err != nil:
		return nil, err
	}
	unlock = func() { os.Remove(path) }
	if _, err := fmt.Fprintf(lock, "%d\n", os.Getpid()); err != nil {
		unlock()
		return nil, errors.Join(err, lock.Close())
	}
	return unlock, lock.Close()
}

// isStale says whether a lock file was left behind: it is old, and no process lives that it names.
func isStale(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || time.Since(info.ModTime()) < stale || !info.Mode().IsRegular() {
		return false
	}
	lock, err := os.Open(path)
	if err != nil {
		return false
	}
	defer lock.Close()
	text := make([]byte, 32)
	n, _ := io.ReadFull(lock, text)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text[:n])))
	return err != nil || pid <= 0 || errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}
