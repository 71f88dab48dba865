package smtp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"waybill/internal/mail"
)

// takeSlowly plays a server that takes an envelope, and then octets of content at that pace until the dot.
func takeSlowly(nc net.Conn, octets int, pause time.Duration) {
	defer nc.Close()
	in := bufio.NewReaderSize(nc, 16)
	fmt.Fprint(nc, "220 x\r\n")
	for _, reply := range []string{"250 x", "250 ok", "250 ok", "354 go on"} {
		if _, err := in.ReadString('\n'); err != nil {
			return
		}
		fmt.Fprint(nc, reply+"\r\n")
	}
	end := ""
	for b := make([]byte, octets); !strings.HasSuffix(end, "\r\n.\r\n"); time.Sleep(pause) {
		n, err := io.ReadAtLeast(in, b, 1)
		if err != nil {
			return
		}
		end += string(b[:n])
		end = end[max(0, len(end)-5):]
	}
	fmt.Fprint(nc, "250 taken\r\n")
	in.ReadString('\n')
}

// A server that keeps every deadline of a single write but takes the content slower than ContentRate is left.
func TestContentIsTakenInTime(t *testing.T) {
	for _, test := range []struct {
		octets int
		pause  time.Duration
		want   string
		within time.Duration
	}{
		{16, 5 * time.Millisecond, "250 taken", 10 * time.Minute},
		{16, 40 * time.Millisecond, "451 4.4.2 the server took the content too slowly", 8 * time.Minute}, // 400 octets a second
	} {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			var peer sync.WaitGroup
			defer peer.Wait()
			peer.Go(func() { takeSlowly(far, test.octets, test.pause) })
			c := NewClient(near, ClientOptions{})
			defer c.Close()
			if err := errors.Join(c.Greet(t.Context()), c.Hello(t.Context())); err != nil {
				t.Fatal(err)
			}
			content := strings.NewReader(strings.Repeat("0123456789012345678901234567890123456789\r\n", 20000))
			began := time.Now()
			r, err := c.Send(t.Context(), Transaction{Recipients: []mail.Address{{Local: "you", Domain: "b.test"}}, Content: content})
			if r.Data.String() != test.want || (err == nil) != r.Data.Success() || r.Unknown {
				t.Errorf("%d octets every %v: %v, %v", test.octets, test.pause, r.Data, err)
			}
			if took := time.Since(began); took > test.within {
				t.Errorf("it took %v of virtual time", took)
			}
			c.Quit(t.Context())
		})
	}
}
