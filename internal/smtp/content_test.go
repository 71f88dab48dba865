package smtp

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"waybill/internal/dialogue"
)

// reference reads content an octet at a time: what the scanner must agree with.
func reference(in []byte) (content []byte, rest []byte, bare, ended bool) {
	lineStart := true
	for i := 0; i < len(in); i++ {
		at := func(s string) bool { return bytes.HasPrefix(in[i:], []byte(s)) }
		switch {
		case lineStart && at(".\r\n"):
			return content, in[i+3:], bare, true
		case lineStart && at("."):
			lineStart = false
		case at("\r\n"):
			content = append(content, "\r\n"...)
			i++
			lineStart = true
		case at("\r") && i == len(in)-1: // what comes next would decide
		case at("\r"), at("\n"):
			bare, lineStart = true, false
		default:
			content = append(content, in[i])
			lineStart = false
		}
	}
	return content, nil, bare, false
}

// chunked is a connection that delivers its input in pieces.
type chunked struct {
	net.Conn
	in   []byte
	size func() int
}

func (c *chunked) SetWriteDeadline(time.Time) error { return nil }

func (c *chunked) Read(p []byte) (int, error) {
	if len(c.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.in[:min(len(c.in), max(1, c.size()))])
	c.in = c.in[n:]
	return n, nil
}

func (c *chunked) SetReadDeadline(time.Time) error { return nil }

func (c *chunked) Close() error { return nil }

func limitsOf(messageSize int64) *Limits {
	l := Limits{MessageSize: messageSize}.orDefault()
	return &l
}

// readContent runs the reader over in, by Read with a buffer of that size, or by WriteTo if it is 0.
func readContent(in []byte, size func() int, buffer int) (got []byte, rest []byte, c *content, err error) {
	conn := &chunked{in: in, size: size}
	line := dialogue.NewConn(conn, time.Second)
	c = newContent(line, limitsOf(1<<30), false)
	var b bytes.Buffer
	if buffer == 0 {
		_, err = c.WriteTo(&b)
	} else {
		_, err = io.CopyBuffer(&b, struct{ io.Reader }{c}, make([]byte, buffer))
	}
	c.drain(false)
	return b.Bytes(), append(bytes.Clone(line.Buffered()), conn.in...), c, err
}

func checkContent(t *testing.T, in []byte, seed uint64) {
	t.Helper()
	want, wantRest, bare, ended := reference(in)
	for _, buffer := range []int{0, 1, 3, 4096} {
		random := rand.New(rand.NewPCG(seed, uint64(buffer)))
		got, rest, c, err := readContent(in, func() int { return random.IntN(8) }, buffer)
		switch {
		case c.ended != ended:
			t.Fatalf("%q: ended is %t, want %t", in, c.ended, ended)
		case ended && !bytes.Equal(rest, wantRest):
			t.Fatalf("%q: what follows is %q, want %q", in, rest, wantRest)
		case (c.fault == ErrBareLineEnd) != bare:
			t.Fatalf("%q: fault %v, want bare %t", in, c.fault, bare)
		case bare && !errors.Is(err, ErrBareLineEnd):
			t.Fatalf("%q: got error %v", in, err)
		case !bare && !ended && !errors.Is(err, io.ErrUnexpectedEOF):
			t.Fatalf("%q: got error %v for a message without an end", in, err)
		case !bare && ended && (err != nil || !bytes.Equal(got, want)):
			t.Fatalf("%q: got %q, %v, want %q", in, got, err, want)
		}
	}
}

func TestContentAgreesWithTheReference(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	const alphabet = "\r\n\r\n..a\x00"
	for i := range 5000 {
		in := make([]byte, random.IntN(14))
		for j := range in {
			in[j] = alphabet[random.IntN(len(alphabet))]
		}
		checkContent(t, in, uint64(i))
		checkContent(t, append(in, "\r\n.\r\nMAIL"...), uint64(i))
	}
}

func FuzzDataReader(f *testing.F) {
	for _, s := range []string{".\r\n", "a\r\n.\r\n", "..\r\n.\r\nQUIT\r\n", "a\n.\r\n", "\r\n.\r\r\n.\r\n", strings.Repeat("x", 5000) + "\r\n.\r\n"} {
		f.Add([]byte(s), uint64(1))
	}
	f.Fuzz(func(t *testing.T, in []byte, seed uint64) { checkContent(t, in, seed) })
}

func TestLongLinesTakeNoMemory(t *testing.T) {
	in := append(bytes.Repeat([]byte("x"), 10<<20), "\r\n.\r\n"...)
	conn := &chunked{in: in, size: func() int { return 1 << 20 }}
	line := dialogue.NewConn(conn, time.Second)
	c := newContent(line, limitsOf(0), false)
	if n, err := c.WriteTo(io.Discard); err != nil || n != 10<<20+2 {
		t.Fatal(n, err)
	}
	if got := cap(line.Buffered()); got > line.WideSize() {
		t.Errorf("the input buffer grew to %d octets", got)
	}
}

func TestPolicyMayStopReading(t *testing.T) {
	for _, size := range []int{0, 1, 100000} {
		in := append(bytes.Repeat([]byte("0123456789\r\n"), 10000), ".\r\nNOOP\r\n"...)
		conn := &chunked{in: in, size: func() int { return 1000 }}
		line := dialogue.NewConn(conn, time.Second)
		c := newContent(line, limitsOf(0), false)
		if _, err := io.ReadFull(c, make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		if c.drain(false) || !c.ended || c.size != 120000 {
			t.Errorf("after %d octets: ended %t, size %d", size, c.ended, c.size)
		}
	}
}

// TestBareCRsCostNoMore: content that is nothing but CRs is passed over as quickly as any other; how often the buffer is
// searched must not depend on what a stranger sends. The bound is on steps, not on time.
func TestBareCRsCostNoMore(t *testing.T) {
	d := scanner{dots: true, lineStart: true}
	b := bytes.Repeat([]byte{'\r'}, 32<<10)
	if _, _, found := d.next(b); found != foundBare {
		t.Fatal("a bare CR is not found")
	}
	if used, end := d.skip(b); used < len(b)-len(endOfData) || end {
		t.Errorf("one step takes %d of %d octets, end %v", used, len(b), end)
	}
}

// TestSkipFindsTheEnd wherever the buffer is cut, and nothing that only looks like it.
func TestSkipFindsTheEnd(t *testing.T) {
	for content, want := range map[string]bool{
		"x\r\n.\r\n": true, ".\r\n": true, "\r\n.\r\n": true, "\r\r\n.\r\n": true, ".\r.\r\n\r\n.\r\n": true,
		"x\n.\r\n": false, "x\r\n.\n": false, "x\r.\r\n": false, "x\r\n.\r": false, ".x\r\n": false, "": false,
	} {
		for size := 1; size <= len(content)+1; size++ {
			d := scanner{dots: true, lineStart: true}
			var buffer []byte
			found := false
			for rest := content; !found; {
				used, end := d.skip(buffer)
				buffer, found = buffer[used:], end
				if used == 0 && !end {
					if rest == "" {
						break
					}
					n := min(size, len(rest))
					buffer, rest = append(buffer, rest[:n]...), rest[n:]
				}
			}
			if found != want {
				t.Errorf("%q in pieces of %d: end %v, want %v", content, size, found, want)
			}
		}
	}
}
