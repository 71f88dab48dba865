// Package maildir reads and writes Maildirs: directories in which each message is a file of its own, with LF as line end
// (https://cr.yp.to/proto/maildir.html), and folders as Courier and Dovecot lay them out (Maildir++): directories beside
// cur, new and tmp whose names begin with a dot and have a dot between levels (FolderOf, NameOf).
//
// Whoever owns a Maildir may put into it what he likes, and an operator may read it with more rights than he has. So nothing
// outside the directory is reached through it (os.Root: no symbolic link leads out), and what is no regular file is never
// waited for. What is held of a folder is the names of its files.
package maildir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Dir is a Maildir. Close frees it.
type Dir struct {
	root  *os.Root
	host  string
	count atomic.Int64
}

// Message is a message in a Maildir.
type Message struct {
	Folder string // its directory, as ".Work.Old"; "": the Maildir itself
	Name   string // unique within its folder, whatever its flags
	Flags  string // letters of the Maildir form: D draft, F flagged, P passed, R replied, S seen, T trashed
	isNew  bool
	file   string // name of the file, with the flags
}

// Path is where the message is, below the Maildir.
func (m Message) Path() string {
	sub := "cur"
	if m.isNew {
		sub = "new"
	}
	return path.Join(m.Folder, sub, m.file)
}

var (
	// ErrNoMaildir is returned where a directory has no cur or new.
	ErrNoMaildir = errors.New("no Maildir")
	// ErrNoFile is returned for what is in the place of a message and is no regular file.
	ErrNoFile = errors.New("this is no regular file")
)

// Open opens a Maildir that is there.
func Open(path string) (*Dir, error) {
	d, err := open(path)
	if err != nil {
		return nil, err
	}
	for _, sub := range []string{"cur", "new"} {
		if !d.isDir(sub) {
			return nil, errors.Join(fmt.Errorf("%s is %w: it has no directory %s", path, ErrNoMaildir, sub), d.Close())
		}
	}
	return d, nil
}

// Create opens a Maildir, which it makes, durably, if it is not there.
func Create(path string) (*Dir, error) {
	made := missing(path)
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	d, err := open(path)
	if err != nil {
		return nil, err
	}
	isNew := !d.isDir("tmp") || !d.isDir("new") || !d.isDir("cur")
	err = d.MakeFolder("")
	if isNew {
		made = append([]string{path}, made...)
	}
	for _, dir := range made {
		if err == nil {
			err = syncDir(os.Open(dir))
		}
	}
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// missing returns the directories that get an entry when path is made.
func missing(path string) (parents []string) {
	for {
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			return parents
		}
		path = filepath.Dir(path)
		parents = append(parents, path)
	}
}

func syncDir(dir *os.File, err error) error {
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func open(path string) (*Dir, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(path)
	return &Dir{root: root, host: strings.NewReplacer("/", `\057`, ":", `\072`).Replace(host)}, err
}

// Close frees the Maildir.
func (d *Dir) Close() error { return d.root.Close() }

func (d *Dir) isDir(name string) bool {
	info, err := d.root.Stat(name)
	return err == nil && info.IsDir()
}

// Folders returns the directories of the folders, "" for the Maildir itself first. Errors are those of the file system.
func (d *Dir) Folders() ([]string, error) {
	entries, err := d.list(".")
	if err != nil {
		return nil, err
	}
	folders := []string{""}
	for _, name := range slices.Sorted(slices.Values(entries)) {
		if strings.HasPrefix(name, ".") && (d.isDir(path.Join(name, "cur")) || d.isDir(path.Join(name, "new"))) {
			folders = append(folders, name)
		}
	}
	return folders, nil
}

// list returns the names in a directory.
func (d *Dir) list(dir string) ([]string, error) {
	f, err := d.root.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY, 0) // without O_DIRECTORY a FIFO would be waited for
	if err != nil {
		return nil, err
	}
	names, err := f.Readdirnames(-1)
	return names, errors.Join(err, f.Close())
}

