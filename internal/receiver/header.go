package receiver

import (
	"strings"

	"waybill/internal/dialogue"
	"waybill/internal/message"
)

// claimed are the fields that the waybill shows as what the sender says, in the order of the message.
var claimed = map[string]bool{
	"from": true, "sender": true, "reply-to": true, "to": true, "cc": true, "subject": true, "date": true,
	"message-id": true, "received": true, "return-path": true,
}

// maxClaimed bounds how many of them are kept.
const maxClaimed = 20

// claims returns those fields of a header, on one line each.
func claims(header []byte) (fields []string) {
	for _, f := range message.Fields(header) {
		if claimed[strings.ToLower(f.Name)] && len(fields) < maxClaimed {
			fields = append(fields, dialogue.Printable(f.Name+": "+strings.Join(strings.Fields(f.Value), " ")))
		}
	}
	return fields
}
