package maildrop

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
)

// raw is a POP3 client that knows nothing of ours.
type raw struct {
	*testing.T
	conn net.Conn
	in   *bufio.Reader
}

func (s *site) raw() *raw {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	r := &raw{s.t, conn, bufio.NewReader(conn)}
	r.line()
	r.say("USER " + you)
	r.say("PASS " + password)
	return r
}

func (r *raw) line() string {
	r.Helper()
	line, err := r.in.ReadString('\n')
	if err != nil || !strings.HasSuffix(line, "\r\n") {
		r.Fatalf("%q, %v", line, err)
	}
	return line
}

// say sends a command and returns the first line of the reply.
func (r *raw) say(command string) string {
	r.Helper()
	if _, err := fmt.Fprintf(r.conn, "%s\r\n", command); err != nil {
		r.Fatal(err)
	}
	reply := r.line()
	if !strings.HasPrefix(reply, "+OK") {
		r.Fatalf("%s: %s", command, reply)
	}
	return reply
}

// all sends a command and returns the lines of the reply, as RFC 1939 §3 says: without the dots that were added.
func (r *raw) all(command string) []byte {
	r.Helper()
	r.say(command)
	var all []byte
	for line := r.line(); line != ".\r\n"; line = r.line() {
		all = append(all, strings.TrimPrefix(line, ".")...)
	}
	return all
}

// randomMessage returns lines of what is easily done wrong: dots, empty lines, long ones; often the last line does not end.
func randomMessage(random *rand.Rand) string {
	lines := []string{"", ".", "..", ".x", "text", "a line with . in it.", "\r", ".\r", strings.Repeat("long", random.IntN(20_000))}
	var b strings.Builder
	for range random.IntN(30) {
		b.WriteString(lines[random.IntN(len(lines))] + "\r\n")
	}
	if random.IntN(2) == 0 {
		b.WriteString(lines[random.IntN(len(lines))])
	}
	return b.String()
}

// TestSizesAreExact: LIST and STAT tell the octets that RETR sends, these are those of the message, and the unique ids are
// the same in each session.
func TestSizesAreExact(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	random := rand.New(rand.NewPCG(11, 12))
	var want []string
	for range 50 {
		content := randomMessage(random)
		switch random.IntN(4) {
		case 0: // as SMTP brings it
			if !strings.HasSuffix(content, "\r\n") {
				content += "\r\n"
			}
			s.file(received, content)
			content = returnPath + received + content
		case 1: // as an import does
			s.fileAs("", "", content)
		default:
			s.file("", content)
			content = returnPath + content
		}
		if !strings.HasSuffix(content, "\r\n") && content != "" {
			content += "\r\n"
		}
		want = append(want, content)
	}
	r := s.raw()
	var total int
	var list strings.Builder
	for i, content := range want {
		total += len(content)
		fmt.Fprintf(&list, "%d %d\r\n", i+1, len(content))
		if got := r.all(fmt.Sprintf("RETR %d", i+1)); string(got) != content {
			t.Errorf("message %d: %d octets came as %d others", i+1, len(content), len(got))
		}
	}
	if got, want := r.say("STAT"), fmt.Sprintf("+OK %d %d\r\n", len(want), total); got != want {
		t.Errorf("STAT: %q, want %q", got, want)
	}
	if got := r.all("LIST"); string(got) != list.String() {
		t.Errorf("LIST:\n%s\nwant\n%s", got, list.String())
	}
	ids := r.all("UIDL")
	r.say("QUIT")
	again := s.raw()
	if got := again.all("LIST"); string(got) != list.String() {
		t.Errorf("LIST, before a RETR:\n%s\nwant\n%s", got, list.String())
	}
	if got := again.all("UIDL"); !bytes.Equal(got, ids) || bytes.Count(ids, []byte("\n")) != len(want) {
		t.Errorf("unique ids:\n%s\nafter\n%s", got, ids)
	}
	again.say("DELE 1")
	again.say("QUIT")
	_, others, _ := bytes.Cut(ids, []byte("\r\n"))
	for i, line := range strings.SplitAfter(string(s.raw().all("UIDL")), "\n") {
		if id, was := line[strings.Index(line, " ")+1:], strings.SplitAfter(string(others), "\n")[i]; !strings.HasSuffix(was, " "+id) && line != "" {
			t.Errorf("the unique id of message %d is %q, and was %q", i+1, id, was)
		}
	}
}
