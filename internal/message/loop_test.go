package message

import (
	"strings"
	"testing"

	"waybill/internal/mail"
)

func TestLoop(t *testing.T) {
	alice, bob := mail.Address{Local: "Alice", Domain: "a.test"}, mail.Address{Local: "bob", Domain: "a.test"}
	for header, want := range map[string]string{
		"Subject: x\r\n":                                             "",
		"Delivered-To: carol@a.test\r\n":                             "",
		"delivered-to: <ALICE@a.test>\r\n":                           "it was delivered to Alice@a.test before (Delivered-To)",
		"Delivered-To: x@y.test\r\nDelivered-To:\r\n bob@a.test\r\n": "it was delivered to bob@a.test before (Delivered-To)",
		strings.Repeat("Received: x\r\n", MaxReceived-1):             "",
		strings.Repeat("Received: x\r\n", MaxReceived):               "100 Received fields, fewer than 100 are allowed",
	} {
		if got := HopsOf([]byte(header)).Loop(MaxReceived, alice, bob); got != want {
			t.Errorf("Loop(%.60q) = %q, want %q", header, got, want)
		}
	}
}
