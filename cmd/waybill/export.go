package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"waybill/internal/config"
	"waybill/internal/control"
	"waybill/internal/lineend"
	"waybill/internal/mail"
	"waybill/internal/mailbox"
	"waybill/internal/maildir"
	"waybill/internal/mbox"
)

// exportCommand writes the mail of an account into a Maildir or an mbox file.
type exportCommand struct {
	Account string `arg:"" placeholder:"ADDR" help:"The account."`
	Maildir string `xor:"target" required:"" placeholder:"DIR" help:"A Maildir, made if it is not there; mailboxes but INBOX become its folders. What is there already is not written again."`
	Mbox    string `xor:"target" required:"" placeholder:"FILE" help:"An mbox file that is not there yet, for one mailbox."`
	Mailbox string `placeholder:"NAME" help:"This mailbox only. Default: all; for --mbox INBOX."`
	configFlag
}

func (c *exportCommand) Run(ctx context.Context, std streams) error {
	account, err := parseAddress("ADDR", c.Account)
	if err != nil {
		return err
	}
	return c.with(std, func(a admin, _ config.Config) error {
		e := &export{admin: a, account: account, complain: std.err, progress: newProgress(std, "exported")}
		err := c.write(ctx, e)
		e.progress.end()
		if err != nil {
			return err
		}
		return c.report(std, e)
	})
}

// report tells how it went. What is damaged is an error, though all else is there.
func (c *exportCommand) report(std streams, e *export) (err error) {
	if c.JSON {
		err = json.NewEncoder(std.out).Encode(map[string]any{"exported": e.done, "known": e.known, "damaged": e.damaged})
	} else {
		_, err = fmt.Fprintf(std.out, "%d messages of %s exported, %d were there already\n", e.done, e.account, e.known)
	}
	if err == nil && e.damaged > 0 {
		err = fmt.Errorf("%d messages are damaged and were left out; waybill verify tells more", e.damaged)
	}
	return err
}

