package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// storedTable fills one node's database, looks at each of the wanted numbers of stored messages how fast more are accepted and a maildrop is
// opened, and returns the table.
func storedTable(ctx context.Context, o options, w waybill, db *database) (string, error) {
	var b strings.Builder
	b.WriteString("| stored messages, one node on PostgreSQL | accepted/s while they came | then accepted/s | delivered/s | POP3 login and STAT, p50, ms | most, ms | octets of the database per message |\n" +
		"|---:|---:|---:|---:|---:|---:|---:|\n")
	numbers, err := increasing(o.nodes.stored)
	if err != nil || len(numbers) == 0 {
		return "", err
	}
	c := &cluster{waybill: w, title: oneNode, nodes: 1, db: db}
	err = withServer(ctx, o, c, launch{}, func(_ string, r *running) error {
		s := &storing{options: o, r: r, lines: randomLines(o.size)}
		for _, n := range numbers {
			line, err := s.at(ctx, n, db)
			if err != nil {
				return fmt.Errorf("%d stored messages: %w", n, err)
			}
			progress("stored: %s", line)
			b.WriteString(line + "\n")
		}
		return nil
	})
	return b.String(), err
}

// increasing reads numbers with commas between.
func increasing(list string) (numbers []int, err error) {
	for field := range strings.SplitSeq(list, ",") {
		if field == "" {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(field))
		if err != nil || n <= 0 || len(numbers) > 0 && n <= numbers[len(numbers)-1] {
			return nil, fmt.Errorf("-stored %q: numbers are wanted, each greater than the one before, with commas between", list)
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
}

// storing is a server that is filled more and more.
type storing struct {
	options
	r     *running
	lines []byte
	filed [mailboxes]int
}

// stored is how many messages are there.
func (s *storing) stored() (n int) {
	for _, f := range s.filed {
		n += f
	}
	return n
}

// put sends messages and returns how many a second were accepted, and delivered.
func (s *storing) put(ctx context.Context, n int) (accepted, delivered float64, err error) {
	began := time.Now()
	if _, err := send(ctx, s.options, s.r.smtp, n, s.lines, &s.filed); err != nil {
		return 0, 0, err
	}
	accepted = float64(n) / time.Since(began).Seconds()
	if err := awaitDelivery(ctx, s.r.pop3, s.filed); err != nil {
		return 0, 0, err
	}
	return accepted, float64(n) / time.Since(began).Seconds(), nil
}

// at fills up to n messages, measures, and returns the row.
func (s *storing) at(ctx context.Context, n int, db *database) (string, error) {
	filling := "–"
	if more := n - s.stored(); more > 0 {
		accepted, _, err := s.put(ctx, more)
		if err != nil {
			return "", err
		}
		filling = fmt.Sprintf("%.0f", accepted)
	}
	size, err := db.query(ctx, "postgres", fmt.Sprintf("SELECT pg_database_size('%s') / %d", db.newest(), s.stored()))
	if err != nil {
		return "", err
	}
	accepted, delivered, err := s.put(ctx, min(n, s.nodes.messages))
	if err != nil {
		return "", err
	}
	var logins []time.Duration
	for i := range mailboxes {
		began := time.Now()
		if _, err := stat(ctx, s.r.pop3, mailbox(i)); err != nil {
			return "", err
		}
		logins = append(logins, time.Since(began))
	}
	return fmt.Sprintf("| %d | %s | %.0f | %.0f | %.1f | %.1f | %s |", n, filling, accepted, delivered, millis(percentile(logins, 50)),
		millis(slices.Max(logins)), size), nil
}
