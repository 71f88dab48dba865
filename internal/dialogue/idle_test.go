package dialogue

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// socketPair returns both ends of a connection of the operating system.
func socketPair(t *testing.T) (near, far net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if far, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if near, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

// TestIdleHoldsNoBuffer: a connection that waits has none, and loses nothing of what comes.
func TestIdleHoldsNoBuffer(t *testing.T) {
	t.Parallel()
	near, far := socketPair(t)
	c := NewConn(near, time.Second)
	if c.idle == nil {
		t.Skip("not built for this system")
	}
	soon := func() time.Time { return time.Now().Add(10 * time.Second) }
	long := strings.Repeat("x", 3*bufferSize)
	for _, text := range []string{"one", "", long, "two\r\nthree", "four"} {
		io.WriteString(far, text+"\r\n")
		for want := range strings.SplitSeq(text, "\r\n") {
			c.Narrow()
			got, err := c.ReadLine(4*bufferSize, soon())
			if err != nil || string(got) != want {
				t.Fatalf("got %.20q, %v, want %.20q", got, err, want)
			}
		}
		c.WriteString("reply")
		if err := c.Flush(); err != nil {
			t.Fatal(err)
		}
		if c.Narrow(); c.in != nil || c.small != nil || c.wide != nil || c.out != nil {
			t.Error("an idle connection holds a buffer")
		}
	}
	if _, err := c.ReadLine(100, time.Now().Add(-time.Second)); !IsTimeout(err) {
		t.Errorf("after the deadline: %v", err)
	}
	io.WriteString(far, "half")
	far.(*net.TCPConn).CloseWrite()
	if _, err := c.ReadLine(100, soon()); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
	c.Narrow()
	c.Advance(len(c.Buffered()))
	c.Narrow()
	near.Close()
	if _, err := c.ReadLine(100, soon()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestTranscriptKeepsLines: what was added comes back, with its side, in bounds.
func TestTranscriptKeepsLines(t *testing.T) {
	t.Parallel()
	var transcript Transcript
	began := time.Now()
	for range 2 {
		transcript.Add(Client, "EHLO x")
		transcript.Add(Server, "250 ñ\x00")
		transcript.AddBytes(Client, []byte("NOOP"))
		transcript.AddBytes(Server, []byte("\r"))
		transcript.Add(Note, "")
		var got []string
		for _, line := range transcript.Lines() {
			got = append(got, string(line.Side)+": "+line.Text)
			if line.At.Before(began.Add(-time.Second)) || line.At.After(time.Now().Add(time.Second)) {
				t.Errorf("%q was said at %v", line.Text, line.At)
			}
		}
		if strings.Join(got, "|") != "C: EHLO x|S: 250 ñ?|C: NOOP|S: ?|*: " || transcript.Len() != 5 {
			t.Errorf("got %q", got)
		}
		if len(transcript.Cut()) != 5 || transcript.Len() != 0 || len(transcript.Lines()) != 0 {
			t.Error("Cut leaves lines")
		}
	}
	for range maxLines {
		transcript.AddBytes(Client, []byte(strings.Repeat("x", 2*maxLineText)))
		transcript.Add(Client, strings.Repeat("x", 2*maxLineText))
	}
	if n := len(transcript.Lines()); n > maxLines || n+transcript.Dropped != 2*maxLines || len(transcript.text) > maxOctets+2*maxLineText {
		t.Errorf("%d lines are kept, %d dropped, %d octets", n, transcript.Dropped, len(transcript.text))
	}
}
