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
func (c *fetchCommand) memory(servers []mua.Server, remove bool) (*fetched, error) {
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
	target, err := c.target()
	if err != nil {
		return nil, err
	}
	memory, err := openFetched(path, account, target, remove)
	if err != nil || target == "" {
		return memory, err
	}
	empty, err := c.targetEmpty()
	if err == nil && empty {
		err = memory.doubt()
	}
	if err != nil {
		return nil, errors.Join(err, memory.Close())
	}
	return memory, nil
}

// fetched is a file about messages that were fetched from one account: a line that names the account, then one for each message,
// with its UIDL and, after a space, the target in which its copy is durable, if it is. A line with no UIDL says that what is
// above it may not be in that target any more. The file is locked while it is open.
type fetched struct {
	file   *os.File
	path   string
	title  string              // the first line
	target string              // to which messages are fetched now; "" keeps nothing for the next time
	remove bool                // they are to be deleted from the server
	copies map[string][]string // by UIDL, for each message the target in which it is durable, or ""
}

// openFetched opens the file, or makes it. Of a line that is damaged, as after a power cut, the
// message is fetched twice.
func openFetched(path, account, target string, remove bool) (*fetched, error) {
	f := &fetched{path: path, title: "waybill fetched from " + account, target: target, remove: remove, copies: map[string][]string{}}
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
	return f.read(bufio.NewReader(f.file))
}

// begin writes the first line of a file that is new, or in which no more than a part of that line came to be.
func (f *fetched) begin() error {
	if err := f.file.Truncate(0); err != nil {
		return err
	}
	if _, err := f.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	_, err := fmt.Fprintln(f.file, f.title)
	return errors.Join(err, f.file.Sync())
}

// read reads the lines. A last one without its end is cut off: what is left of a UIDL may be another one.
func (f *fetched) read(in *bufio.Reader) error {
	for whole := int64(0); ; {
		line, err := in.ReadString('\n')
		if err == io.EOF && whole > 0 {
			_, seekErr := f.file.Seek(whole, io.SeekStart)
			return errors.Join(f.file.Truncate(whole), seekErr)
		}
		if err == io.EOF && strings.HasPrefix(f.title, line) {
			return f.begin()
		}
		if err != nil && err != io.EOF {
			return err
		}
		if whole == 0 && line != f.title+"\n" {
			return fmt.Errorf("this is not the memory of what was %s", strings.TrimPrefix(f.title, "waybill "))
		}
		if whole > 0 {
			uidl, target, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
			f.note(uidl, target)
		}
		whole += int64(len(line))
	}
}

// note takes one line into account.
func (f *fetched) note(uidl, target string) {
	if uidl != "" {
		f.copies[uidl] = append(f.copies[uidl], target)
		return
	}
	for _, copies := range f.copies {
		for i := range copies {
			if copies[i] == target {
				copies[i] = ""
			}
		}
	}
}

// Times implements mua.Memory. To be deleted, a message must be durable where messages are fetched to now; to be left where it
// is, it need only have been fetched.
func (f *fetched) Times(uidl string) int {
	if !f.remove {
		return len(f.copies[uidl])
	}
	n := 0
	for _, target := range f.copies[uidl] {
		if target != "" && target == f.target {
			n++
		}
	}
	return n
}

// Add implements mua.Memory. A UIDL has no space and no control character; that is pop3's to see to.
func (f *fetched) Add(uidl string) error {
	f.note(uidl, f.target)
	_, err := f.file.WriteString(fetchedLine(uidl, f.target))
	return err
}

// doubt notes that what was fetched to the target may not be there any more. It is durable before any message comes there,
// after which the target would not look new.
func (f *fetched) doubt() error {
	if !slices.ContainsFunc(slices.Collect(maps.Values(f.copies)), func(c []string) bool { return slices.Contains(c, f.target) }) {
		return nil
	}
	f.note("", f.target)
	_, err := f.file.WriteString(fetchedLine("", f.target))
	return errors.Join(err, f.file.Sync())
}

func fetchedLine(uidl, target string) string {
	if target == "" {
		return uidl + "\n"
	}
	return uidl + " " + target + "\n"
}

// Sync implements mua.Memory.
func (f *fetched) Sync() error { return f.file.Sync() }

// Only implements mua.Memory: it puts a shorter file into the place of this one.
func (f *fetched) Only(there map[string]bool) error {
	before := len(f.copies)
	maps.DeleteFunc(f.copies, func(uidl string, _ []string) bool { return !there[uidl] })
	if len(f.copies) == before {
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
	for _, uidl := range slices.Sorted(maps.Keys(f.copies)) {
		for _, target := range f.copies[uidl] {
			io.WriteString(w, fetchedLine(uidl, target))
		}
	}
	if err := errors.Join(w.Flush(), file.Sync(), file.Close()); err != nil {
		return errors.Join(err, os.Remove(part))
	}
	return os.Rename(part, f.path)
}

// Close ends the lock too.
func (f *fetched) Close() error { return f.file.Close() }
