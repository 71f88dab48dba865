package dialogue

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net"
	"testing"
	"time"
)

// sink keeps what is written, until it fails.
type sink struct {
	net.Conn
	got     bytes.Buffer
	longest int
	failing bool
}

var errFull = errors.New("full")

func (s *sink) Write(p []byte) (int, error) {
	if s.failing {
		return 0, errFull
	}
	s.longest = max(s.longest, len(p))
	return s.got.Write(p)
}

func (*sink) SetWriteDeadline(time.Time) error { return nil }

// TestOutput: what is written arrives as it is and in its order, in pieces that are bounded.
func TestOutput(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	s := &sink{}
	c := NewConn(s, time.Second)
	var want bytes.Buffer
	for range 2000 {
		p := make([]byte, random.IntN(1+random.IntN([]int{10, 2000, 40_000, 200_000}[random.IntN(4)])))
		for i := range p {
			p[i] = byte(random.Uint32())
		}
		want.Write(p)
		if random.IntN(2) == 0 {
			c.WriteString(string(p))
		} else {
			c.Write(p)
		}
		clear(p) // which is the caller's again
		if random.IntN(10) == 0 {
			c.Flush()
			if !bytes.Equal(s.got.Bytes(), want.Bytes()) {
				t.Fatalf("%d octets arrived as %d others", want.Len(), s.got.Len())
			}
			s.got.Reset()
			want.Reset()
		}
		if random.IntN(10) == 0 {
			c.Narrow()
		}
	}
	if s.longest > maxBlock {
		t.Errorf("%d octets were written at once", s.longest)
	}
}

func TestOutputAfterAnError(t *testing.T) {
	t.Parallel()
	s := &sink{failing: true}
	c := NewConn(s, time.Second)
	c.WriteString("a")
	if err := c.Flush(); !errors.Is(err, errFull) {
		t.Error(err)
	}
	s.failing = false
	c.WriteString("b")
	if n, err := c.Write(make([]byte, 3*wideSize)); n != 3*wideSize || !errors.Is(err, errFull) {
		t.Error(n, err)
	}
	if err := c.Flush(); !errors.Is(err, errFull) || s.got.Len() > 0 {
		t.Errorf("%v; %q left", err, s.got.Bytes())
	}
}
