package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// patience is how long any one reply may take.
const patience = time.Minute

// connection is one client connection, SMTP or POP3.
type connection struct {
	net net.Conn
	in  *bufio.Reader
}

func dial(ctx context.Context, address string) (*connection, error) {
	nc, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	nc.SetDeadline(time.Now().Add(patience))
	return &connection{net: nc, in: bufio.NewReaderSize(nc, 16<<10)}, nil
}

func (c *connection) close() { c.net.Close() }

// line reads one line, without its end. It is valid until the next read.
func (c *connection) line() ([]byte, error) {
	line, err := c.in.ReadSlice('\n')
	return bytes.TrimRight(line, "\r\n"), err
}

// expect reads a reply of SMTP, of one line or more, that must have the code.
func (c *connection) expect(code string) error {
	for {
		line, err := c.line()
		if err != nil {
			return err
		}
		if len(line) < 3 || string(line[:3]) != code {
			return fmt.Errorf("reply %q instead of %s", line, code)
		}
		if len(line) == 3 || line[3] != '-' {
			return nil
		}
	}
}

// begin opens a session: greeting, EHLO and, if wanted, TLS whatever the certificate.
func begin(ctx context.Context, address string, withTLS bool) (*connection, error) {
	c, err := dial(ctx, address)
	if err != nil {
		return nil, err
	}
	if err := c.expect("220"); err != nil {
		return nil, c.giveUp(err)
	}
	if err := c.hello(); err != nil || !withTLS {
		return c, c.giveUp(err)
	}
	fmt.Fprint(c.net, "STARTTLS\r\n")
	if err := c.expect("220"); err != nil {
		return nil, c.giveUp(err)
	}
	c.net = tls.Client(c.net, &tls.Config{InsecureSkipVerify: true})
	c.in.Reset(c.net)
	return c, c.giveUp(c.hello())
}

func (c *connection) hello() error {
	fmt.Fprintf(c.net, "EHLO client.%s\r\n", domain)
	return c.expect("250")
}

// giveUp closes the connection if err is not nil, and returns it.
func (c *connection) giveUp(err error) error {
	if err != nil {
		c.close()
	}
	return err
}

// inTurn is the address for the i-th of several: an address may be a list, with commas between.
func inTurn(address string, i int) string {
	list := strings.Split(address, ",")
	return list[i%len(list)]
}

