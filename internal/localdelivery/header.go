package localdelivery

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"waybill/internal/mail"
	"waybill/internal/message"
)

const (
	headerStart = 8 << 10   // octets of a message that are looked at first: most headers end there
	headerLimit = 128 << 10 // octets of the header that are looked at, at most
	maxReceived = 100       // RFC 5321 §6.3
)

// headerFacts is what loop detection knows of a header.
type headerFacts struct {
	received    int
	deliveredTo []string // addresses in lower case
}

// loop returns the rule by which the message, about to be filed for account, is in a loop; "" if it is not. A
// message that was delivered to this address before came back by a forwarding that leads here again.
func (h headerFacts) loop(account mail.Address) string {
	if h.received > maxReceived {
		return fmt.Sprintf("%d Received fields, at most %d", h.received, maxReceived)
	}
	for _, addr := range h.deliveredTo {
		if addr == account.Key() {
			return "it was delivered to " + account.String() + " before (Delivered-To)"
		}
	}
	return ""
}

// scanHeader reads the header at the beginning of r, up to headerLimit octets.
func scanHeader(r io.Reader) (headerFacts, error) {
	head, err := readHeader(r)
	if err != nil {
		return headerFacts{}, err
	}
	h := headerFacts{received: message.CountReceived(head)}
	if !message.HasField(head, "Delivered-To") {
		return h, nil
	}
	for _, field := range message.Fields(head) {
		if strings.EqualFold(field.Name, "Delivered-To") {
			h.deliveredTo = append(h.deliveredTo, strings.ToLower(strings.Trim(field.Value, " \t<>")))
		}
	}
	return h, nil
}

// readHeader reads until the empty line, the end of r, or headerLimit, and returns what stands before that.
func readHeader(r io.Reader) ([]byte, error) {
	head := make([]byte, 0, headerStart)
	for seen := 0; ; {
		n, err := r.Read(head[len(head):cap(head)])
		head = head[:len(head)+n]
		if end := bytes.Index(head[seen:], []byte("\r\n\r\n")); end >= 0 {
			return head[:seen+end+2], nil
		}
		seen = max(len(head)-3, 0)
		switch {
		case errors.Is(err, io.EOF), err == nil && len(head) >= headerLimit:
			return head, nil
		case err != nil:
			return nil, err
		case len(head) == cap(head):
			head = append(make([]byte, 0, min(4*cap(head), headerLimit)), head...)
		}
	}
}
