package receiver

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"waybill/internal/dialogue"
	"waybill/internal/mail"
	"waybill/internal/message"
	"waybill/internal/trail"
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
	for f, ok := range message.Walk(header) {
		if ok && claimed[strings.ToLower(f.Name)] && len(fields) < maxClaimed {
			fields = append(fields, dialogue.Printable(f.Name+": "+strings.Join(strings.Fields(f.Value), " ")))
		}
	}
	return fields
}

// maxHops bounds what is kept in memory of a header that holds many Delivered-To fields.
const maxHops = 4

// maxFields bounds the fields of a header. Mail that has come a long way has a hundred.
const maxFields = 1000

// header is what is found in, and done to, the header section of the message that is on its way in.
type header struct {
	ctx     context.Context
	session *session

	claims    []string         // for the waybill
	decisions []trail.Decision // for the waybill too
	hops      *message.Hops    // nil: too much to be kept
	utf8      bool             // some octet is beyond ASCII
	lacks     []string         // fields that we add, by name
	sender    mail.Address     // in those that name somebody; null if none does
}

// refusal is the error of a message that policy refuses.
type refusal struct {
	decision trail.Decision
	status   mail.Status
}

func (r *refusal) Error() string { return r.status.String() }

// pass decides about the header section once it is whole, and returns what is to be stored of it. On the smtp listeners
// that is what came, octet by octet.
func (h *header) pass(octets []byte) ([]byte, error) {
	if err := h.limits(octets); err != nil {
		return nil, err
	}
	if h.session.kind == MSA {
		var err error
		if octets, err = h.submitted(octets); err != nil {
			return nil, err
		}
	}
	h.claims = claims(octets)
	h.utf8 = !isASCII(octets)
	return octets, nil
}

// limits refuses headers that are no mail's, and mail in a loop. Refused here a loop ends with the peer; bounced later it
// would end at a reverse-path that may be forged.
func (h *header) limits(octets []byte) error {
	if message.CountFields(octets) > maxFields {
		rule := fmt.Sprintf("a header has at most %d fields", maxFields)
		return &refusal{trail.Decision{Question: "can the header be taken?", Outcome: "refused", Rule: rule},
			headerTooLarge.WithText("The header has more than %d fields", maxFields)}
	}
	hops := message.HopsOf(octets)
	if rule := hops.Loop(h.session.r.MaxReceived, h.session.tx.accounts...); rule != "" {
		return &refusal{trail.Decision{Question: "is the message in a loop?", Outcome: "refused", Rule: rule}, mailLoop}
	}
	if len(hops.DeliveredTo) <= maxHops {
		h.hops = &hops
	}
	return nil
}

// tooLarge is the refusal of a header that is too large, or has no end.
func (r *Receiver) tooLarge() *refusal {
	return &refusal{
		trail.Decision{Question: "can the header be taken?", Outcome: "refused",
			Rule: fmt.Sprintf("[limits] header_size: %d", r.HeaderSize), Reason: "the header does not end within that many octets"},
		headerTooLarge.WithText("The header has more than %d octets", r.HeaderSize),
	}
}

func isASCII[T string | []byte](s T) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
