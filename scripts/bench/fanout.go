package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

const (
	fanoutUsers = 1000
	fanoutSize  = 100 << 10
)

// fanoutFigure sends one message to many mailboxes in one transaction, and looks into some of them until all of these have it.
func fanoutFigure(ctx context.Context, o options, s server) (values []value, err error) {
	looked := []int{0, fanoutUsers / 3, fanoutUsers / 2, fanoutUsers - 2, fanoutUsers - 1}
	err = withServer(ctx, o, s, launch{users: fanoutUsers}, func(_ string, r *running) error {
		c, err := begin(ctx, r.smtp, false)
		if err != nil {
			return err
		}
		defer c.close()
		letter := newLetter(fanoutSize, randomLines(fanoutSize))
		u := &usageMeter{}
		var took time.Duration
		for round := range 2 { // the first one warms up
			if err := u.before(r.pid()); err != nil {
				return err
			}
			began := time.Now()
			if err := c.fanout(letter); err != nil {
				return err
			}
			for _, i := range looked {
				if err := awaitCount(ctx, r.pop3, i, round+1); err != nil {
					return err
				}
			}
			took = time.Since(began)
			if err := u.after(r.pid()); err != nil {
				return err
			}
		}
		values = []value{
			{title: "1 message of 100 KiB to 1,000 mailboxes", amount: millis(took), unit: "ms"},
			{title: "– written to the disk, MiB", amount: float64(u.end.written-u.begin.written) / (1 << 20)},
		}
		return nil
	})
	return values, err
}

// fanout sends one message to all users.
func (c *connection) fanout(l *letter) error {
	var group strings.Builder
	group.WriteString("MAIL FROM:<sender@elsewhere.test>\r\n")
	for i := range fanoutUsers {
		fmt.Fprintf(&group, "RCPT TO:<%s>\r\n", mailbox(i))
	}
	group.WriteString("DATA\r\n")
	c.net.SetDeadline(time.Now().Add(patience))
	go c.net.Write([]byte(group.String())) // its replies are read meanwhile
	for range fanoutUsers + 1 {
		if err := c.expect("250"); err != nil {
			return err
		}
	}
	if err := c.expect("354"); err != nil {
		return err
	}
	_, err := c.content(l.next("everybody"))
	return err
}

// awaitCount asks without a pause.
func awaitCount(ctx context.Context, address string, i, want int) error {
	for {
		n, err := stat(ctx, address, mailbox(i))
		if err != nil {
			return err
		}
		if n == want {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}
