package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// mailboxes is how many mailboxes the messages are spread over.
const mailboxes = 20

// domain is the one domain that each server files mail for.
const domain = "bench.test"

// password of every mailbox.
const password = "not-a-secret"

// mailbox is the address of mailbox i.
func mailbox(i int) string { return fmt.Sprintf("user%d@%s", i, domain) }

// measurement is one round of one server.
type measurement struct {
	accepted  float64 // messages a second, first MAIL to last 250
	delivered float64 // messages a second, first MAIL to the last one seen in its mailbox
	p50, p99  time.Duration
	cpu       float64 // seconds per 1,000 messages, of all the server's processes, until it is quiet again
	written   float64 // octets written to the disk per message, likewise
	memory    int64   // octets, highest sum of proportional set sizes seen
	database  float64 // CPU seconds per 1,000 messages, of cpu, that were PostgreSQL's
	generator float64 // CPU seconds per 1,000 messages that this program took from the server
}

func (m measurement) String() string {
	return fmt.Sprintf("%.0f accepted/s, %.0f delivered/s, p50 %s, p99 %s, %.2f CPU s/1000, %.1f KiB written, %d MiB (generator: %.2f CPU s/1000)",
		m.accepted, m.delivered, m.p50.Round(10*time.Microsecond), m.p99.Round(10*time.Microsecond), m.cpu, m.written/1024, m.memory>>20, m.generator)
}

// instrument looks at a running server just before the load and again when all is delivered.
type instrument interface {
	before(root int) error
	after(root int) error
}

// loaded is what a load of n messages came to.
type loaded struct {
	accepted, delivered time.Duration // since the first MAIL
	replies             []time.Duration
}

// startIn starts a server in a fresh directory of its own.
func startIn(ctx context.Context, o options, s server, l launch) (dir string, r *running, err error) {
	if dir, err = os.MkdirTemp(o.dir, "waybill-bench-"); err != nil {
		return "", nil, err
	}
	// Postfix and Dovecot drop their privileges and must still reach what is inside.
	if err = os.Chmod(dir, 0o755); err == nil {
		l.dir = dir
		r, err = s.start(ctx, l)
	}
	if err != nil {
		err = fmt.Errorf("start: %w\n%s", err, logTail(dir))
		os.RemoveAll(dir)
	}
	return dir, r, err
}

// cleanUp ends a server and removes its directory; if there was an error its logs are shown.
func cleanUp(o options, dir string, r *running, err *error) {
	if stopErr := r.stop(); *err == nil && stopErr != nil {
		*err = fmt.Errorf("stop: %w", stopErr)
	}
	if *err != nil {
		*err = fmt.Errorf("%w\n%s", *err, logTail(dir))
	}
	if !o.keep {
		os.RemoveAll(dir)
	}
}

// maxWarmUp is how many messages warm a server up, at most.
const maxWarmUp = 400

// load starts a fresh server, warms it up, sends n messages and waits until all are in their mailboxes.
func load(ctx context.Context, o options, s server, l launch, n int, i instrument) (result loaded, err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	dir, running, err := startIn(ctx, o, s, l)
	if err != nil {
		return loaded{}, err
	}
	defer cleanUp(o, dir, running, &err)

	// The warm-up lets each server make its processes, files and caches.
	var filed [mailboxes]int
	lines := randomLines(o.size)
	if _, err := send(ctx, o, running.smtp, min(20*o.sessions, n, maxWarmUp), lines, &filed); err != nil {
		return loaded{}, fmt.Errorf("warm up: %w", err)
	}
	if err := awaitDelivery(ctx, running.pop3, filed); err != nil {
		return loaded{}, fmt.Errorf("warm up: %w", err)
	}
	if i != nil {
		if err := i.before(running.pid()); err != nil {
			return loaded{}, err
		}
	}
	begin := time.Now()
	result.replies, err = send(ctx, o, running.smtp, n, lines, &filed)
	result.accepted = time.Since(begin)
	if err != nil {
		return loaded{}, err
	}
	if err := awaitDelivery(ctx, running.pop3, filed); err != nil {
		return loaded{}, err
	}
	result.delivered = time.Since(begin)
	if i != nil {
		return result, i.after(running.pid())
	}
	return result, nil
}

// measure runs one measured round.
func measure(ctx context.Context, o options, s server, n int) (measurement, error) {
	u := &usageMeter{}
	own := ownCPU()
	l, err := load(ctx, o, s, launch{}, n, u)
	own = ownCPU() - own
	if err != nil {
		return measurement{}, err
	}
	perThousand := float64(n) / 1000
	return measurement{
		accepted:  float64(n) / l.accepted.Seconds(),
		delivered: float64(n) / l.delivered.Seconds(),
		p50:       percentile(l.replies, 50),
		p99:       percentile(l.replies, 99),
		cpu:       (u.end.cpu - u.begin.cpu).Seconds() / perThousand,
		written:   float64(u.end.written-u.begin.written) / float64(n),
		memory:    u.peak,
		database:  (u.end.database - u.begin.database).Seconds() / perThousand,
		generator: own.Seconds() / perThousand,
	}, nil
}

// syncMeter counts fsync and fdatasync in strace's growing output.
type syncMeter struct {
	trace      string
	begin, end int
}

func (m *syncMeter) before(int) (err error) { m.begin, err = m.count(); return err }
func (m *syncMeter) after(int) (err error)  { m.end, err = m.count(); return err }

func (m *syncMeter) count() (int, error) {
	data, err := os.ReadFile(m.trace)
	if err != nil {
		return 0, err
	}
	// A call that was interrupted in the log goes on as "<... fsync resumed>", without the bracket.
	return bytes.Count(data, []byte(" fsync(")) + bytes.Count(data, []byte(" fdatasync(")), nil
}

// countSyncs runs n messages under strace and returns fsync and fdatasync calls per message.
func countSyncs(ctx context.Context, o options, s server, n int) (float64, error) {
	dir, err := os.MkdirTemp(o.dir, "waybill-bench-strace-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	m := &syncMeter{trace: filepath.Join(dir, "trace")}
	wrap := []string{"strace", "-f", "--seccomp-bpf", "-qq", "-e", "signal=none", "-e", "trace=fsync,fdatasync", "-A", "-o", m.trace}
	if _, err := load(ctx, o, s, launch{wrap: wrap}, n, m); err != nil {
		return 0, err
	}
	return float64(m.end-m.begin) / float64(n), nil
}
