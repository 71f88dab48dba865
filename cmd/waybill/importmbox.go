package main

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"waybill/internal/mailbox"
	"waybill/internal/mbox"
)

// mboxSource reads an mbox file. Its messages have no names, and their places change whenever a mail reader writes the file
// anew: so a message's key is its mailbox and the digest of its "From " line and all its content but the Status fields. Two
// messages that agree in all that are one. The digest must be known before the content is sent, so the file is read by two
// readers, of which one is ahead of the other.
type mboxSource struct {
	file    *os.File
	size    int64
	ahead   *mbox.Reader
	behind  *mbox.Reader
	mailbox string
}

func openMbox(path, mailbox string) (*mboxSource, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file", path)
	}
	if err == nil {
		err = lockForReading(f)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	s := &mboxSource{file: f, size: info.Size(), mailbox: mailbox}
	s.ahead, s.behind = s.reader(), s.reader()
	return s, nil
}

func (s *mboxSource) reader() *mbox.Reader {
	return mbox.NewReader(io.NewSectionReader(s.file, 0, s.size))
}

// lockForReading keeps programs from writing the file that lock it as is usual. Not every file system can do that.
func lockForReading(f *os.File) error {
	lock := unix.Flock_t{Type: unix.F_RDLCK, Whence: io.SeekStart}
	err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &lock)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return fmt.Errorf("%s is in use by another program: %w", f.Name(), err)
	}
	return nil
}

func (s *mboxSource) Close() error { return s.file.Close() }

func (s *mboxSource) Next() (found, error) {
	m, err := s.ahead.Next()
	if err != nil {
		return found{}, err
	}
	digest := sha256.New()
	io.WriteString(digest, m.From+"\n")
	if _, err := io.Copy(digest, s.ahead); err != nil {
		return found{}, err
	}
	f := found{where: fmt.Sprintf("message at octet %d", m.Offset), done: float64(m.Offset) / float64(s.size)}
	f.Key = "mbox/" + s.mailbox + "/" + base64.RawURLEncoding.EncodeToString(digest.Sum(nil))
	f.Mailbox, f.Date, f.Flags = s.mailbox, m.Date, flagsOf(mboxLetters, s.ahead.Flags())
	f.open = func() (io.ReadCloser, error) { return s.at(m.Offset) }
	return f, nil
}

// at goes to a message that the other reader has been at.
func (s *mboxSource) at(offset int64) (io.ReadCloser, error) {
	for {
		m, err := s.behind.Next()
		if err == nil && m.Offset < offset {
			continue
		}
		if err == nil && m.Offset != offset || errors.Is(err, io.EOF) {
			err = errors.New("the file was changed while it was read")
		}
		return io.NopCloser(s.behind), err
	}
}

// mboxLetters are the flags as the Status fields of an mbox have them.
var mboxLetters = []letter{
	{"RO", mailbox.Seen}, {"A", mailbox.Answered}, {"F", mailbox.Flagged}, {"D", mailbox.Deleted}, {"T", mailbox.Draft},
}
