package message

import (
	"fmt"
	"strings"

	"waybill/internal/mail"
)

// MaxReceived is the number of Received fields from which on a message is taken to be in a loop, where nothing else is
// said (RFC 5321 §6.3).
const MaxReceived = 100

// Hops is what a header says of the way that its message has come, as far as the search for loops needs it.
type Hops struct {
	Received    int      // number of Received fields
	DeliveredTo []string // values of the Delivered-To fields, in lower case and without brackets
}

// HopsOf reads them from a header.
func HopsOf(header []byte) Hops {
	h := Hops{Received: CountReceived(header)}
	for field := range named(header, "Delivered-To") {
		h.DeliveredTo = append(h.DeliveredTo, strings.ToLower(strings.Trim(field.Value, " \t<>")))
	}
	return h
}

// Loop returns the rule by which a message that came this way, about to be filed for the accounts, is in a loop; "" if it
// is not. Too many hops are one: maxReceived and more. A message that was delivered to one of these addresses before came
// back by a forwarding that leads here again.
func (h Hops) Loop(maxReceived int, accounts ...mail.Address) string {
	if h.Received >= maxReceived {
		return fmt.Sprintf("%d Received fields, fewer than %d are allowed", h.Received, maxReceived)
	}
	for _, before := range h.DeliveredTo {
		for _, account := range accounts {
			if before == account.Key() {
				return "it was delivered to " + account.String() + " before (Delivered-To)"
			}
		}
	}
	return ""
}
