package mbox

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// File is an mbox file that messages are added to while other programs use it too. Between two messages it is not open.
type File struct {
	path     string
	patience time.Duration // how long a lock is waited for
}

// defaultPatience is how long other programs may keep the file locked before we give up.
const defaultPatience = 30 * time.Second

var (
	// ErrNoFile is returned for what is no regular file: a symbolic link might be somebody else's, and nothing that is written
	// to a device or a FIFO stays there.
	ErrNoFile = errors.New("this is no regular file")
	// ErrInUse says that another program has the file locked.
	ErrInUse = errors.New("it is locked by another program")
)

// OpenFile returns the mbox file of that name, which it makes if it is not there. Errors: ErrNoFile, ErrFormat for a file that begins
// otherwise, those of the file system.
func OpenFile(path string) (*File, error) {
	f := &File{path: path, patience: defaultPatience}
	file, made, err := f.open()
	if err != nil {
		return nil, err
	}
	err = checkStart(path, file)
	if made {
		err = syncDir(filepath.Dir(path))
	}
	return f, errors.Join(err, file.Close())
}

// checkStart keeps messages from being added to what is no mbox.
func checkStart(path string, file *os.File) error {
	if _, err := NewReader(file).Next(); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// open opens the file, and says whether it was made.
func (f *File) open() (file *os.File, made bool, err error) {
	_, err = os.Lstat(f.path)
	made = errors.Is(err, fs.ErrNotExist)
	file, err = os.OpenFile(f.path, os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	switch {
	case errors.Is(err, unix.ELOOP):
		return nil, false, fmt.Errorf("%s: %w but a symbolic link; name the file that it leads to", f.path, ErrNoFile)
	case err != nil:
		return nil, false, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: %w", f.path, ErrNoFile)
	}
	if err != nil {
		return nil, false, errors.Join(err, file.Close())
	}
	return file, made, nil
}

// Add adds a message (see Writer.Write) under the locks of other programs, and makes it durable. If that fails the file is as long as it
// was. Errors: ErrInUse, those of OpenFile, of the file system and of content.
func (f *File) Add(sender string, date time.Time, content io.Reader) error {
	file, made, unlock, err := f.lock()
	if err != nil {
		return err
	}
	err = f.add(file, sender, date, content)
	if err == nil && made {
		err = syncDir(filepath.Dir(f.path))
	}
	unlock() // before it is closed, which ends the other lock
	return errors.Join(err, file.Close())
}

func (f *File) add(file *os.File, sender string, date time.Time, content io.Reader) error {
	end, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	w := NewWriter(file)
	err = separate(file, end, w)
	if err == nil {
		err = w.Write(sender, date, "", content)
	}
	if err == nil {
		err = errors.Join(w.Flush(), file.Sync())
	}
	if err != nil {
		return errors.Join(err, file.Truncate(end), file.Sync())
	}
	return nil
}

// separate sees to the empty line that must stand before the next message.
func separate(file *os.File, end int64, w *Writer) error {
	last := make([]byte, min(end, 2))
	if _, err := file.ReadAt(last, end-int64(len(last))); err != nil {
		return err
	}
	if end == 0 || string(last) == "\n\n" {
		return nil
	}
	if last[len(last)-1] != '\n' {
		w.out.WriteByte('\n')
	}
	return w.out.WriteByte('\n')
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
