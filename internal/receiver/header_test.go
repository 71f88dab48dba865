package receiver

import (
	"slices"
	"strings"
	"testing"
)

func TestClaims(t *testing.T) {
	header := "Received: from a\r\n\tby b\r\nX-Other: x\r\nSubject: a\x1b[31mb\r\n" + strings.Repeat("received: c\r\n", 30)
	fields, received := claims([]byte(header))
	if received != 31 {
		t.Errorf("%d Received fields, want 31", received)
	}
	if want := []string{"Received: from a by b", "Subject: a?[31mb", "received: c"}; !slices.Equal(fields[:3], want) || len(fields) != maxClaimed {
		t.Errorf("%d fields: %q", len(fields), fields)
	}
}

func TestLoopIsRefused(t *testing.T) {
	loop := strings.Repeat("C: Received: from x by y; now\n", maxReceived)
	newBench(t, "L: MTA\nS: 220 *\nC: HELO x.test\nS: 250 *\nC: MAIL FROM:<x@y.test>\nS: 250 *\nC: RCPT TO:<alice@example.test>\nS: 250 *\n"+
		"C: DATA\nS: 354 *\n"+loop+"C: \nC: .\nS: 554 5.4.6 *\nV: refused | at most 100 Received fields | \nC: QUIT\nS: 221 *\n").play()
}
