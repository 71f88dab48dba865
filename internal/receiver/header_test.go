package receiver

import (
	"slices"
	"strings"
	"testing"

	"waybill/internal/message"
)

func TestClaims(t *testing.T) {
	header := "Received: from a\r\n\tby b\r\nX-Other: x\r\nSubject: a\x1b[31mb\r\n" + strings.Repeat("received: c\r\n", 30)
	fields := claims([]byte(header))
	if want := []string{"Received: from a by b", "Subject: a?[31mb", "received: c"}; !slices.Equal(fields[:3], want) || len(fields) != maxClaimed {
		t.Errorf("%d fields: %q", len(fields), fields)
	}
}

// TestLoopIsRefused: at the dot, so that no report goes to a reverse-path that may be forged.
func TestLoopIsRefused(t *testing.T) {
	loop := strings.Repeat("C: Received: from x by y; now\n", message.MaxReceived)
	newBench(t, "L: MTA\nS: 220 *\nC: HELO x.test\nS: 250 *\nC: MAIL FROM:<x@y.test>\nS: 250 *\nC: RCPT TO:<alice@example.test>\nS: 250 *\n"+
		"C: DATA\nS: 354 *\n"+loop+"C: \nC: .\nS: 554 5.4.6 *\nV: refused | 100 Received fields, fewer than 100 are allowed | \nC: QUIT\nS: 221 *\n").play()
}
