package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"waybill/internal/config"
	"waybill/internal/verify"
)

// Names in a backup.
const (
	backupStore    = "store"
	backupManifest = "backup.json" // written last: without it a backup is not complete
)

// manifest says what a backup is.
type manifest struct {
	Format   int       `json:"format"`
	Hostname string    `json:"hostname"`
	Taken    time.Time `json:"taken"`
}

const backupFormat = 1

// Backup writes a copy of the store as it is at one moment, and of the self-made certificate, into a new directory. The
// server goes on meanwhile. Every message that has got its 250 is in it.
func (k *core) Backup(_ context.Context, dir string) (err error) {
	if !filepath.IsAbs(dir) {
		return fmt.Errorf("%s: the directory must be given with its whole path", dir)
	}
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is there already; name a directory that is not", dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the directory of the backup: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	if err := k.engine.Checkpoint(filepath.Join(dir, backupStore)); err != nil {
		return err
	}
	for _, name := range selfSignedFiles() {
		if err := copyFile(filepath.Join(k.config.Data, name), filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("back up the certificate: %w", err)
		}
	}
	text, err := json.Marshal(manifest{backupFormat, k.config.Hostname, time.Now().UTC().Truncate(time.Second)})
	if err != nil {
		return err
	}
	return errors.Join(writeFile(filepath.Join(dir, backupManifest), append(text, '\n')), syncDir(dir), syncDir(filepath.Dir(dir)))
}

// Restore puts a backup in the place of the store of a configuration, which must have none. The store is complete or not
// there, whenever this is stopped.
func Restore(c config.Config, from string) (err error) {
	if err := checkBackup(from); err != nil {
		return err
	}
	target := filepath.Join(c.Data, backupStore)
	if entries, err := os.ReadDir(target); err == nil && len(entries) > 0 {
		return fmt.Errorf("there is a store in %s already; stop the server and move it away first", target)
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	parts := target + ".restoring"
	if err := errors.Join(os.RemoveAll(parts), copyTree(filepath.Join(from, backupStore), parts)); err != nil {
		return fmt.Errorf("copy the backup: %w", err)
	}
	for _, name := range selfSignedFiles() {
		err := copyFile(filepath.Join(from, name), filepath.Join(c.Data, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("restore the certificate: %w", err)
		}
	}
	if err := os.Remove(target); err != nil && !errors.Is(err, fs.ErrNotExist) { // an empty one
		return err
	}
	return errors.Join(os.Rename(parts, target), syncDir(c.Data))
}

// checkBackup says whether a directory is a complete backup.
func checkBackup(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, backupManifest))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is no backup, or one that was not finished: it has no %s", dir, backupManifest)
	}
	if err != nil {
		return err
	}
	var m manifest
	if err := json.Unmarshal(text, &m); err != nil || m.Format != backupFormat {
		return fmt.Errorf("%s is no backup that this version of waybill can read", dir)
	}
	return nil
}

// Verify reads the whole store and tells what is damaged.
func (k *core) Verify(ctx context.Context, progress func(verify.Report)) (verify.Report, error) {
	return verify.Run(ctx, k.engine, progress)
}

// copyTree copies a directory without directories in it, durably.
func copyTree(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			return fmt.Errorf("%s is a directory, and no store has one", filepath.Join(from, e.Name()))
		}
		if err := copyFile(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return syncDir(to)
}

// copyFile copies a file that is not there yet, durably, with its mode.
func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}

func writeFile(name string, content []byte) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
