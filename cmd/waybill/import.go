package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"waybill/internal/config"
	"waybill/internal/control"
	"waybill/internal/lineend"
	"waybill/internal/mail"
	"waybill/internal/mailbox"
	"waybill/internal/maildir"
	"waybill/internal/mbox"
)

// importCommand puts the mail of a Maildir or mbox file into an account.
type importCommand struct {
	Account string `arg:"" placeholder:"ADDR" help:"The account."`
	Maildir string `xor:"source" required:"" type:"existingdir" placeholder:"DIR" help:"A Maildir; its folders become mailboxes."`
	Mbox    string `xor:"source" required:"" type:"existingfile" placeholder:"FILE" help:"An mbox file."`
	Mailbox string `placeholder:"NAME" help:"Where the mail goes to; of a Maildir the place of its folders too. Default: INBOX, and the folders beside it."`
	configFlag
}

func (c *importCommand) Run(ctx context.Context, std streams) error {
	account, err := parseAddress("ADDR", c.Account)
	if err != nil {
		return err
	}
	source, err := c.source()
	if err != nil {
		return err
	}
	defer source.Close()
	return c.with(std, func(a admin, _ config.Config) error {
		t := &transfer{admin: a, account: account, progress: newProgress(std, "imported"), total: source.Total()}
		err := t.all(ctx, source)
		t.progress.end()
		if err != nil {
			return fmt.Errorf("%w; started again the import goes on where it stopped", err)
		}
		if c.JSON {
			return json.NewEncoder(std.out).Encode(map[string]any{"imported": t.done, "known": t.known})
		}
		_, err = fmt.Fprintf(std.out, "%d messages imported into %s, %d were there already\n", t.done, account, t.known)
		return err
	})
}

// source gives messages one after the other. Their content is opened when it is wanted, before the next one is asked for.
type source interface {
	Next() (found, error) // io.EOF at the end
	Total() int           // messages; 0: not known
	Close() error
}

// found is a message of a source.
type found struct {
	control.ImportMessage
	open func() (io.ReadCloser, error)
}

func (c *importCommand) source() (source, error) {
	if c.Mbox != "" {
		return openMbox(c.Mbox, orInbox(c.Mailbox))
	}
	return openMaildir(c.Maildir, c.Mailbox)
}

func orInbox(name string) string {
	if name == "" {
		return mailbox.Inbox
	}
	return name
}

// transfer is an import.
type transfer struct {
	admin
	account     mail.Address
	progress    *progress
	total       int
	done, known int
}

// all imports a source.
func (t *transfer) all(ctx context.Context, s source) error {
	_, err := t.Import(ctx, t.account, func() (control.ImportMessage, error) { return t.next(ctx, s) })
	return err
}

// next returns the next message of a source that is not there yet.
func (t *transfer) next(ctx context.Context, s source) (control.ImportMessage, error) {
	for {
		if err := ctx.Err(); err != nil {
			return control.ImportMessage{}, err
		}
		f, err := s.Next()
		if err != nil {
			return control.ImportMessage{}, err
		}
		known, err := t.Imported(ctx, t.account, []string{f.Key})
		if err != nil {
			return control.ImportMessage{}, err
		}
		if known[0] {
			t.known++
			t.progress.show(t.done+t.known, t.total)
			continue
		}
		content, err := f.open()
		if errors.Is(err, os.ErrNotExist) { // a mail reader has moved it since: its new name comes with the next import
			continue
		}
		if err != nil {
			return control.ImportMessage{}, err
		}
		t.done++
		t.progress.show(t.done+t.known, t.total)
		f.Content = onWire(content)
		return f.ImportMessage, nil
	}
}

// onWire reads content with CR LF line ends, and closes it at its end.
func onWire(content io.ReadCloser) io.Reader {
	r, w := io.Pipe()
	go func() {
		_, err := io.Copy(lineend.ToWire(w), content)
		w.CloseWithError(errors.Join(err, content.Close()))
	}()
	return r
}

// maildirSource reads a Maildir, folder after folder.
type maildirSource struct {
	dir     *maildir.Dir
	under   string // mailbox
	folders []string
	left    []maildir.Message
	total   int
}

func openMaildir(path, under string) (*maildirSource, error) {
	dir, err := maildir.Open(path)
	if err != nil {
		return nil, err
	}
	s := &maildirSource{dir: dir, under: under}
	if s.folders, err = dir.Folders(); err != nil {
		return nil, err
	}
	for _, f := range s.folders {
		messages, err := dir.Messages(f)
		if err != nil {
			return nil, err
		}
		s.total += len(messages)
	}
	return s, nil
}

