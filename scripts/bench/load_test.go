package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
)

// sink is a mail server that keeps counts: what the generator claims to have sent is held against them.
type sink struct {
	mu       sync.Mutex
	sessions int
	messages map[string]int // by recipient
	octets   map[int]int    // size of a message → how many had it
	refuse   int            // refuse this message by its order; 0: none
}

// listen serves SMTP, or POP3's USER, PASS, STAT and QUIT, on loopback until the test ends.
func (s *sink) listen(t *testing.T, serve func(*bufio.Reader, net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(bufio.NewReader(c), c)
			}()
		}
	}()
	return l.Addr().String()
}

func (s *sink) smtp(in *bufio.Reader, out net.Conn) {
	s.mu.Lock()
	s.sessions++
	s.mu.Unlock()
	fmt.Fprint(out, "220 sink\r\n")
	recipient := ""
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		switch verb, rest, _ := strings.Cut(strings.TrimSpace(line), " "); verb {
		case "EHLO":
			fmt.Fprint(out, "250-sink\r\n250 PIPELINING\r\n")
		case "RCPT":
			recipient = strings.TrimSuffix(strings.TrimPrefix(rest, "TO:<"), ">")
			fmt.Fprint(out, "250 ok\r\n")
		case "DATA":
			fmt.Fprint(out, "354 go on\r\n")
			octets := 0
			for line != ".\r\n" {
				if line, err = in.ReadString('\n'); err != nil {
					return
				}
				octets += len(line)
			}
			fmt.Fprint(out, s.take(recipient, octets-len(".\r\n")))
		case "QUIT":
			fmt.Fprint(out, "221 bye\r\n")
			return
		default:
			fmt.Fprint(out, "250 ok\r\n")
		}
	}
}

func (s *sink) take(recipient string, octets int) (reply string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages[recipient]++
	s.octets[octets]++
	total := 0
	for _, n := range s.messages {
		total += n
	}
	if total == s.refuse {
		return "452 4.3.1 full\r\n"
	}
	return "250 ok\r\n"
}

func (s *sink) pop3(in *bufio.Reader, out net.Conn) {
	fmt.Fprint(out, "+OK\r\n")
	user := ""
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		switch verb, rest, _ := strings.Cut(strings.TrimSpace(line), " "); verb {
		case "USER":
			user = rest
			fmt.Fprint(out, "+OK\r\n")
		case "STAT":
			s.mu.Lock()
			fmt.Fprintf(out, "+OK %d 0\r\n", s.messages[user])
			s.mu.Unlock()
		default:
			fmt.Fprint(out, "+OK\r\n")
		}
	}
}

func TestSendSpreadsEveryMessageOnce(t *testing.T) {
	t.Parallel()
	s := &sink{messages: map[string]int{}, octets: map[int]int{}}
	smtp, pop3 := s.listen(t, s.smtp), s.listen(t, s.pop3)
	var filed [mailboxes]int
	replies, err := send(t.Context(), options{scenario: scenario{sessions: 7, size: 2000}}, smtp, 205, randomLines(2000), &filed)
	if err != nil {
		t.Fatal(err)
	}
	if len(replies) != 205 || s.sessions != 7 || s.octets[2000] != 205 {
		t.Errorf("%d replies, %d sessions, sizes %v", len(replies), s.sessions, s.octets)
	}
	if filed[4] != 11 || filed[5] != 10 || s.messages[mailbox(4)] != 11 || s.messages[mailbox(5)] != 10 {
		t.Errorf("filed %v, received %v", filed, s.messages)
	}
	if err := awaitDelivery(t.Context(), pop3, filed); err != nil {
		t.Error(err)
	}
	// A server that shows a message twice must not pass.
	filed[3]--
	if err := awaitDelivery(t.Context(), pop3, filed); err == nil {
		t.Error("a message too many was not noticed")
	}
}

func TestSendEndsAtARefusal(t *testing.T) {
	t.Parallel()
	s := &sink{messages: map[string]int{}, octets: map[int]int{}, refuse: 30}
	var filed [mailboxes]int
	_, err := send(context.Background(), options{scenario: scenario{sessions: 5, size: 1000}}, s.listen(t, s.smtp), 100, randomLines(2000), &filed)
	if err == nil || !strings.Contains(err.Error(), "4.3.1 full") {
		t.Errorf("error %v, want the server's reply", err)
	}
}
