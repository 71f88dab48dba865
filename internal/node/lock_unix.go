//go:build unix

package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lockName is the file in a data directory that is locked while a process works with it, whatever engine the store has: the
// control socket, and the names of what it makes there, are its own.
const lockName = "lock"

// dataLock is that lock. It ends with the process at the latest.
type dataLock struct{ file *os.File }

// lockData locks a data directory, or returns ErrInUse.
func lockData(data string) (*dataLock, error) {
	f, err := os.OpenFile(filepath.Join(data, lockName), os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrInUse
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock the data directory %s: %w", data, err), f.Close())
	}
	return &dataLock{f}, nil
}

// release ends the lock. The file stays: whoever removed it could take away one that another process has just locked.
func (l *dataLock) release() error {
	if l == nil {
		return nil
	}
	if err := l.file.Close(); !errors.Is(err, os.ErrClosed) { // by an earlier call
		return err
	}
	return nil
}
