package mua

import (
	"errors"
	"net"
	"testing"
)

// at is a connection to an address.
type at struct {
	net.Conn
	addr string
}

func (a at) RemoteAddr() net.Addr {
	addr, _ := net.ResolveTCPAddr("tcp", a.addr)
	return addr
}

// TestPasswordNeedsTLS: whoever takes the offer of STARTTLS out of the dialogue does not get the password.
func TestPasswordNeedsTLS(t *testing.T) {
	for _, test := range []struct {
		security Security
		addr     string
		want     error
	}{
		{Auto, "198.51.100.1:587", ErrNoTLS},
		{StartTLS, "198.51.100.1:587", ErrNoTLS},
		{Auto, "127.0.0.1:587", nil},
		{Plain, "198.51.100.1:587", nil},
	} {
		if err := passwordAllowed(Server{Security: test.security}, at{addr: test.addr}); !errors.Is(err, test.want) {
			t.Errorf("%s to %s: %v, want %v", test.security, test.addr, err, test.want)
		}
	}
}
