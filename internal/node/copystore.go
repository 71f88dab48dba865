package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"waybill/internal/config"
	"waybill/internal/store/storecopy"
)

// CopyStore copies the store of one configuration into that of another, which is empty or has an unfinished copy of the same
// one. Of a configuration only Data and Store count; a database needs no Data. Nobody else may use the two: ErrInUse,
// storecopy.ErrUsed. Other errors: those of package storecopy, and what is wrong with a store, whose name is in it.
func CopyStore(ctx context.Context, from, to config.Config, progress func(storecopy.Progress), logger *slog.Logger) (r storecopy.Result, err error) {
	source, target := identity(from), identity(to)
	if source == target {
		return r, fmt.Errorf("%s is the source and the target", source)
	}
	if err := checkThere(from); err != nil {
		return r, err
	}
	for _, c := range []config.Config{from, to} {
		if c.Data == "" {
			continue
		}
		if err := os.MkdirAll(c.Data, 0o700); err != nil {
			return r, fmt.Errorf("make the data directory: %w", err)
		}
	}
	locks, err := lockBoth(from.Data, to.Data)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, locks.release()) }()
	a, err := openLocked(from, nil, logger)
	if err != nil {
		return r, of(source, err)
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	if unfinished, err := storecopy.Unfinished(a); err != nil {
		return r, of(source, err)
	} else if unfinished != "" {
		return r, fmt.Errorf("%s is itself an unfinished copy, of %s: end that first", source, unfinished)
	}
	b, err := openLocked(to, nil, logger)
	if err != nil {
		return r, of(target, err)
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	r, err = storecopy.Copy(ctx, storecopy.Options{From: a.Store, To: b.Store, Source: source, Progress: progress})
	switch {
	case errors.Is(err, storecopy.ErrTargetUsed) || errors.Is(err, storecopy.ErrNotEmpty) || errors.Is(err, storecopy.ErrOtherSource) || errors.Is(err, storecopy.ErrTwice):
		return r, of(target, err)
	case errors.Is(err, storecopy.ErrUsed) || errors.Is(err, storecopy.ErrRestless):
		return r, of(source, err)
	}
	return r, err
}

// dataLocks are those of some data directories.
type dataLocks []*dataLock

// lockBoth locks the data directories of two configurations, each of which may have none. One that both have is locked once: a process
// shuts itself out, too, and the configuration of a database is often made of that of the embedded store.
func lockBoth(dirs ...string) (locks dataLocks, err error) {
	var locked []string
	for _, data := range dirs {
		if data == "" {
			continue
		}
		real, err := realPath(data)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("lock the data directory: %w", err), locks.release())
		}
		if slices.Contains(locked, real) {
			continue
		}
		lock, err := lockData(real)
		if err != nil {
			return nil, errors.Join(err, locks.release())
		}
		locks, locked = append(locks, lock), append(locked, real)
	}
	return locks, nil
}

func (l dataLocks) release() (err error) {
	for _, lock := range l {
		err = errors.Join(err, lock.release())
	}
	return err
}

func of(store string, err error) error { return fmt.Errorf("%s: %w", store, err) }

// identity names a store in the same way from whatever directory, and by whatever links, it is named.
func identity(c config.Config) string {
	if c.Store != "" {
		return c.Store.Place()
	}
	data, err := realPath(c.Data)
	if err != nil { // it may not be there yet
		data = cmp.Or(data, c.Data)
	}
	return filepath.Join(data, backupStore)
}

// realPath is the one name of a directory, from the root and without links. That it begins at the root comes first: the working directory may
// itself be named by a link. An error with a path: it is absolute, and its links could not be followed.
func realPath(name string) (string, error) {
	absolute, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(absolute)
	if err != nil {
		return absolute, err
	}
	return real, nil
}

// checkThere refuses a data directory without an embedded store, which opening it would make, and a backup, which it would change.
func checkThere(c config.Config) error {
	if c.Store != "" {
		return nil
	}
	entries, err := os.ReadDir(filepath.Join(c.Data, backupStore))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := os.Lstat(filepath.Join(c.Data, backupManifest)); err == nil {
		return fmt.Errorf("%s is a backup: restore it into a data directory, and copy that", c.Data)
	}
	if len(entries) == 0 {
		return fmt.Errorf("there is no store in %s", c.Data)
	}
	return nil
}
