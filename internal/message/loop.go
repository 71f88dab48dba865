package message

import (
	"fmt"
	"strings"

	"waybill/internal/mail"
)

// MaxReceived is the number of Received fields from which on a message is taken to be in a loop (RFC 5321 §6.3).
const MaxReceived = 100

// Loop returns the rule by which a message with that header, about to be filed for the accounts, is in a loop; "" if it is
// not. A message that was delivered to one of these addresses before came back by a forwarding that leads here again.
func Loop(header []byte, accounts ...mail.Address) string {
	if n := CountReceived(header); n >= MaxReceived {
		return fmt.Sprintf("%d Received fields, fewer than %d are allowed", n, MaxReceived)
	}
	if !HasField(header, "Delivered-To") {
		return ""
	}
	for _, field := range Fields(header) {
		if !strings.EqualFold(field.Name, "Delivered-To") {
			continue
		}
		before := strings.ToLower(strings.Trim(field.Value, " \t<>"))
		for _, account := range accounts {
			if before == account.Key() {
				return "it was delivered to " + account.String() + " before (Delivered-To)"
			}
		}
	}
	return ""
}
