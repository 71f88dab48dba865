package main

import (
	"context"
	"time"
)

// relayFigure sends messages for another domain and looks when they are all at the sink.
func relayFigure(ctx context.Context, o options, s server) (values []value, err error) {
	out, err := newSink(ctx)
	if err != nil {
		return nil, err
	}
	o.scenario = scenario{sessions: 20, size: 8192, to: "you@" + sinkDomain}
	n := 4000
	if s.name() == nameWaybill {
		n = 40_000
	}
	err = withServer(ctx, o, s, launch{sink: out.port}, func(_ string, r *running) error {
		var filed [mailboxes]int
		lines := randomLines(o.size)
		pass := func(n int) (took time.Duration, err error) {
			out.expect(n)
			began := time.Now()
			if _, err := send(ctx, o, r.smtp, n, lines, &filed); err != nil {
				return 0, err
			}
			at, err := out.await(ctx)
			return at.Sub(began), err
		}
		if _, err := pass(maxWarmUp); err != nil {
			return err
		}
		u := &usageMeter{}
		if err := u.before(r.pid()); err != nil {
			return err
		}
		took, err := pass(n)
		if err != nil {
			return err
		}
		if err := u.after(r.pid()); err != nil {
			return err
		}
		values = []value{
			{title: "relay, in to out, messages/s", amount: float64(n) / took.Seconds(), higher: true},
			{title: "– CPU seconds per 1,000", amount: (u.end.cpu - u.begin.cpu).Seconds() / (float64(n) / 1000)},
			{title: "– peak memory, MiB", amount: float64(u.peak) / (1 << 20)},
		}
		return nil
	})
	return values, err
}