func (s *maildirSource) Total() int   { return s.total }
func (s *maildirSource) Close() error { return nil }

func (s *maildirSource) Next() (found, error) {
	for len(s.left) == 0 {
		if len(s.folders) == 0 {
			return found{}, io.EOF
		}
		var err error
		if s.left, err = s.dir.Messages(s.folders[0]); err != nil {
			return found{}, err
		}
		s.folders = s.folders[1:]
	}
	m := s.left[0]
	s.left = s.left[1:]
	f := found{open: func() (io.ReadCloser, error) { return os.Open(m.Path) }}
	f.Key = "maildir/" + m.Folder + "/" + m.Name
	f.Mailbox, f.Flags = s.mailbox(m.Folder), maildirFlags(m.Flags)
	if info, err := os.Stat(m.Path); err == nil {
		f.Date = info.ModTime()
	}
	return f, nil
}

func (s *maildirSource) mailbox(folder string) string {
	switch {
	case s.under == "" && folder == "":
		return mailbox.Inbox
	case s.under == "":
		return folder
	case folder == "":
		return s.under
	}
	return s.under + mailbox.Separator + folder
}

// flagLetters are the flags as a Maildir has them. "P", passed on, has none of ours.
func flagLetters() map[rune]mailbox.Flags {
	return map[rune]mailbox.Flags{'D': mailbox.Draft, 'F': mailbox.Flagged, 'R': mailbox.Answered, 'S': mailbox.Seen, 'T': mailbox.Deleted}
}

func maildirFlags(letters string) (flags mailbox.Flags) {
	for _, c := range letters {
		flags |= flagLetters()[c]
	}
	return flags
}

// mboxSource reads an mbox file. Its messages have no names, so where they stand names them.
type mboxSource struct {
	file    *os.File
	path    string
	reader  *mbox.Reader
	mailbox string
}

func openMbox(path, mailbox string) (*mboxSource, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &mboxSource{file: f, path: path, reader: mbox.NewReader(f), mailbox: mailbox}, nil
}

func (s *mboxSource) Total() int   { return 0 }
func (s *mboxSource) Close() error { return s.file.Close() }

func (s *mboxSource) Next() (found, error) {
	m, err := s.reader.Next()
	if err != nil {
		return found{}, err
	}
	flags, err := s.flags(m)
	if err != nil {
		return found{}, err
	}
	f := found{open: func() (io.ReadCloser, error) { return io.NopCloser(s.reader), nil }}
	f.Key = "mbox/" + s.path + "/" + strconv.FormatInt(m.Offset, 10)
	f.Mailbox, f.Date, f.Flags = s.mailbox, m.Date, flags
	return f, nil
}

// maxHeader bounds what is looked at of a message for its Status fields.
const maxHeader = 256 << 10

// flags reads the header of a message ahead: its flags must be known before the content is taken.
func (s *mboxSource) flags(m mbox.Message) (mailbox.Flags, error) {
	ahead := mbox.NewReader(io.NewSectionReader(s.file, m.Offset, maxHeader))
	if _, err := ahead.Next(); err != nil {
		return 0, err
	}
	if _, err := io.Copy(io.Discard, io.LimitReader(ahead, maxHeader)); err != nil {
		return 0, err
	}
	var flags mailbox.Flags
	for letter, flag := range map[string]mailbox.Flags{"R": mailbox.Seen, "A": mailbox.Answered, "F": mailbox.Flagged, "D": mailbox.Deleted, "T": mailbox.Draft} {
		if strings.Contains(ahead.Flags(), letter) {
			flags |= flag
		}
	}
	return flags, nil
}

// progress tells on a terminal how far something is.
type progress struct {
	out   io.Writer // nil: nobody looks
	what  string
	began time.Time
	last  time.Time
}

func (p *progress) show(done, total int) {
	if p.out == nil || time.Since(p.last) < time.Second/4 {
		return
	}
	p.last = time.Now()
	rate := float64(done) / max(time.Since(p.began).Seconds(), 0.001)
	text := fmt.Sprintf("\r%d messages %s, %.0f a second", done, p.what, rate)
	if total > 0 {
		left := time.Duration(float64(max(total-done, 0)) / max(rate, 0.001) * float64(time.Second))
		text += fmt.Sprintf(", of %d; %s left", total, left.Round(time.Second))
	}
	fmt.Fprint(p.out, text+"   ")
}

func (p *progress) end() {
	if p.out != nil && !p.last.IsZero() {
		fmt.Fprintln(p.out)
	}
}
