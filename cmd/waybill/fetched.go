package main

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"waybill/internal/mua"
)

// memory is what was fetched before of the account, unless nothing is to be remembered.
func (c *fetchCommand) memory(servers []mua.Server) (*fetched, error) {
	account := c.account(servers)
	path := c.State
	mark := fmt.Sprintf("%x", sha256.Sum256([]byte(account)))[:12]
	switch {
	case c.All:
		return nil, nil
	case path != "":
	case c.Mbox != "":
		path = c.Mbox + ".fetched-" + mark
	case c.Out != "-":
		path = filepath.Join(c.Out, "waybill-fetched-"+mark)
	default:
		return nil, nil
	}
	return openFetched(path, account)
}

// fetched is a file with the UIDLs of messages that were fetched from one account: a line that names it, then one for each. It
// is locked while it is open.
type fetched struct {
	file  *os.File
	path  string
	title string // the first line
	times map[string]int
}

// openFetched opens the file, or makes it. Of a line that is damaged, as after a power cut, the
// message is fetched twice.
func openFetched(path, account string) (*fetched, error) {
	f := &fetched{path: path, title: "waybill fetched from " + account, times: map[string]int{}}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	f.file = file
	if err := f.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), file.Close())
	}
	return f, nil
}

func (f *fetched) load() error {
	info, err := f.file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("this is no regular file")
	}
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	if err := unix.FcntlFlock(f.file.Fd(), unix.F_SETLK, &lock); err != nil {
		return laterError{fmt.Errorf("another fetch is using it: %w", err)}
	}
	if info.Size() == 0 {
		_, err := fmt.Fprintln(f.file, f.title)
		return errors.Join(err, f.file.Sync())
	}
	return f.read(bufio.NewReader(f.file))
}

// read reads the lines. A last one without its end is cut off: what is left of a UIDL may be another one.
func (f *fetched) read(in *bufio.Reader) error {
	for whole := int64(0); ; {
		line, err := in.ReadString('\n')
		if err == io.EOF && whole > 0 {
			_, seekErr := f.file.Seek(whole, io.SeekStart)
			return errors.Join(f.file.Truncate(whole), seekErr)
		}
		if err != nil && err != io.EOF {
			return err
		}
		if whole == 0 && line != f.title+"\n" {
			return fmt.Errorf("this is not the memory of what was %s", strings.TrimPrefix(f.title, "waybill "))
		}
		if whole > 0 {
			f.times[strings.TrimSuffix(line, "\n")]++
		}
		whole += int64(len(line))
	}
}

// Times implements mua.Memory.
func (f *fetched) Times(uidl string) int { return f.times[uidl] }

// Add implements mua.Memory. A UIDL has no space and no control character; that is pop3's to see to.
func (f *fetched) Add(uidl string) error {
	f.times[uidl]++
	_, err := f.file.WriteString(uidl + "\n")
	return err
}

// Sync implements mua.Memory.
func (f *fetched) Sync() error { return f.file.Sync() }

// Only implements mua.Memory: it puts a shorter file into the place of this one.
func (f *fetched) Only(there map[string]bool) error {
	before := len(f.times)
	maps.DeleteFunc(f.times, func(uidl string, _ int) bool { return !there[uidl] })
	if len(f.times) == before {
		return nil
	}
	part := f.path + ".part"
	os.Remove(part)
	file, err := os.OpenFile(part, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(file)
	fmt.Fprintln(w, f.title)
	for _, uidl := range slices.Sorted(maps.Keys(f.times)) {
		for range f.times[uidl] {
			fmt.Fprintln(w, uidl)
		}
	}
	if err := errors.Join(w.Flush(), file.Sync(), file.Close()); err != nil {
		return errors.Join(err, os.Remove(part))
	}
	return os.Rename(part, f.path)
}

// Close ends the lock too.
func (f *fetched) Close() error { return f.file.Close() }
