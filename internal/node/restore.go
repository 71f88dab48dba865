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

// restoreParts is the name of a store that is being restored, in the data directory.
const restoreParts = backupStore + ".restoring"

// Restore puts a backup in the place of the store of a configuration, which must have none. The store is complete or not
// there, whenever this is stopped; after an error nothing of it is left. What root restores belongs to the owner of the data
// directory in the end. That owner is not trusted: whatever it does to the directory meanwhile, nothing outside is written to
// or given away.
func Restore(c config.Config, from string) (err error) {
	if c.Store != "" {
		return fmt.Errorf("a backup is one of the embedded store, and the configuration has it in %s: restore it with store = \"\" and use waybill store copy", c.Store)
	}
	about, err := checkBackup(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	backup, err := os.OpenRoot(from)
	if err != nil {
		return err
	}
	defer backup.Close()
	data, to, err := openData(c.Data)
	if err != nil {
		return err
	}
	defer data.Close()
	if err := checkNoStore(data); err != nil {
		return err
	}
	if err := data.RemoveAll(restoreParts); err != nil {
		return fmt.Errorf("remove what an earlier restore left: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, data.RemoveAll(restoreParts))
		}
	}()
	if err := restoreStore(data, backup, about, to); err != nil {
		return err
	}
	for _, name := range selfSignedFiles() {
		err := copyFile(backup, name, data, name, to)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("restore the certificate: %w", err)
		}
	}
	if err := data.Remove(backupStore); err != nil && !errors.Is(err, fs.ErrNotExist) { // an empty one
		return err
	}
	return errors.Join(data.Rename(restoreParts, backupStore), syncRoot(data))
}

// checkNoStore refuses a data directory with a store in it.
func checkNoStore(data *os.Root) error {
	name := filepath.Join(data.Name(), backupStore)
	info, err := data.Lstat(backupStore)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is no directory; move it away first", name)
	}
	d, err := data.Open(backupStore)
	if err != nil {
		return err
	}
	defer d.Close()
	if names, _ := d.Readdirnames(1); len(names) > 0 {
		return fmt.Errorf("there is a store in %s already; stop the server and move it away first", name)
	}
	return nil
}

// restoreStore copies the store of a backup to restoreParts and holds it against the checksums. The directory is ours alone
// until all of that is done: then it becomes its owner's, after the files in it.
func restoreStore(data, backup *os.Root, about manifest, to owner) (err error) {
	if err := data.Mkdir(restoreParts, 0o700); err != nil {
		return fmt.Errorf("copy the backup: %w", err)
	}
	parts, err := data.OpenRoot(restoreParts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, parts.Close()) }()
	if err := checkOurs(parts); err != nil {
		return err
	}
	if err := copyStore(backup, parts, to); err != nil {
		return fmt.Errorf("copy the backup: %w", err)
	}
	if err := checkCopy(about, parts); err != nil {
		return err
	}
	d, err := parts.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(to.give(d), d.Sync(), d.Close())
}

// checkOurs sees that a directory is the one that we have just made: the owner of the one above could have put another there.
func checkOurs(parts *os.Root) error {
	d, err := parts.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	info, err := d.Stat()
	if err != nil {
		return err
	}
	names, err := d.Readdirnames(1)
	if uid, _ := ownerOf(info); uid != os.Geteuid() || len(names) > 0 || !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s was replaced while the backup was restored", parts.Name())
	}
	return nil
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
func checkCopy(about manifest, parts *os.Root) error {
	for name, want := range about.Files {
		file, ok := strings.CutPrefix(name, backupStore+"/")
		if !ok {
			continue
		}
		got, err := sumOf(parts, filepath.FromSlash(file))
		if errors.Is(err, fs.ErrNotExist) || err == nil && got != want {
			return fmt.Errorf("the backup is damaged: its file %s is not as it was written", name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func sumOf(dir *os.Root, file string) (string, error) {
	f, err := dir.Open(file)
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

// copyStore copies the store of a backup, which has no directories in it, durably.
func copyStore(backup, parts *os.Root, to owner) error {
	d, err := backup.Open(backupStore)
	if err != nil {
		return err
	}
	names, err := d.Readdirnames(-1)
	if err := errors.Join(err, d.Close()); err != nil {
		return err
	}
	for _, name := range names {
		if err := copyFile(backup, filepath.Join(backupStore, name), parts, name, to); err != nil {
			return err
		}
	}
	return nil
}

// copyFile copies a file that is not there yet, durably, with its mode, and gives it to its owner. What is no regular file is
// not copied: a link could lead to a file that its owner may not read.
func copyFile(from *os.Root, name string, into *os.Root, as string, to owner) (err error) {
	info, err := from.Lstat(name)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file", filepath.Join(from.Name(), name))
	}
	in, err := from.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := into.OpenFile(as, os.O_CREATE|os.O_EXCL|os.O_WRONLY, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, to.give(out), out.Sync(), out.Close())
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

func syncRoot(dir *os.Root) error {
	d, err := dir.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
