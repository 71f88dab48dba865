package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"waybill/internal/lineend"
	"waybill/internal/maildir"
	"waybill/internal/mbox"
	"waybill/internal/mua"
)

// printSink prints messages as they are.
type printSink struct{ out io.Writer }

func (p printSink) Begin(string, int64) (mua.Keeper, error) { return printKeeper(p), nil }

type printKeeper struct{ out io.Writer }

func (p printKeeper) Write(b []byte) (int, error) { return p.out.Write(b) }
func (p printKeeper) Discard() error              { return nil }

// Keep makes sure that what was printed has left us; a terminal or pipe cannot be synced.
func (p printKeeper) Keep() error {
	f, ok := fileUnder(p.out)
	if !ok {
		return nil
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	return f.Sync()
}

// maildirSink puts each message into a Maildir, as it came but for its line ends.
type maildirSink struct{ dir *maildir.Dir }

func (s maildirSink) Begin(string, int64) (mua.Keeper, error) {
	f, err := s.dir.Begin("")
	if err != nil {
		return nil, err
	}
	return maildirKeeper{lineend.ToFile(f), f, s.dir}, nil
}

type maildirKeeper struct {
	io.WriteCloser
	file *maildir.File
	dir  *maildir.Dir
}

func (k maildirKeeper) Keep() error {
	return errors.Join(k.Close(), k.file.Keep("", "", time.Time{}), k.dir.Sync(""))
}

func (k maildirKeeper) Discard() error { return k.file.Discard() }

// mboxSink adds messages to an mbox file, which is locked as other programs do it. What cannot be kept whole is cut off again.
type mboxSink struct{ file *os.File }

func openMboxSink(path string) (*mboxSink, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	if err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &lock); err != nil {
		return nil, errors.Join(fmt.Errorf("%s is in use by another program: %w", path, err), f.Close())
	}
	return &mboxSink{f}, nil
}

func (s *mboxSink) Close() error { return s.file.Close() }

func (s *mboxSink) Begin(string, int64) (mua.Keeper, error) {
	end, err := s.file.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	if err := s.separate(end); err != nil {
		return nil, err
	}
	r, w := io.Pipe()
	k := &mboxKeeper{PipeWriter: w, sink: s, begin: end, written: make(chan error, 1)}
	go func() {
		out := mbox.NewWriter(s.file)
		err := errors.Join(out.Write("", time.Now(), "", r), out.Flush())
		r.CloseWithError(err) // whoever goes on writing is told
		k.written <- err
	}()
	return k, nil
}

// separate sees to the empty line that must stand before the next message.
func (s *mboxSink) separate(end int64) error {
	last := make([]byte, min(end, 2))
	if _, err := s.file.ReadAt(last, end-int64(len(last))); err != nil {
		return err
	}
	if end == 0 || string(last) == "\n\n" {
		return nil
	}
	missing := "\n"
	if last[len(last)-1] != '\n' {
		missing = "\n\n"
	}
	_, err := s.file.WriteString(missing)
	return err
}

// mboxKeeper is a message that is being added.
type mboxKeeper struct {
	*io.PipeWriter
	sink    *mboxSink
	begin   int64
	written chan error
}

func (k *mboxKeeper) Keep() error {
	k.Close()
	err := <-k.written
	if err == nil {
		err = k.sink.file.Sync()
	}
	if err != nil {
		return errors.Join(err, k.cut())
	}
	return nil
}

func (k *mboxKeeper) Discard() error {
	k.CloseWithError(errDiscarded)
	<-k.written
	return k.cut()
}

var errDiscarded = errors.New("the message did not come whole")

func (k *mboxKeeper) cut() error { return k.sink.file.Truncate(k.begin) }
