package node

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"strings"

	"waybill/internal/config"
)

// backuper is a node, running here or behind its socket.
type backuper interface {
	Backup(ctx context.Context, w io.Writer) error
}

// SaveBackup writes a backup of a node into a new directory, durably, and holds what it wrote against the checksums that came
// with it. After an error nothing is left. It runs in the process of whoever wants the backup: what the server may write to is
// of no account. The names of checkpoints in the data directory of c, that of the node, are refused: its next start removes
// them.
func SaveBackup(ctx context.Context, from backuper, c config.Config, dir string) (err error) {
	if isCheckpoint(c.Data, dir) {
		return fmt.Errorf("%s is removed when the server starts: names in %s that begin with %s are its own", dir, c.Data, checkpointPrefix)
	}
	switch _, err := os.Lstat(dir); {
	case err == nil:
		return fmt.Errorf("%s is there already; name a directory that is not", dir)
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the directory of the backup: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the directory of the backup: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	out, in := io.Pipe()
	sent := make(chan error, 1)
	go func() {
		err := from.Backup(ctx, in)
		in.CloseWithError(err)
		sent <- err
	}()
	if err = receiveBackup(dir, out); errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("the backup was broken off: %w", err)
	}
	out.CloseWithError(err)
	if failed := <-sent; !errors.Is(err, failed) && !errors.Is(failed, err) { // and not one of them the cause of the other
		err = errors.Join(err, failed)
	}
	return err
}

// isCheckpoint says whether a path leads to, or through, what removeCheckpoints removes.
func isCheckpoint(data, path string) bool {
	home, err := os.Stat(data)
	if err != nil {
		return false
	}
	for parent := filepath.Dir(path); parent != path; path, parent = parent, filepath.Dir(parent) {
		if !strings.HasPrefix(filepath.Base(path), checkpointPrefix) {
			continue
		}
		if info, err := os.Stat(parent); err == nil && os.SameFile(info, home) {
			return true
		}
	}
	return false
}

// receiveBackup writes the files of an archive. Whoever sent it can write nowhere but into the directory.
func receiveBackup(dir string, archive io.Reader) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.Mkdir(backupStore, 0o700); err != nil {
		return err
	}
	sums := map[string]string{}
	var text []byte
	for files := tar.NewReader(archive); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if text != nil || h.Typeflag != tar.TypeReg || !isBackupName(h.Name) {
			return fmt.Errorf("the server sent %q, which no backup has there", h.Name)
		}
		if h.Name == backupManifest {
			if text, err = io.ReadAll(io.LimitReader(files, maxManifest)); err != nil {
				return err
			}
			continue
		}
		if sums[h.Name], err = writeNew(root, h.Name, files); err != nil {
			return err
		}
	}
	switch _, err := io.ReadFull(archive, make([]byte, 1)); { // only now has the server said that all went well
	case err == nil:
		return errors.New("the server sent more than a backup")
	case !errors.Is(err, io.EOF):
		return err
	}
	if err := checkSums(text, sums); err != nil {
		return err
	}
	if err := errors.Join(syncDir(filepath.Join(dir, backupStore)), writeFile(filepath.Join(dir, backupManifest), text)); err != nil {
		return err
	}
	return errors.Join(syncDir(dir), syncDir(filepath.Dir(dir)))
}

const maxManifest = 64 << 20

// isBackupName says whether a backup has a file of that name.
func isBackupName(name string) bool {
	for _, known := range selfSignedFiles() {
		if name == known {
			return true
		}
	}
	file, inStore := strings.CutPrefix(name, backupStore+"/")
	return name == backupManifest || inStore && file == path.Base(file) && filepath.IsLocal(name)
}

// writeNew writes a file durably and returns its checksum.
func writeNew(root *os.Root, name string, content io.Reader) (string, error) {
	f, err := root.OpenFile(filepath.FromSlash(name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(f, sum), content)
	return hex.EncodeToString(sum.Sum(nil)), errors.Join(err, f.Sync(), f.Close())
}

// checkSums holds what was written against the manifest.
func checkSums(text []byte, sums map[string]string) error {
	var about manifest
	if len(text) == 0 {
		return errors.New("the backup was broken off")
	}
	if err := json.Unmarshal(text, &about); err != nil {
		return fmt.Errorf("the manifest of the backup cannot be read: %w", err)
	}
	if !maps.Equal(about.Files, sums) {
		return errors.New("the backup is not what the server sent: checksums differ")
	}
	return nil
}
