package main

import (
	"context"
	"fmt"
	"time"
)

const latencyMessages = 200

// latencyFigure sends one message at a time and logs in by POP3, again and again without a pause, until it is seen.
func latencyFigure(ctx context.Context, o options, s server) (values []value, err error) {
	o.scenario = scenario{sessions: 1, size: 8192}
	var visible []time.Duration
	err = withServer(ctx, o, s, launch{}, func(_ string, r *running) error {
		c, err := begin(ctx, r.smtp, false)
		if err != nil {
			return err
		}
		defer c.close()
		letter := newLetter(o.size, randomLines(o.size))
		for i := range latencyMessages + 20 {
			if err := c.envelope(mailbox(0)); err != nil {
				return err
			}
			message := letter.next(mailbox(0))
			began := time.Now()
			if _, err := c.content(message); err != nil {
				return err
			}
			for {
				n, err := stat(ctx, r.pop3, mailbox(0))
				if err != nil {
					return err
				}
				if n == i+1 {
					break
				}
				if time.Since(began) > patience {
					return fmt.Errorf("message %d does not come", i)
				}
			}
			if i >= 20 {
				visible = append(visible, time.Since(began))
			}
		}
		return nil
	})
	return []value{
		{title: "dot to visible in a new POP3 session, p50", amount: millis(percentile(visible, 50)), unit: "ms"},
		{title: "– p99", amount: millis(percentile(visible, 99)), unit: "ms"},
	}, err
}
