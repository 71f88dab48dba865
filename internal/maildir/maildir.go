// Package maildir reads and writes Maildirs: directories in which each message is a file of its own, with LF as line end
// (https://cr.yp.to/proto/maildir.html), and folders as Courier and Dovecot lay them out (Maildir++): directories beside
// cur, new and tmp whose names begin with a dot and have a dot between levels.
package maildir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Dir is a Maildir.
type Dir struct {
	path  string
	host  string
	count atomic.Int64
}

// Message is a message in a Maildir.
type Message struct {
	Folder string // levels with "/" between them; "": the Maildir itself
	Name   string // unique within its folder, whatever its flags
	Flags  string // letters of the Maildir form: D draft, F flagged, P passed, R replied, S seen, T trashed
	Path   string
}

// ErrNoMaildir is returned where a directory has no cur or new.
var ErrNoMaildir = errors.New("no Maildir")

// Open opens a Maildir that is there.
func Open(path string) (*Dir, error) {
	for _, sub := range []string{"cur", "new"} {
		if info, err := os.Stat(filepath.Join(path, sub)); err != nil || !info.IsDir() {
			return nil, fmt.Errorf("%s is %w: it has no directory %s", path, ErrNoMaildir, sub)
		}
	}
	return open(path)
}

// Create opens a Maildir, which it makes if it is not there.
func Create(path string) (*Dir, error) {
	if err := makeFolder(path); err != nil {
		return nil, err
	}
	return open(path)
}

func open(path string) (*Dir, error) {
	host, err := os.Hostname()
	return &Dir{path: path, host: strings.NewReplacer("/", `\057`, ":", `\072`).Replace(host)}, err
}

func makeFolder(path string) error {
	for _, sub := range []string{"tmp", "new", "cur"} {
		if err := os.MkdirAll(filepath.Join(path, sub), 0o700); err != nil {
			return err
		}
	}
	return nil
}

// Folders returns the names of the folders, "" for the Maildir itself first.
func (d *Dir) Folders() ([]string, error) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return nil, err
	}
	folders := []string{""}
	for _, e := range entries {
		name, isFolder := strings.CutPrefix(e.Name(), ".")
		if _, err := os.Stat(filepath.Join(d.path, e.Name(), "cur")); isFolder && name != "" && name != "." && err == nil {
			folders = append(folders, strings.ReplaceAll(name, ".", "/"))
		}
	}
	return folders, nil
}

// Messages returns the messages of a folder in the order of their names, which begin with the time at which they came.
func (d *Dir) Messages(folder string) ([]Message, error) {
	var messages []Message
	for _, sub := range []string{"new", "cur"} {
		dir := filepath.Join(d.folder(folder), sub)
		f, err := os.Open(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		names, err := f.Readdirnames(-1)
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
		for _, name := range names {
			if strings.HasPrefix(name, ".") {
				continue
			}
			m := Message{Folder: folder, Path: filepath.Join(dir, name)}
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
	if err != nil {
		return 0
	}
	return n
}

func (d *Dir) folder(name string) string {
	if name == "" {
		return d.path
	}
	return filepath.Join(d.path, "."+strings.ReplaceAll(name, "/", "."))
}

// CheckFolder says whether a folder can have that name in a Maildir++.
func CheckFolder(name string) error {
	if strings.ContainsAny(name, ".\x00") || strings.HasPrefix(name, "/") || strings.Contains(name, "//") {
		return fmt.Errorf("a folder %q cannot be in a Maildir, where a dot stands between levels", name)
	}
	return nil
}

// MakeFolder makes a folder, if it is not there.
func (d *Dir) MakeFolder(name string) error {
	if err := CheckFolder(name); err != nil {
		return err
	}
	return makeFolder(d.folder(name))
}

// File is a message that is being written.
type File struct {
	*os.File
	dir  *Dir
	path string // of the folder
}

// Begin begins to write a message into a folder that is there.
func (d *Dir) Begin(folder string) (*File, error) {
	dir := d.folder(folder)
	f, err := os.OpenFile(filepath.Join(dir, "tmp", d.unique(time.Now())), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	return &File{File: f, dir: d, path: dir}, err
}

// unique is a name that no other message has.
func (d *Dir) unique(now time.Time) string {
	return fmt.Sprintf("%d.M%dP%dQ%d.%s", now.Unix(), now.Nanosecond()/1000, os.Getpid(), d.count.Add(1), d.host)
}

// Keep makes the message durable and puts it into new, or into cur with its flags if it has a name of its own: then it is
// there once, however often it is kept. The directory is for Sync. date, if it is not zero, is when the message came.
func (f *File) Keep(name, flags string, date time.Time) error {
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if !date.IsZero() {
		if err := os.Chtimes(f.Name(), date, date); err != nil {
			return err
		}
	}
	target := filepath.Join(f.path, "new", filepath.Base(f.Name()))
	if name != "" {
		target = filepath.Join(f.path, "cur", name+":2,"+flags)
	}
	return os.Rename(f.Name(), target)
}

// Discard forgets the message.
func (f *File) Discard() error { return errors.Join(f.Close(), os.Remove(f.Name())) }

// Sync makes durable what Keep put into a folder.
func (d *Dir) Sync(folder string) error {
	for _, sub := range []string{"new", "cur"} {
		dir, err := os.Open(filepath.Join(d.folder(folder), sub))
		if err != nil {
			return err
		}
		if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
			return err
		}
	}
	return nil
}

var _ io.Writer = (*File)(nil)
