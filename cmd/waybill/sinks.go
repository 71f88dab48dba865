package main

import (
	"errors"
	"io"
	"os"
	"time"

	"waybill/internal/lineend"
	"waybill/internal/maildir"
	"waybill/internal/mbox"
	"waybill/internal/mua"
)

// sink is where the messages go to.
func (c *fetchCommand) sink(std streams) (sink mua.Sink, end func() error, err error) {
	end = func() error { return nil }
	switch {
	case c.Mbox != "":
		file, err := mbox.OpenFile(c.Mbox)
		return mboxSink{file}, end, err
	case c.Out != "-":
		dir, err := maildir.Create(c.Out)
		if err != nil {
			return nil, end, err
		}
		return maildirSink{dir}, dir.Close, nil
	}
	return printSink{std.out}, end, nil
}

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
	if err := k.Close(); err != nil { // the last octet may have been held back
		return errors.Join(err, k.Discard())
	}
	if err := k.file.Keep("", "", time.Time{}); err != nil {
		return err
	}
	return k.dir.Sync("")
}

func (k maildirKeeper) Discard() error { return k.file.Discard() }

// mboxSink adds messages to an mbox file, each when it has come whole: meanwhile others may use the file.
type mboxSink struct{ file *mbox.File }

func (s mboxSink) Begin(string, int64) (mua.Keeper, error) {
	f, err := spoolFile()
	if err != nil {
		return nil, err
	}
	return mboxKeeper{f, s.file}, nil
}

type mboxKeeper struct {
	*os.File
	mbox *mbox.File
}

func (k mboxKeeper) Keep() error {
	if _, err := k.Seek(0, io.SeekStart); err != nil {
		return errors.Join(err, k.Close())
	}
	return errors.Join(k.mbox.Add("", time.Now(), k.File), k.Close())
}

func (k mboxKeeper) Discard() error { return k.Close() }
