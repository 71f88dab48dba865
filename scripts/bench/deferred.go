package main

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"time"
)

// deferredFigure fills the queue with messages for a host that is dead, restarts the server, and looks what that costs: until
// it serves, and those who send to others. Postfix takes a few hundred messages a second, so it is not asked to.
func deferredFigure(ctx context.Context, o options, s server) (values []value, err error) {
	w, ok := s.(waybill)
	if !ok {
		return nil, nil
	}
	out, err := newSink(ctx)
	if err != nil {
		return nil, err
	}
	o.scenario = scenario{sessions: 100, size: 2048, to: "you@" + deadDomain}
	l := launch{sink: out.port}
	err = withServer(ctx, o, s, l, func(dir string, r *running) error {
		began := time.Now()
		if _, err := send(ctx, o, r.smtp, o.deferred, randomLines(o.size), new([mailboxes]int)); err != nil {
			return err
		}
		filled := float64(o.deferred) / time.Since(began).Seconds()
		awaitIdle(ctx, r) // until the last ones are deferred
		if err := r.stop(); err != nil {
			return err
		}
		title := fmt.Sprintf("%d deferred messages", o.deferred)
		values, err = w.restarted(ctx, dir, l, r, out)
		values = append([]value{{title: title + ": accepted messages/s while the queue fills", amount: filled, higher: true}}, values...)
		return err
	})
	return values, err
}

// restarted starts the server again on what it has, into r.
func (w waybill) restarted(ctx context.Context, dir string, l launch, r *running, out *relaySink) ([]value, error) {
	l.dir = dir
	_, smtp, _ := net.SplitHostPort(r.smtp)
	_, pop3, _ := net.SplitHostPort(r.pop3)
	began := time.Now()
	again, err := w.serve(ctx, l, filepath.Join(dir, "waybill.toml"), []string{smtp, pop3})
	if err != nil {
		return nil, err
	}
	r.processes = again.processes
	serving := time.Since(began)
	local, err := sendOne(ctx, r, mailbox(0), func() error { return awaitCount(ctx, r.pop3, 0, 1) })
	if err != nil {
		return nil, err
	}
	out.expect(1)
	relayed, err := sendOne(ctx, r, "you@"+sinkDomain, func() error { _, err := out.await(ctx); return err })
	if err != nil {
		return nil, err
	}
	u := &usageMeter{}
	if err := u.before(r.pid()); err != nil {
		return nil, err
	}
	time.Sleep(2 * time.Second)
	if err := u.after(r.pid()); err != nil {
		return nil, err
	}
	return []value{
		{title: "– restart until it greets", amount: millis(serving), unit: "ms"},
		{title: "– then a local message, until it is seen", amount: millis(local), unit: "ms"},
		{title: "– then one for another host, until it is there", amount: millis(relayed), unit: "ms"},
		{title: "– memory then, MiB", amount: float64(u.peak) / (1 << 20)},
	}, nil
}

// awaitIdle returns when the server does next to nothing, or after some minutes.
func awaitIdle(ctx context.Context, r *running) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	for before := time.Duration(-1); ; {
		now := usageOf(serverProcesses(r.pid())).cpu
		if before >= 0 && now-before < 50*time.Millisecond {
			return
		}
		before = now
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
	}
}

// sendOne sends a message and waits for it.
func sendOne(ctx context.Context, r *running, to string, await func() error) (time.Duration, error) {
	began := time.Now()
	c, err := begin(ctx, r.smtp, false)
	if err != nil {
		return 0, err
	}
	defer c.close()
	if err := c.envelope(to); err != nil {
		return 0, err
	}
	if _, err := c.content(newLetter(2048, randomLines(2048)).next(to)); err != nil {
		return 0, err
	}
	err = await()
	return time.Since(began), err
}
