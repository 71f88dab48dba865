package main

import (
	"bufio"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// scripted is a server of one sort on a socket, which answers as it was told.
type scripted struct {
	addr string

	mu      sync.Mutex
	answer  func(line string) string // "": it hangs up
	said    []string                 // commands
	content int64                    // octets of DATA, with the dot
	text    strings.Builder
}

// newScripted answers a line with that answer whose beginning, before the first "=", it has; other lines with good.
func newScripted(t *testing.T, greeting, good string, answers ...string) *scripted {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s := &scripted{addr: l.Addr().String(), answer: answering(good, answers)}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(conn, greeting)
		}
	}()
	return s
}

func answering(good string, answers []string) func(string) string {
	return func(line string) string {
		for _, a := range answers {
			if begin, answer, _ := strings.Cut(a, "="); strings.HasPrefix(line, begin) {
				return answer
			}
		}
		return good
	}
}

func (s *scripted) serve(conn net.Conn, greeting string) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	io.WriteString(conn, greeting+"\r\n")
	for in := bufio.NewReaderSize(conn, 64<<10); ; {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSuffix(line, "\r\n")
		answer := s.respond(line)
		if answer == "" {
			return
		}
		io.WriteString(conn, answer+"\r\n")
		if line == "DATA" && strings.HasPrefix(answer, "354") {
			if !s.data(in) {
				return
			}
			if answer = s.respond("DOT"); answer == "" {
				return
			}
			io.WriteString(conn, answer+"\r\n")
		}
	}
}

// use has it answer otherwise from now on.
func (s *scripted) use(answer func(string) string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

// respond notes a line and returns the answer.
func (s *scripted) respond(line string) string {
	s.mu.Lock()
	if line != "DOT" {
		s.said = append(s.said, line)
	}
	answer := s.answer
	s.mu.Unlock()
	return answer(line)
}

// data takes a message, of which it keeps a beginning.
func (s *scripted) data(in *bufio.Reader) bool {
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return false
		}
		s.mu.Lock()
		s.content += int64(len(line))
		if s.text.Len() < 64<<10 {
			s.text.Write(line)
		}
		s.mu.Unlock()
		if string(line) == ".\r\n" {
			return true
		}
	}
}

func (s *scripted) heard() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.said, "\n")
}

// message returns the beginning of what was sent, and how much it was.
func (s *scripted) message() (string, int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String(), s.content
}

const smtpGood, popGood = "250 ok", "+OK"

func newSMTP(t *testing.T, answers ...string) *scripted {
	t.Helper()
	return newScripted(t, "220 x ESMTP", smtpGood, append(answers, "DATA=354 go", "QUIT=221 bye")...)
}

func newPOP(t *testing.T, answers ...string) *scripted {
	t.Helper()
	return newScripted(t, "+OK ready", popGood, append(answers, popAnswers...)...)
}

// popAnswers are those of a server with two messages.
var popAnswers = []string{
	"CAPA=-ERR what", "LIST=+OK\r\n1 20\r\n2 20\r\n.", "UIDL=+OK\r\n1 a\r\n2 b\r\n.", "RETR=+OK\r\nSubject: x\r\n\r\n..text\r\n.",
}
