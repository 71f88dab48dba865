package main

import (
	"context"
	"fmt"
	"time"
)

// mixture is whom message i of the soak goes to: half of them to mailboxes, a quarter to another host, and the rest to where
// it is refused, put off, or nobody listens.
func mixture(i int) string {
	switch i % 20 {
	case 0, 1:
		return "you@" + deadDomain
	case 2:
		return "later@" + sinkDomain
	case 3, 4:
		return "no@" + sinkDomain
	case 5, 6, 7, 8, 9:
		return "you@" + sinkDomain
	}
	return mailbox(i % mailboxes)
}

// soakFigure sends very many messages, and looks at the memory as they go.
func soakFigure(ctx context.Context, o options, s server) (values []value, err error) {
	out, err := newSink(ctx)
	if err != nil {
		return nil, err
	}
	o.scenario = scenario{sessions: 20, size: 4096, mixed: true}
	err = withServer(ctx, o, s, launch{sink: out.port}, func(_ string, r *running) error {
		lines := randomLines(o.size)
		began := time.Now()
		const parts = 10
		for part := range parts {
			u := &usageMeter{}
			if err := u.before(r.pid()); err != nil {
				return err
			}
			if _, err := send(ctx, o, r.smtp, o.soak/parts, lines, new([mailboxes]int)); err != nil {
				return err
			}
			if err := u.after(r.pid()); err != nil {
				return err
			}
			progress("soak: %d messages, %d at the sink, %d MiB", (part+1)*o.soak/parts, out.taken.Load(), u.peak>>20)
			title := fmt.Sprintf("soak: peak memory in the %d. tenth of %d messages, MiB", part+1, o.soak)
			values = append(values, value{title: title, amount: float64(u.peak) / (1 << 20)})
		}
		values = append(values, value{title: "– messages/s over all of it", amount: float64(o.soak) / time.Since(began).Seconds(), higher: true})
		return nil
	})
	return values, err
}
