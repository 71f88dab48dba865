package smtp

import (
	"net"
	"runtime/debug"
	"time"
)

// Bounds of linger.
const (
	lingerTime  = 2 * time.Second
	lingerBytes = 1 << 20
)

// linger waits for the peer to read the last reply: closing a TCP connection with input unread resets it,
// and the reply would be lost with it.
func (s *session) linger() {
	tcp, ok := s.conn.wire.Conn.(interface { // of TCP, perhaps behind a proxy
		net.Conn
		CloseWrite() error
	})
	if !ok || tcp.CloseWrite() != nil {
		return
	}
	tcp.SetReadDeadline(time.Now().Add(lingerTime))
	buf := make([]byte, 4096)
	for total := 0; total < lingerBytes; {
		n, err := tcp.Read(buf)
		if err != nil {
			return
		}
		total += n
	}
}

func stack() string { return string(debug.Stack()) }