// Messages returns the messages of a folder in the order of their names, which begin with the time at which they came.
// Errors are those of the file system.
func (d *Dir) Messages(folder string) ([]Message, error) {
	var messages []Message
	for _, sub := range []string{"new", "cur"} {
		names, err := d.list(path.Join(folder, sub))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		messages = slices.Grow(messages, len(names))
		for _, name := range names {
			if strings.HasPrefix(name, ".") {
				continue
			}
			m := Message{Folder: folder, isNew: sub == "new", file: name}
			m.Name, m.Flags, _ = strings.Cut(name, ":2,")
			messages = append(messages, m)
		}
	}
	slices.SortFunc(messages, func(a, b Message) int { return compareNames(a.Name, b.Name) })
	return messages, nil
}

// compareNames compares by the seconds with which names begin, then as text.
func compareNames(a, b string) int {
	x, y := seconds(a), seconds(b)
	if x != y {
		return int(min(max(x-y, -1), 1))
	}
	return strings.Compare(a, b)
}

func seconds(name string) int64 {
	digits, _, _ := strings.Cut(name, ".")
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// Stat returns size and date of a message. Errors: ErrNoFile, those of the file system; fs.ErrNotExist says that somebody has
// moved it since.
func (d *Dir) Stat(m Message) (fs.FileInfo, error) {
	info, err := d.root.Stat(m.Path())
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: %w", m.Path(), ErrNoFile)
	}
	return info, err
}

// OpenMessage opens a message for reading. Errors are those of Stat.
func (d *Dir) OpenMessage(m Message) (*os.File, error) {
	f, err := d.root.OpenFile(m.Path(), os.O_RDONLY|syscall.O_NONBLOCK, 0) // it may be a FIFO by now
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: %w", m.Path(), ErrNoFile)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// MakeFolder makes a folder of that directory, if it is not there.
func (d *Dir) MakeFolder(folder string) error {
	for _, sub := range []string{"tmp", "new", "cur"} {
		if err := d.root.MkdirAll(path.Join(folder, sub), 0o700); err != nil {
			return err
		}
	}
	return nil
}

// File is a message that is being written.
type File struct {
	*os.File
	dir    *Dir
	folder string
	name   string // in tmp
}

var _ io.Writer = (*File)(nil)

// Begin begins to write a message into a folder that is there.
func (d *Dir) Begin(folder string) (*File, error) {
	name := d.unique(time.Now())
	f, err := d.root.OpenFile(path.Join(folder, "tmp", name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	return &File{File: f, dir: d, folder: folder, name: name}, err
}

// unique is a name that no other message has.
func (d *Dir) unique(now time.Time) string {
	return fmt.Sprintf("%d.M%dP%dQ%d.%s", now.Unix(), now.Nanosecond()/1000, os.Getpid(), d.count.Add(1), d.host)
}

func (f *File) path() string { return path.Join(f.folder, "tmp", f.name) }

// Keep makes the message durable and puts it into new, or into cur with its flags if it has a name of its own: then it is
// there once, however often it is kept. The directory is for Sync. What
// cannot be kept is gone. date, if it is not zero, is when the message came.
func (f *File) Keep(name, flags string, date time.Time) error {
	err := f.keep(name, flags, date)
	if err != nil {
		f.dir.root.Remove(f.path()) // what is not kept is not left behind
	}
	return err
}

func (f *File) keep(name, flags string, date time.Time) error {
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if !date.IsZero() {
		if err := f.dir.root.Chtimes(f.path(), date, date); err != nil {
			return err
		}
	}
	target := path.Join(f.folder, "new", f.name)
	if name != "" {
		target = path.Join(f.folder, "cur", name+":2,"+flags)
	}
	return f.dir.root.Rename(f.path(), target)
}

// Discard forgets the message.
func (f *File) Discard() error { return errors.Join(f.Close(), f.dir.root.Remove(f.path())) }

// Sync makes durable what Keep put into a folder.
func (d *Dir) Sync(folder string) error {
	for _, sub := range []string{"new", "cur"} {
		if err := syncDir(d.root.Open(path.Join(folder, sub))); err != nil {
			return err
		}
	}
	return nil
}
