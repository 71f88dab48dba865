package main

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// TestSinkCountsWhatItTook: recipients that it accepted, each once; and no content is asked for, or counted, if it accepted none.
func TestSinkCountsWhatItTook(t *testing.T) {
	t.Parallel()
	s, err := newSink(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.expect(4)
	conn, err := net.Dial("tcp", "127.0.0.1:"+s.port)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	in := bufio.NewReader(conn)
	for i, step := range []struct{ said, want string }{
		{"", "220"},
		{"MAIL FROM:<a@x.test>\r\nRCPT TO:<no@y.test>\r\nRCPT TO:<later@y.test>\r\nDATA\r\n", "250 550 450 554"},
		{"MAIL FROM:<a@x.test>\r\nRCPT TO:<no@y.test>\r\nRCPT TO:<b@y.test>\r\nDATA\r\n", "250 550 250 354"},
		{"x\r\n.\r\nDATA\r\n", "250 554"}, // the recipients were of the message before
		{"MAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\nRSET\r\nDATA\r\n", "250 250 250 554"},
		{"MAIL FROM:<a@x.test>\r\nRCPT TO:<no@y.test>\r\nBDAT 3 LAST\r\nx\r\n", "250 550 554"},
		{"MAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\nRCPT TO:<c@y.test>\r\nRCPT TO:<d@y.test>\r\nBDAT 3\r\nx\r\nBDAT 3 LAST\r\ny\r\n", "250 250 250 250 250 250"},
	} {
		if _, err := io.WriteString(conn, step.said); err != nil {
			t.Fatal(err)
		}
		for _, want := range strings.Fields(step.want) {
			if line, err := in.ReadString('\n'); err != nil || !strings.HasPrefix(line, want) {
				t.Fatalf("step %d: %q, %v, want %s of %s", i, line, err, want, step.want)
			}
		}
	}
	if _, err := s.await(t.Context()); err != nil || s.taken.Load() != 4 {
		t.Errorf("%d taken, %v", s.taken.Load(), err)
	}
}

func TestFiguresByName(t *testing.T) {
	t.Parallel()
	for names, want := range map[string]string{
		"": "relay pop3 latency fanout bigbox deferred nodes", "pop3": "pop3", "po,rel": "relay pop3", "soak,f": "fanout soak", "s": "", "deferred,": "deferred",
	} {
		var got []string
		for _, f := range figures {
			if f.wanted(names) {
				got = append(got, f.name)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("-figure %q: %v, want %s", names, got, want)
		}
	}
	if err := checkNames("relay,nothing"); err == nil || !strings.Contains(err.Error(), "nothing") {
		t.Error(err)
	}
	if err := checkNames(""); err != nil {
		t.Error(err)
	}
}
