package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"time"
)

const (
	bigMessages = 100_000
	bigSize     = 1024
	bigDeleted  = 1000
)

// bigboxFigure opens a maildrop with very many messages. Dovecot's is filled with files, waybill's by SMTP.
func bigboxFigure(ctx context.Context, o options, s server) (values []value, err error) {
	o.scenario = scenario{sessions: 20, size: bigSize, to: mailbox(0)}
	err = withServer(ctx, o, s, launch{}, func(dir string, r *running) error {
		if s.name() == namePostfix {
			err = fillMaildir(dir)
		} else {
			_, err = send(ctx, o, r.smtp, bigMessages, randomLines(bigSize), new([mailboxes]int))
		}
		if err != nil {
			return err
		}
		if err := awaitMailbox(ctx, r.pop3, 0, bigMessages); err != nil { // Dovecot makes its index
			return err
		}
		values, err = openBig(ctx, r.pop3)
		return err
	})
	return values, err
}

func openBig(ctx context.Context, address string) (values []value, err error) {
	var p *popClient
	step := func(title string, do func() error) {
		if err != nil {
			return
		}
		began := time.Now()
		if err = do(); err != nil {
			err = fmt.Errorf("%s: %w", title, err)
		}
		values = append(values, value{title: title, amount: millis(time.Since(began)), unit: "ms"})
	}
	step("mailbox of 100,000: login and STAT", func() (err error) {
		if p, err = login(ctx, address, mailbox(0)); err == nil {
			_, err = p.command("STAT")
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	defer p.close()
	for _, command := range []string{"LIST", "UIDL"} {
		step("– "+command, func() error {
			n, err := p.lines(command)
			if err == nil && n != bigMessages {
				err = fmt.Errorf("%d lines", n)
			}
			return err
		})
	}
	step("– RETR of 100 at random", func() error {
		for range 100 {
			if _, err := p.message("RETR " + pick(bigMessages)); err != nil {
				return err
			}
		}
		return nil
	})
	step("– 1,000 DELE and QUIT", func() error {
		for i := 1; i <= bigDeleted; i++ {
			if _, err := p.command("DELE " + strconv.Itoa(i*97)); err != nil {
				return err
			}
		}
		_, err := p.command("QUIT")
		return err
	})
	return values, err
}

// fillMaildir writes the messages into Dovecot's Maildir.
func fillMaildir(dir string) error {
	nobody, err := user.Lookup("nobody")
	if err != nil {
		return err
	}
	uid, _ := strconv.Atoi(nobody.Uid)
	gid, _ := strconv.Atoi(nobody.Gid)
	home := filepath.Join(dir, "mail", "user0", "Maildir")
	for _, sub := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(home, sub), 0o755); err != nil {
			return err
		}
	}
	letter := newLetter(bigSize, randomLines(bigSize))
	for i := range bigMessages {
		message := letter.next(mailbox(0))
		name := filepath.Join(home, "new", fmt.Sprintf("%d.M%d.bench", 1_700_000_000+i, i))
		if err := errors.Join(os.WriteFile(name, message[:len(message)-len(".\r\n")], 0o644), os.Chown(name, uid, gid)); err != nil {
			return err
		}
	}
	return filepath.WalkDir(filepath.Join(dir, "mail", "user0"), func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return os.Chown(path, uid, gid)
	})
}
