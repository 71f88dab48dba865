package dialogue

import (
	"io"
	"net"
	"testing"
	"time"
)

func TestQuiet(t *testing.T) {
	t.Parallel()
	near, far := socketPair(t)
	if NewConn(near, time.Second).idle == nil {
		t.Skip("not built for this system")
	}
	expect := func(want bool, when string) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); Quiet(near) != want; time.Sleep(time.Millisecond) { // loopback takes a moment
			if time.Now().After(deadline) {
				t.Fatalf("%s: not %v", when, want)
			}
		}
	}
	expect(true, "nothing was said")
	io.WriteString(far, "a")
	expect(false, "an octet waits")
	if n, err := near.Read(make([]byte, 10)); n != 1 || err != nil {
		t.Fatal("the octet was taken away", n, err)
	}
	expect(true, "it was read")
	far.Close()
	expect(false, "the peer has closed")
	near.Close()
	expect(false, "closed")
	if pipe, _ := net.Pipe(); Quiet(pipe) {
		t.Error("nobody can tell of a pipe")
	}
}