func (c *exportCommand) write(ctx context.Context, e *export) error {
	if c.Mbox != "" {
		c.Mailbox = orInbox(c.Mailbox)
		if _, err := c.boxes(ctx, e); err != nil {
			return err
		}
		return e.toMbox(ctx, c.Mbox, c.Mailbox)
	}
	boxes, err := c.boxes(ctx, e)
	if err != nil {
		return err
	}
	dir, err := maildir.Create(c.Maildir)
	if err != nil {
		return err
	}
	for _, b := range boxes { // one that fails keeps no other from being there
		if failed := e.toMaildir(ctx, dir, b.Name); failed != nil {
			err = errors.Join(err, fmt.Errorf("mailbox %s: %w", b.Name, failed))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(err, dir.Close())
}

// boxes are those that are wanted.
func (c *exportCommand) boxes(ctx context.Context, e *export) (wanted []mailbox.Info, err error) {
	all, err := e.Mailboxes(ctx, e.account)
	if err != nil {
		return nil, err
	}
	for _, b := range all {
		if c.Mailbox == "" || orInbox(c.Mailbox) == b.Name {
			wanted = append(wanted, b)
			e.total += b.Messages
		}
	}
	if len(wanted) == 0 {
		return nil, fmt.Errorf("account %s, mailbox %s: %w", e.account, orInbox(c.Mailbox), mailbox.ErrNoMailbox)
	}
	return wanted, nil
}

// export is an export.
type export struct {
	admin
	account              mail.Address
	complain             io.Writer
	progress             *progress
	total                int64
	done, known, damaged int
}

// each calls do with every message of a mailbox. Those that are damaged are told and left out.
func (e *export) each(ctx context.Context, name string, do func(uidValidity uint32, m control.ExportMessage) error) error {
	q := control.ExportQuery{Account: e.account, Mailbox: name}
	for {
		page, err := e.Export(ctx, q)
		if err != nil {
			return err
		}
		for _, uid := range page.Damaged {
			e.leaveOut(name, uid)
		}
		for _, m := range page.Messages {
			if err := ctx.Err(); err != nil {
				return err
			}
			err := do(page.UIDValidity, m)
			switch {
			case errors.Is(err, control.ErrDamaged):
				e.leaveOut(name, m.UID)
			case err != nil && !errors.Is(err, control.ErrGone): // what its owner deletes meanwhile is not missed
				return fmt.Errorf("message %d: %w", m.UID, err)
			}
			e.progress.show(e.done+e.known, float64(e.done+e.known)/float64(max(e.total, 1)))
		}
		if q.After = page.Next; q.After == 0 {
			return nil
		}
	}
}

// leaveOut tells of a message that cannot be read.
func (e *export) leaveOut(name string, uid uint32) {
	e.damaged++
	e.progress.end()
	fmt.Fprintf(e.complain, "waybill: left out message %d of mailbox %s: it is damaged\n", uid, name)
}

// toMaildir writes a mailbox into a folder. The name of a file tells which message it is, so that what is there is known.
func (e *export) toMaildir(ctx context.Context, dir *maildir.Dir, name string) error {
	folder := ""
	if name != mailbox.Inbox {
		folder = maildir.FolderOf(name)
	}
	if err := dir.MakeFolder(folder); err != nil {
		return err
	}
	there, err := dir.Messages(folder)
	if err != nil {
		return err
	}
	known := make(map[string]bool, len(there))
	for _, m := range there {
		known[m.Name] = true
	}
	err = e.each(ctx, name, func(uidValidity uint32, m control.ExportMessage) error {
		unique := fmt.Sprintf("%d.V%dU%dI%s.waybill", m.Received.Unix(), uidValidity, m.UID, m.ID)
		if known[unique] {
			e.known++
			return nil
		}
		return e.file(ctx, dir, folder, name, unique, m)
	})
	return errors.Join(err, dir.Sync(folder))
}

func (e *export) file(ctx context.Context, dir *maildir.Dir, folder, name, unique string, m control.ExportMessage) error {
	f, err := dir.Begin(folder)
	if err != nil {
		return err
	}
	if err := e.copy(ctx, f, name, m); err != nil {
		if failed := f.Discard(); failed != nil { // which matters more than that the message is damaged
			return failed
		}
		return err
	}
	e.done++
	return f.Keep(unique, lettersOf(maildirLetters, m.Flags), m.Received)
}

// copy writes a message into a file. Where its content fails, that is the error, whatever became of the file.
func (e *export) copy(ctx context.Context, w io.Writer, name string, m control.ExportMessage) error {
	content, err := e.open(ctx, name, m)
	if err != nil {
		return err
	}
	defer content.Close()
	buffered := bufio.NewWriterSize(w, 64<<10)
	lines := lineend.ToFile(buffered)
	if _, err := io.Copy(lines, content); err != nil {
		return err
	}
	return errors.Join(lines.Close(), buffered.Flush())
}

// open opens a message. Reading says control.ErrDamaged if it has another size than it should.
func (e *export) open(ctx context.Context, name string, m control.ExportMessage) (io.ReadCloser, error) {
	content, err := e.Content(ctx, control.ExportQuery{Account: e.account, Mailbox: name, After: m.UID})
	if err != nil {
		return nil, err
	}
	return &sized{ReadCloser: content, size: m.Size}, nil
}

// sized checks the size of what is read.
type sized struct {
	io.ReadCloser
	n, size int64
}

// Read implements io.Reader.
func (s *sized) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	if s.n += int64(n); err == io.EOF && s.n != s.size {
		err = fmt.Errorf("%d octets came of %d: %w", s.n, s.size, control.ErrDamaged)
	}
	return n, err
}

// toMbox writes a mailbox into a new file, which is there when it is complete.
func (e *export) toMbox(ctx context.Context, path, name string) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%s is there already; name a file that is not", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.part") // new, whatever stands there
	if err != nil {
		return err
	}
	part := f.Name()
	w := mbox.NewWriter(f)
	err = e.each(ctx, name, func(_ uint32, m control.ExportMessage) error {
		return e.add(ctx, f, w, name, m)
	})
	if err := errors.Join(err, w.Flush(), f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(part))
	}
	if err := os.Rename(part, path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// add writes a message behind the others of an mbox, all of it or nothing.
func (e *export) add(ctx context.Context, f *os.File, w *mbox.Writer, name string, m control.ExportMessage) error {
	content, err := e.open(ctx, name, m)
	if err != nil {
		return err
	}
	defer content.Close()
	start, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	start += int64(w.Buffered())
	if err := w.Write(m.Sender, m.Received, lettersOf(mboxLetters, m.Flags), content); err != nil {
		if failed := cutBack(f, w, start); failed != nil { // which matters more than that the message is damaged
			return failed
		}
		return err
	}
	e.done++
	return nil
}

// cutBack takes from an mbox what was written from start on.
func cutBack(f *os.File, w *mbox.Writer, start int64) error {
	if err := w.Flush(); err != nil {
		return err
	}
	if err := f.Truncate(start); err != nil {
		return err
	}
	_, err := f.Seek(start, io.SeekStart)
	return err
}
