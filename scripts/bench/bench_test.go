package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestLettersHaveTheSizeAndDiffer(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	l := newLetter(8192, randomLines(8192))
	for range 50 {
		message, found := bytes.CutSuffix(l.next("user1@bench.test"), []byte("\r\n.\r\n"))
		if !found || len(message)+2 != 8192 {
			t.Fatalf("%d octets before the dot", len(message)+2)
		}
		if seen[string(message)] {
			t.Fatal("the same message twice")
		}
		seen[string(message)] = true
		for line := range bytes.SplitSeq(message, []byte("\r\n")) {
			if len(line) > 998 || bytes.HasPrefix(line, []byte(".")) || bytes.ContainsAny(line, "\r\n") {
				t.Fatalf("a line that SMTP would change: %q", line)
			}
		}
	}
}

func TestDenialKeepsIDAndQuestion(t *testing.T) {
	t.Parallel()
	question := "\x01a\x04test\x00\x00\x0c\x00\x01"
	query := "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01" + question + "\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"
	want := "\x12\x34\x81\x83\x00\x01\x00\x00\x00\x00\x00\x00" + question
	if got := string(denial([]byte(query))); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if denial([]byte("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x3fabc")) != nil {
		t.Error("a question that is cut off was answered")
	}
}

func TestReportTellsTheBetterSide(t *testing.T) {
	t.Parallel()
	results := map[string]*series{
		namePostfix: {messages: 10, syncs: 4, rounds: []measurement{{delivered: 200, cpu: 6}, {delivered: 900, cpu: 9}, {delivered: 250, cpu: 5}}},
		nameWaybill: {messages: 20, rounds: []measurement{{delivered: 2500, cpu: 3}, {delivered: 5000, cpu: 2}, {delivered: 100, cpu: 4}}},
	}
	table := report(options{rounds: 3}, []server{postfixDovecot{}, waybill{}}, results)
	for _, line := range []string{
		"| | Postfix + Dovecot | waybill | times better |",
		"| **delivered messages/s** | 250 | 2500 | 10.0 |",
		"| CPU seconds per 1,000 messages | 6.00 | 3.00 | 2.0 |",
		"| fsyncs per message | 4.00 | – | – |",
	} {
		if !strings.Contains(table, line+"\n") {
			t.Errorf("no line %q in:\n%s", line, table)
		}
	}
}

func TestPercentile(t *testing.T) {
	t.Parallel()
	var times []time.Duration
	for i := 100; i > 0; i-- {
		times = append(times, time.Duration(i))
	}
	if p50, p99 := percentile(times, 50), percentile(times, 99); p50 != 51 || p99 != 100 {
		t.Errorf("p50 %d, p99 %d", p50, p99)
	}
	if percentile(nil, 99) != 0 {
		t.Error("of nothing")
	}
}
