package smtp

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"waybill/internal/dialogue"
)

// normalised returns in with CR LF for each bare CR and LF, an octet at a time; whole is false if a line is open at the end.
func normalised(in []byte) (out []byte, bare, whole bool) {
	for i := 0; i < len(in); i++ {
		switch {
		case in[i] == '\r' && i+1 < len(in) && in[i+1] == '\n':
			out = append(out, "\r\n"...)
			i++
		case in[i] == '\r', in[i] == '\n':
			out = append(out, "\r\n"...)
			bare = true
		default:
			out = append(out, in[i])
		}
	}
	return out, bare, len(out) == 0 || bytes.HasSuffix(out, crlf)
}

// readChunks runs the reader over in, cut into chunks and pieces of random size.
func readChunks(in []byte, normalise bool, random *rand.Rand, buffer int) (got, rest []byte, c *content, err error) {
	conn := &chunked{in: append(bytes.Clone(in), "NOOP"...), size: func() int { return random.IntN(8) }}
	line := dialogue.NewConn(conn, time.Second)
	left := len(in)
	c = newChunked(newContent(line, limitsOf(1<<30), normalise), func(c *content) {
		n := random.IntN(left + 1)
		left -= n
		c.begin(int64(n), left == 0 && random.IntN(2) == 0)
	})
	var b bytes.Buffer
	if buffer == 0 {
		_, err = c.WriteTo(&b)
	} else {
		_, err = io.CopyBuffer(&b, struct{ io.Reader }{c}, make([]byte, buffer))
	}
	for c.fault != nil && !c.ended { // as the session does with the chunks that follow
		c.drain(true)
		if c.betweenChunks() {
			c.chunks.more(c)
		}
	}
	return b.Bytes(), append(bytes.Clone(line.Buffered()), conn.in...), c, err
}

func checkChunks(t *testing.T, in []byte, seed uint64) {
	t.Helper()
	want, bare, whole := normalised(in)
	if !whole {
		want = append(want, crlf...)
	}
	for _, normalise := range []bool{false, true} {
		for _, buffer := range []int{0, 1, 3, 4096} {
			random := rand.New(rand.NewPCG(seed, uint64(buffer)))
			got, rest, c, err := readChunks(in, normalise, random, buffer)
			switch {
			case !c.ended || string(rest) != "NOOP":
				t.Fatalf("%q: ended is %t, what follows is %q", in, c.ended, rest)
			case bare && !normalise:
				if !errors.Is(err, ErrBareLineEnd) || c.fault != ErrBareLineEnd {
					t.Fatalf("%q: got error %v, fault %v", in, err, c.fault)
				}
			case err != nil || !bytes.Equal(got, want):
				t.Fatalf("%q, normalise %t: got %q, %v, want %q", in, normalise, got, err, want)
			}
		}
	}
}

// randomLines returns up to n octets of those that matter.
func randomLines(random *rand.Rand, n int) []byte {
	const alphabet = "\r\n\r\n..a\x00"
	in := make([]byte, random.IntN(n))
	for j := range in {
		in[j] = alphabet[random.IntN(len(alphabet))]
	}
	return in
}

func TestChunksAgreeWithTheReference(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(5, 6))
	for i := range 5000 {
		checkChunks(t, randomLines(random, 14), uint64(i))
	}
}

func FuzzChunks(f *testing.F) {
	for _, s := range []string{"", "a\r\n", "a", "\r", "\n", "a\r\n.\r\nb", "\r\r\n\n", "a\r\n\r\nb\r\n"} {
		f.Add([]byte(s), uint64(1))
	}
	f.Fuzz(func(t *testing.T, in []byte, seed uint64) { checkChunks(t, in, seed) })
}

// TestNormalisedDataHasTheSameEnd: what a listener takes that normalises line ends is what the strict one would take or
// refuse, with the same end.
func TestNormalisedDataHasTheSameEnd(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(7, 8))
	for i := range 5000 {
		in := append(randomLines(random, 14), "\r\n.\r\nMAIL"...)
		strict, rest, bare, _ := reference(in)
		sent := in[:len(in)-len(rest)]
		for _, buffer := range []int{0, 1, 4096} {
			conn := &chunked{in: bytes.Clone(in), size: func() int { return random.IntN(8) }}
			line := dialogue.NewConn(conn, time.Second)
			c := newContent(line, limitsOf(0), true)
			var got bytes.Buffer
			var err error
			if buffer == 0 {
				_, err = c.WriteTo(&got)
			} else {
				_, err = io.CopyBuffer(&got, struct{ io.Reader }{c}, make([]byte, buffer))
			}
			if after := append(bytes.Clone(line.Buffered()), conn.in...); err != nil || !bytes.Equal(after, rest) {
				t.Fatalf("%d: %q: %v, what follows is %q, want %q", i, in, err, after, rest)
			}
			if !bare && !bytes.Equal(got.Bytes(), strict) {
				t.Fatalf("%q: got %q, want %q", sent, got.Bytes(), strict)
			}
			if _, bareNow, whole := normalised(got.Bytes()); bareNow || !whole {
				t.Fatalf("%q became %q", sent, got.Bytes())
			}
			if a, b := letters(got.Bytes()), letters(sent); !bytes.Equal(a, b) {
				t.Fatalf("%q became %q", sent, got.Bytes())
			}
		}
	}
}

// letters returns what no rule about lines and dots may touch.
func letters(b []byte) []byte {
	return bytes.Map(func(r rune) rune {
		if r == '\r' || r == '\n' || r == '.' {
			return -1
		}
		return r
	}, b)
}
