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
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"waybill/internal/verify"
)

// Names in a backup.
const (
	backupStore    = "store"
	backupManifest = "backup.json" // last: without it a backup is not complete
)

// errBackupElsewhere says what else to do.
var errBackupElsewhere = errors.New("the store is in PostgreSQL, whose own backups are the ones to make: pg_dump of the database, or " +
	"pg_basebackup with archived logs; or copy it to an embedded store with waybill store copy, and back that up")

// manifest says what a backup is.
type manifest struct {
	Format   int               `json:"format"`
	Hostname string            `json:"hostname"`
	Taken    time.Time         `json:"taken"`
	Files    map[string]string `json:"files,omitempty"` // SHA-256 in hexadecimal, by name
	// Objects names the bucket with what is not in the backup: large bodies.
	Objects string `json:"objects,omitempty"`
}

const backupFormat = 1

// checkpointPrefix begins the names of the copies of the store below the data directory that backups are made from.
const checkpointPrefix = ".backup-"

// Backup writes a copy of the store as it is at one moment, and of the self-made certificate, as a tar archive whose last file
// is the manifest. The server goes on meanwhile. Every message that has got its 250 is in it. Nothing is written but a
// directory of links below the data directory, which is removed in the end: a server may be allowed no more.
func (k *core) Backup(ctx context.Context, w io.Writer) (err error) {
	dir, err := os.MkdirTemp(k.config.Data, checkpointPrefix)
	if err != nil {
		return fmt.Errorf("make the directory of the backup: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := k.engine.Checkpoint(filepath.Join(dir, backupStore)); errors.Is(err, ErrElsewhere) {
		return errBackupElsewhere
	} else if err != nil {
		return err
	}
	a := &archive{ctx: ctx, tar: tar.NewWriter(w), about: manifest{
		backupFormat, k.config.Hostname, time.Now().UTC().Truncate(time.Second), map[string]string{}, k.config.Bodies.String(),
	}}
	entries, err := os.ReadDir(filepath.Join(dir, backupStore))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := a.add(path.Join(backupStore, e.Name()), filepath.Join(dir, backupStore, e.Name())); err != nil {
			return fmt.Errorf("back up the store: %w", err)
		}
	}
	for _, name := range selfSignedFiles() {
		if err := a.add(name, filepath.Join(k.config.Data, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("back up the certificate: %w", err)
		}
	}
	return a.end()
}

// removeCheckpoints removes what backups left that were killed. Nobody else may have the store open. What cannot be removed
// costs space and nothing else.
func removeCheckpoints(data string, logger *slog.Logger) {
	entries, err := os.ReadDir(data)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), checkpointPrefix) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(data, e.Name())))
		}
	}
	if err != nil {
		logger.Warn("cannot remove what a backup has left", "error", err)
	}
}

// archive is a backup that is being written.
type archive struct {
	ctx   context.Context
	tar   *tar.Writer
	about manifest
}

// add writes a file under that name.
func (a *archive) add(name, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file", file)
	}
	if err := a.tar.WriteHeader(headerOf(name, info.Size())); err != nil {
		return err
	}
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(a.tar, sum), &cancellable{a.ctx, f}); err != nil {
		return err
	}
	a.about.Files[name] = hex.EncodeToString(sum.Sum(nil))
	return nil
}

func headerOf(name string, size int64) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600}
}

func (a *archive) end() error {
	text, err := json.Marshal(a.about)
	if err != nil {
		return err
	}
	text = append(text, '\n')
	if err := a.tar.WriteHeader(headerOf(backupManifest, int64(len(text)))); err != nil {
		return err
	}
	_, err = a.tar.Write(text)
	return errors.Join(err, a.tar.Close())
}

// cancellable reads until ctx is done.
type cancellable struct {
	ctx context.Context
	r   io.Reader
}

func (c *cancellable) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// Verify reads the whole store and tells what is damaged.
func (k *core) Verify(ctx context.Context, progress func(verify.Report)) (verify.Report, error) {
	return verify.Run(ctx, k.engine, k.bodies, progress)
}
