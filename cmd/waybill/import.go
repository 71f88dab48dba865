package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"waybill/internal/config"
	"waybill/internal/control"
	"waybill/internal/lineend"
	"waybill/internal/mail"
	"waybill/internal/mailbox"
)

// importCommand puts the mail of a Maildir or mbox file into an account.
//
// Each message of a source has a key, which is marked as imported in the batch that files it: so an import that stopped, in
// whatever way, goes on where it stopped, and what is marked is filed. Memory does not grow with messages: the marks are in
// the store, and the window below is what is asked for at once.
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
	if c.Mailbox != "" {
		if err := mailbox.CheckName(c.Mailbox); err != nil {
			return usageErrorf("--mailbox: %v", err)
		}
	}
	source, err := c.source()
	if err != nil {
		return err
	}
	err = c.with(std, func(a admin, _ config.Config) error {
		t := &transfer{admin: a, account: account, source: source, complain: std.err, progress: newProgress(std, "imported")}
		if err := t.all(ctx); err != nil {
			return err
		}
		return c.report(std, t)
	})
	return errors.Join(err, source.Close())
}

// report tells how it went. What could not be read is an error, though all else is there.
func (c *importCommand) report(std streams, t *transfer) (err error) {
	if c.JSON {
		err = json.NewEncoder(std.out).Encode(map[string]any{"imported": t.done, "known": t.known, "skipped": t.skipped})
	} else {
		_, err = fmt.Fprintf(std.out, "%d messages imported into %s, %d were there already\n", t.done, t.account, t.known)
	}
	if err == nil && t.skipped > 0 {
		err = fmt.Errorf("%d messages or folders could not be read; started again the import takes what it can read then", t.skipped)
	}
	return err
}

func (c *importCommand) source() (source, error) {
	if c.Mbox != "" {
		return openMbox(c.Mbox, orInbox(c.Mailbox))
	}
	return openMaildir(c.Maildir, c.Mailbox)
}

// orInbox is a mailbox's name in its one form; INBOX for none.
func orInbox(name string) string {
	if name == "" || strings.EqualFold(name, mailbox.Inbox) {
		return mailbox.Inbox
	}
	return name
}

// source gives messages one after the other; io.EOF at the end. The content of one may be opened, in this order, when further
// ones were asked for already.
type source interface {
	Next() (found, error)
	Close() error
}

// found is a message of a source, or with err what cannot be one.
type found struct {
	control.ImportMessage
	where string // for people
	done  float64
	open  func() (io.ReadCloser, error)
	known bool
	err   error
}

// window is how many messages are asked about at once.
const window = 100

// transfer is an import.
type transfer struct {
	admin
	account  mail.Address
	source   source
	complain io.Writer
	progress *progress

	ahead   []found
	ended   bool // the source has
	content io.Closer

	done, sent, known, skipped int
}

// all imports the source.
func (t *transfer) all(ctx context.Context) (err error) {
	t.done, err = t.Import(ctx, t.account, func() (control.ImportMessage, error) { return t.next(ctx) })
	t.known += t.sent - t.done // those that somebody else imported meanwhile, or that are in the source twice
	t.progress.end()
	err = errors.Join(err, t.closeContent())
	if err != nil && t.sent > 0 {
		err = fmt.Errorf("%w; started again the import goes on where it stopped", err)
	}
	return err
}

// next returns the next message of the source that is not there yet.
func (t *transfer) next(ctx context.Context) (control.ImportMessage, error) {
	if err := t.closeContent(); err != nil {
		return control.ImportMessage{}, err
	}
	for {
		if len(t.ahead) == 0 {
			if err := t.look(ctx); err != nil {
				return control.ImportMessage{}, err
			}
		}
		f := t.ahead[0]
		t.ahead = t.ahead[1:]
		t.progress.show(t.sent+t.known, f.done)
		if f.known {
			t.known++
			continue
		}
		if f.err == nil {
			var content io.ReadCloser
			if content, f.err = f.open(); f.err == nil {
				t.sent++
				t.content, f.Content = content, lineend.FromFile(content)
				return f.ImportMessage, nil
			}
		}
		t.skipped++
		t.progress.end()
		fmt.Fprintf(t.complain, "waybill: skipped %q: %v\n", f.where, f.err)
	}
}

// look takes messages from the source and asks which are there already. io.EOF: there is none.
func (t *transfer) look(ctx context.Context) error {
	var keys []string
	for len(t.ahead) < window && !t.ended {
		f, err := t.source.Next()
		if err = errors.Join(ctx.Err(), err); errors.Is(err, io.EOF) && ctx.Err() == nil {
			t.ended = true
			break
		}
		if err != nil {
			return err
		}
		t.ahead = append(t.ahead, f)
		keys = append(keys, f.Key)
	}
	if len(t.ahead) == 0 {
		return io.EOF
	}
	known, err := t.Imported(ctx, t.account, keys)
	if err == nil && len(known) != len(keys) {
		err = fmt.Errorf("asked about %d messages, the server answers for %d", len(keys), len(known))
	}
	for i := range known {
		t.ahead[i].known = err == nil && known[i] && t.ahead[i].err == nil
	}
	return err
}

func (t *transfer) closeContent() error {
	if t.content == nil {
		return nil
	}
	err := t.content.Close()
	t.content = nil
	return err
}
