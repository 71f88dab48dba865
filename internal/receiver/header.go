package receiver

import (
	"bytes"
	"strings"

	"waybill/internal/dialogue"
	"waybill/internal/message"
)

// headerCapture keeps the header section of a message that streams through it, up to a bound.
type headerCapture struct {
	header []byte
	ended  bool
}

const maxHeaderKept = 64 << 10

// Write never fails.
func (h *headerCapture) Write(p []byte) (int, error) {
	if h.ended {
		return len(p), nil
	}
	from := max(0, len(h.header)-3)
	h.header = append(h.header, p[:min(len(p), maxHeaderKept-len(h.header))]...)
	if bytes.HasPrefix(h.header, []byte("\r\n")) {
		h.header, h.ended = h.header[:0], true
	} else if i := bytes.Index(h.header[from:], []byte("\r\n\r\n")); i >= 0 {
		h.header, h.ended = h.header[:from+i+2], true
	} else if len(h.header) >= maxHeaderKept {
		h.ended = true
	}
	return len(p), nil
}

// claimed are the fields that the waybill shows as what the sender says, in the order of the message.
var claimed = map[string]bool{
	"from": true, "sender": true, "reply-to": true, "to": true, "cc": true, "subject": true, "date": true,
	"message-id": true, "received": true, "return-path": true,
}

// maxClaimed bounds how many of them are kept.
const maxClaimed = 20

// claims returns those fields, on one line each, and the number of Received fields.
func (h *headerCapture) claims() (fields []string, received int) {
	for _, f := range message.Fields(h.header) {
		name := strings.ToLower(f.Name)
		if name == "received" {
			received++
		}
		if claimed[name] && len(fields) < maxClaimed {
			fields = append(fields, dialogue.Printable(f.Name+": "+f.Value))
		}
	}
	return fields, received
}
