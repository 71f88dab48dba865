package pop3

import (
	"net"
	"testing"
	"time"

	"waybill/internal/dialogue"
)

// TestInterruptLasts: a session that just begins to wait does not undo the interruption.
func TestInterruptLasts(t *testing.T) {
	t.Parallel()
	near, far := net.Pipe()
	defer far.Close()
	tr := &transport{Conn: near}
	defer tr.Close()
	tr.interrupt()
	tr.SetReadDeadline(time.Now().Add(time.Minute))
	tr.SetDeadline(time.Now().Add(time.Minute))
	if _, err := tr.Read(make([]byte, 1)); !dialogue.IsTimeout(err) {
		t.Errorf("got %v", err)
	}
	go far.Read(make([]byte, 1))
	if _, err := tr.Write([]byte("x")); err != nil {
		t.Errorf("writes must go on: %v", err)
	}
}
