package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	downloadUsers    = 50
	downloadMessages = 200 // each
	downloadClients  = 20
	downloadTime     = 5 * time.Second // at least
)

// downloadFigure has clients get all the mail of all users by POP3, a command at a time, as clients do, and again on new
// connections until it has lasted long enough to be a figure. Each user has logged in once before.
func downloadFigure(ctx context.Context, o options, s server) (values []value, err error) {
	o.scenario = scenario{sessions: 20, size: 8192}
	err = withServer(ctx, o, s, launch{users: downloadUsers}, func(_ string, r *running) error {
		if err := fill(ctx, o, r, downloadUsers, downloadMessages); err != nil {
			return err
		}
		u := &usageMeter{}
		if err := u.before(r.pid()); err != nil {
			return err
		}
		began := time.Now()
		var octets int64
		n := 0.0
		for n == 0 || time.Since(began) < downloadTime {
			more, err := downloadAll(ctx, r.pop3)
			if err != nil {
				return err
			}
			octets += more
			n += downloadUsers * downloadMessages
		}
		took := time.Since(began)
		if err := u.after(r.pid()); err != nil {
			return err
		}
		progress("pop3: all mail %.0f times in %.1f s", n/(downloadUsers*downloadMessages), took.Seconds())
		values = []value{
			{title: "POP3 download, 50 users of 200, messages/s", amount: n / took.Seconds(), higher: true},
			{title: "– MiB/s", amount: float64(octets) / (1 << 20) / took.Seconds(), higher: true},
			{title: "– CPU seconds per 1,000", amount: (u.end.cpu - u.begin.cpu).Seconds() / (n / 1000)},
		}
		return nil
	})
	return values, err
}

// fill sends each of those users so many messages, and waits until they are there.
func fill(ctx context.Context, o options, r *running, users, each int) error {
	lines := randomLines(o.size)
	var next atomic.Int64
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for range o.sessions {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < users && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				one := o
				one.sessions, one.to = 1, mailbox(i)
				if _, err := send(ctx, one, r.smtp, each, lines, new([mailboxes]int)); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for i := range users {
		if err := awaitMailbox(ctx, r.pop3, i, each); err != nil {
			return err
		}
	}
	return nil
}

func downloadAll(ctx context.Context, address string) (octets int64, err error) {
	var next, sum atomic.Int64
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for range downloadClients {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < downloadUsers && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				n, err := download(ctx, address, mailbox(i))
				if err != nil {
					cancel(fmt.Errorf("%s: %w", mailbox(i), err))
				}
				sum.Add(n)
			}
		})
	}
	wg.Wait()
	return sum.Load(), context.Cause(ctx)
}

// download gets all mail of a user.
func download(ctx context.Context, address, user string) (octets int64, err error) {
	p, err := login(ctx, address, user)
	if err != nil {
		return 0, err
	}
	defer p.close()
	if _, err := p.lines("UIDL"); err != nil {
		return 0, err
	}
	n, err := p.lines("LIST")
	if err != nil {
		return 0, err
	}
	for i := 1; i <= n; i++ {
		size, err := p.message("RETR " + strconv.Itoa(i))
		if err != nil {
			return 0, err
		}
		octets += size
	}
	_, err = p.command("QUIT")
	return octets, err
}

// popClient is a POP3 client that has logged in.
type popClient struct{ *connection }

func login(ctx context.Context, address, user string) (*popClient, error) {
	c, err := dial(ctx, address)
	if err != nil {
		return nil, err
	}
	p := &popClient{c}
	if _, err = c.line(); err == nil {
		_, err = p.command("USER " + user)
	}
	if err == nil {
		_, err = p.command("PASS " + password)
	}
	return p, c.giveUp(err)
}

// command sends a command and returns the rest of its +OK.
func (p *popClient) command(command string) (string, error) {
	p.net.SetDeadline(time.Now().Add(patience))
	if _, err := p.net.Write([]byte(command + "\r\n")); err != nil {
		return "", err
	}
	line, err := p.line()
	if err != nil {
		return "", err
	}
	rest, ok := bytes.CutPrefix(line, []byte("+OK"))
	if !ok {
		return "", fmt.Errorf("%.4s: %s", command, line)
	}
	return strings.TrimSpace(string(rest)), nil
}

// lines counts those of a listing.
func (p *popClient) lines(command string) (n int, err error) {
	if _, err := p.command(command); err != nil {
		return 0, err
	}
	for {
		line, err := p.line()
		if err != nil {
			return n, err
		}
		if string(line) == "." {
			return n, nil
		}
		n++
	}
}

// message reads one and returns its octets on the wire.
func (p *popClient) message(command string) (octets int64, err error) {
	if _, err := p.command(command); err != nil {
		return 0, err
	}
	for {
		if _, err := p.in.Peek(len(messageEnd)); err != nil {
			return octets, err
		}
		b, _ := p.in.Peek(p.in.Buffered())
		n := bytes.Index(b, []byte(messageEnd))
		if n >= 0 {
			p.in.Discard(n + len(messageEnd))
			return octets + int64(n+len("\r\n")), nil
		}
		n = len(b) - len(messageEnd) + 1 // the rest may be the beginning of the end
		p.in.Discard(n)
		octets += int64(n)
	}
}

// messageEnd ends a message that has a line.
const messageEnd = "\r\n.\r\n"

// pick is a random message number.
func pick(n int) string { return strconv.Itoa(1 + rand.IntN(n)) }
