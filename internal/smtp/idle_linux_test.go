package smtp

import (
	"bytes"
	"context"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// idleClients are clients that cost this process nothing but a descriptor, so that what is measured is the server's.
type idleClients struct {
	t    testing.TB
	addr syscall.SockaddrInet4
	fds  []int
	buf  [4096]byte
}

func newIdleClients(t testing.TB, address string, n int) *idleClients {
	addr := netip.MustParseAddrPort(address)
	c := &idleClients{t: t, addr: syscall.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}, fds: make([]int, 0, n)}
	t.Cleanup(func() {
		for _, fd := range c.fds {
			syscall.Close(fd)
		}
	})
	return c
}

// add connects one more client, which says that and waits for that reply.
func (c *idleClients) add(say, reply []byte) {
	c.t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		c.t.Fatal(err)
	}
	c.fds = append(c.fds, fd)
	if err := syscall.Connect(fd, &c.addr); err != nil {
		c.t.Fatal(err)
	}
	if _, err := syscall.Write(fd, say); err != nil {
		c.t.Fatal(err)
	}
	for n := 0; !bytes.Contains(c.buf[:n], reply); {
		m, err := syscall.Read(fd, c.buf[n:])
		if err != nil || m == 0 {
			c.t.Fatalf("%q, then %d octets, %v", c.buf[:n], m, err)
		}
		n += m
	}
}

// residentSet returns the memory of this process that is in RAM, in octets.
func residentSet(t testing.TB) int {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip("no /proc:", err)
	}
	pages, _ := strconv.Atoi(strings.Fields(string(b))[1])
	return pages * os.Getpagesize()
}

// BenchmarkIdleSession measures what a session costs that waits after EHLO: heap and stacks in use, and resident memory.
func BenchmarkIdleSession(b *testing.B) {
	const sessions = 2000
	s := &Server{Hostname: "mail.test", NewSession: func(_ context.Context, c *Conn) (Session, error) { return nullSession{}, nil }}
	clients := newIdleClients(b, listen(b, s), sessions+1)
	say, reply := []byte("EHLO x\r\n"), []byte("250 HELP\r\n")
	clients.add(say, reply)
	debug.FreeOSMemory()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	resident := residentSet(b)
	for b.Loop() {
		if len(clients.fds) > 1 { // once is enough
			continue
		}
		for range sessions {
			clients.add(say, reply)
		}
		b.ReportMetric(float64(residentSet(b)-resident)/sessions, "resident-B/session")
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/sessions, "heap-B/session")
		b.ReportMetric(float64(after.StackInuse-before.StackInuse)/sessions, "stack-B/session")
	}
}