// send delivers n messages over o.sessions connections at a time, each kept for all its messages unless o.single, and
// adds to filed how many went to each mailbox. The sessions take the addresses in turn. It returns the time from the dot to its reply for each message.
func send(ctx context.Context, o options, address string, n int, lines []byte, filed *[mailboxes]int) ([]time.Duration, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	replies := make([][]time.Duration, o.sessions)
	for i := range o.sessions {
		wg.Go(func() {
			times, err := session(ctx, o, inTurn(address, i), lines, func() int { return int(next.Add(1)) - 1 }, n)
			if err != nil {
				cancel(fmt.Errorf("session %d: %w", i, err))
			}
			replies[i] = times
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	for i := range n {
		filed[i%mailboxes]++
	}
	return slices.Concat(replies...), nil
}

// session sends the messages whose numbers next gives, until n. A server that turns it away, as one may that has too
// many, is asked again like by any client.
func session(ctx context.Context, o options, address string, lines []byte, next func() int, n int) (times []time.Duration, err error) {
	letter := newLetter(o.size, lines)
	var c *connection
	for i := next(); i < n; i = next() {
		to := o.recipient(i)
		if c, err = ready(ctx, o, address, c, to); err != nil {
			return nil, fmt.Errorf("message %d: %w", i, err)
		}
		took, err := c.content(letter.next(to))
		if err != nil {
			return nil, fmt.Errorf("message %d: %w", i, c.giveUp(err))
		}
		times = append(times, took)
		if o.single {
			if err := c.quit(); err != nil {
				return nil, err
			}
			c = nil
		}
	}
	if c != nil {
		err = c.quit()
	}
	return times, err
}

// ready gives a connection, c if it is not nil, on which the server waits for the content of a message for to.
func ready(ctx context.Context, o options, address string, c *connection, to string) (_ *connection, err error) {
	for deadline := time.Now().Add(patience); ; {
		if c == nil {
			c, err = begin(ctx, address, o.tls)
		}
		if c != nil {
			stop := context.AfterFunc(ctx, c.close)
			err = c.envelope(to)
			if stop(); err == nil {
				return c, nil
			}
			c.close()
			c = nil
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			return nil, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (c *connection) quit() error {
	defer c.close()
	fmt.Fprint(c.net, "QUIT\r\n")
	return c.expect("221")
}

// envelope sends MAIL, RCPT and DATA in one group (RFC 2920).
func (c *connection) envelope(to string) error {
	c.net.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(c.net, "MAIL FROM:<sender@elsewhere.test>\r\nRCPT TO:<%s>\r\nDATA\r\n", to) // one write: one group
	for _, code := range [...]string{"250", "250", "354"} {
		if err := c.expect(code); err != nil {
			return err
		}
	}
	return nil
}

// content sends a message and returns how long the reply to the dot took.
func (c *connection) content(message []byte) (time.Duration, error) {
	if _, err := c.net.Write(message); err != nil {
		return 0, err
	}
	begin := time.Now()
	err := c.expect("250")
	return time.Since(begin), err
}

// letter makes messages of one session: each of the same size, with an id and a content of its own. The content is lines
// of base64 of random octets, so that compression gains no more than it does on an attachment: the same lines for all,
// from another one on in each message. Drawing them anew each time took the servers' share of the cores.
type letter struct {
	size    int
	id      int
	session uint64
	lines   []byte
	content []byte
}

const (
	columns  = 76
	lineSize = columns + len("\r\n")
	allLines = 1 << 14 // but for larger messages
)

func newLetter(size int, lines []byte) *letter {
	return &letter{size: size, session: rand.Uint64(), lines: lines}
}

// randomLines returns the lines for messages of that size, twice, so that a message can begin at any.
func randomLines(size int) (lines []byte) {
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(rand.Uint32())
	}
	random := rand.NewChaCha8(seed)
	noise := make([]byte, columns*3/4)
	for range max(allLines, size/lineSize) {
		random.Read(noise)
		lines = append(base64.StdEncoding.AppendEncode(lines, noise), "\r\n"...)
	}
	return append(lines, lines...)
}

// next is the next message as it is sent, with the final dot. It is valid until the call after it.
func (l *letter) next(to string) []byte {
	l.id++
	b := l.content[:0]
	b = fmt.Appendf(b, "From: sender@elsewhere.test\r\nTo: %s\r\nSubject: message %d\r\n", to, l.id)
	b = fmt.Appendf(b, "Message-ID: <%d.%x@elsewhere.test>\r\nDate: %s\r\n\r\n", l.id, l.session, time.Now().Format(time.RFC1123Z))
	first := rand.IntN(len(l.lines)/lineSize/2) * lineSize
	b = append(b, l.lines[first:first+(l.size-len(b)-2)/lineSize*lineSize]...)
	for len(b) < l.size-2 {
		b = append(b, '=')
	}
	b = append(b, "\r\n.\r\n"...)
	l.content = b
	return b
}

// awaitDelivery returns when POP3 shows, for each mailbox, as many messages as were filed into it. Four mailboxes are
// asked at a time, each again after a pause until it is full: asking costs the server work, which counts against it.
func awaitDelivery(ctx context.Context, address string, filed [mailboxes]int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < mailboxes; i = int(next.Add(1)) - 1 {
				if err := awaitMailbox(ctx, inTurn(address, i), i, filed[i]); err != nil {
					cancel(fmt.Errorf("mailbox %s: %w", mailbox(i), err))
					return
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

func awaitMailbox(ctx context.Context, address string, i, want int) error {
	for {
		have, err := stat(ctx, address, mailbox(i))
		if err != nil {
			return err
		}
		if have == want {
			return nil
		}
		if have > want {
			return fmt.Errorf("%d messages, but only %d were sent", have, want)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d messages: %w", have, want, context.Cause(ctx))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// stat logs in and returns how many messages the maildrop holds.
func stat(ctx context.Context, address, user string) (int, error) {
	c, err := dial(ctx, address)
	if err != nil {
		return 0, err
	}
	defer c.close()
	if _, err := c.line(); err != nil {
		return 0, err
	}
	var answer []byte
	for _, command := range []string{"USER " + user, "PASS " + password, "STAT"} {
		fmt.Fprint(c.net, command+"\r\n")
		if answer, err = c.line(); err != nil {
			return 0, err
		}
		if !bytes.HasPrefix(answer, []byte("+OK")) {
			return 0, fmt.Errorf("%.4s: %s", command, answer)
		}
	}
	fields := strings.Fields(string(answer))
	if len(fields) < 3 {
		return 0, fmt.Errorf("STAT: %s", answer)
	}
	fmt.Fprint(c.net, "QUIT\r\n")
	c.line() // the maildrop is free again
	return strconv.Atoi(fields[1])
}

// percentile of the times, which it sorts.
func percentile(times []time.Duration, p int) time.Duration {
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	return times[min(len(times)-1, len(times)*p/100)]
}
