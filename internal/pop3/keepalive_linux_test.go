package pop3

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestDeadClientsAreNoticed: within two minutes, whether output is under way or not.
func TestDeadClientsAreNoticed(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	keepAlive(nc)

	raw, err := nc.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	get := func(level, option int) (v int) {
		raw.Control(func(fd uintptr) { v, err = unix.GetsockoptInt(int(fd), level, option) })
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if get(unix.SOL_SOCKET, unix.SO_KEEPALIVE) == 0 {
		t.Error("no probes are sent")
	}
	idle := get(unix.IPPROTO_TCP, unix.TCP_KEEPIDLE) + get(unix.IPPROTO_TCP, unix.TCP_KEEPINTVL)*get(unix.IPPROTO_TCP, unix.TCP_KEEPCNT)
	if d := time.Duration(idle) * time.Second; d <= 0 || d > 2*time.Minute {
		t.Errorf("an idle client that is dead is noticed after %v", d)
	}
	if d := time.Duration(get(unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)) * time.Millisecond; d <= 0 || d > 2*time.Minute {
		t.Errorf("a client that is dead while output is under way is noticed after %v", d)
	}
}
