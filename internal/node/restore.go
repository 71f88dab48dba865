package node

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"waybill/internal/config"
)

// Restore puts a backup in the place of the store of a configuration, which must have none. The store is complete or not
// there, whenever this is stopped.
func Restore(c config.Config, from string) (err error) {
	about, err := checkBackup(from)
	if err != nil {
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
	if err := errors.Join(checkCopy(about, parts), giveToOwner(c.Data, parts)); err != nil {
		return err
	}
	for _, name := range selfSignedFiles() {
		err := copyFile(filepath.Join(from, name), filepath.Join(c.Data, name))
		if err == nil {
			err = giveToOwner(c.Data, filepath.Join(c.Data, name))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("restore the certificate: %w", err)
		}
	}
	if err := os.Remove(target); err != nil && !errors.Is(err, fs.ErrNotExist) { // an empty one
		return err
	}
	return errors.Join(os.Rename(parts, target), syncDir(c.Data))
}

// checkBackup says whether a directory is a complete backup, and what that has.
func checkBackup(dir string) (about manifest, err error) {
	text, err := os.ReadFile(filepath.Join(dir, backupManifest))
	if errors.Is(err, fs.ErrNotExist) {
		return about, fmt.Errorf("%s is no backup, or one that was not finished: it has no %s", dir, backupManifest)
	}
	if err != nil {
		return about, err
	}
	if err := json.Unmarshal(text, &about); err != nil || about.Format != backupFormat {
		return about, fmt.Errorf("%s is no backup that this version of waybill can read", dir)
	}
	return about, nil
}

// checkCopy holds the copy of a store against the checksums of a backup, if it has any.
func checkCopy(about manifest, dir string) error {
	for name, want := range about.Files {
		file, ok := strings.CutPrefix(name, backupStore+"/")
		if !ok {
			continue
		}
		got, err := sumOf(filepath.Join(dir, file))
		if errors.Is(err, fs.ErrNotExist) || err == nil && got != want {
			return fmt.Errorf("the backup is damaged: its file %s is not as it was written", name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func sumOf(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
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
