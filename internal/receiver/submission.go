package receiver

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"waybill/internal/mail"
	"waybill/internal/message"
	"waybill/internal/trail"
)

// secret are the fields that a message that leaves here must not have, whoever put them there: blind copies (RFC 5322
// §3.6.3, §3.6.6), and the trace of final delivery (RFC 5321 §4.4).
var secret = map[string]bool{"bcc": true, "resent-bcc": true, "return-path": true}

// originators is what a submitted header says of who wrote and sent it, and what is in it and missing.
type originators struct {
	from, sender []string        // values
	has          map[string]bool // names in lower case
}

// submitted checks and completes the header of a message that one of our users submits (RFC 6409 §6.1, §8). Fields are
// removed whole or stay octet by octet, so that a signature over them (RFC 6376) holds; what is added goes on top.
func (h *header) submitted(octets []byte) ([]byte, error) {
	found, err := h.originators(octets)
	if err != nil {
		return nil, err
	}
	authors, err := h.checkFrom(found.from)
	if err != nil {
		return nil, err
	}
	keepSender, err := h.ownSender(found.sender)
	if err != nil {
		return nil, err
	}
	var removed []string
	octets = message.Strip(octets, func(f message.Field) bool {
		name := strings.ToLower(f.Name)
		drop := secret[name] || name == "sender" && !keepSender
		if drop && !slices.ContainsFunc(removed, func(s string) bool { return strings.EqualFold(s, f.Name) }) {
			removed = append(removed, f.Name)
		}
		return drop
	})
	h.complete(found, authors, keepSender)
	h.tell(removed)
	return octets, nil
}

// originators reads what matters of the header. A line that is no field is refused: some take it for the end of the
// header, and would show what stands below it as text, or the other way round. So are a CR and a LF on their own.
func (h *header) originators(octets []byte) (o originators, err error) {
	if bytes.Count(octets, []byte("\r\n")) != max(bytes.Count(octets, []byte("\r")), bytes.Count(octets, []byte("\n"))) {
		return o, malformed("lines end in CR LF", "a CR or LF stands alone", "The header has a CR or LF on its own")
	}
	o.has = map[string]bool{}
	n := 0
	for f, ok := range message.Walk(octets) {
		if n++; !ok {
			return o, malformed("a header is fields", fmt.Sprintf("no. %d is none", n), fmt.Sprintf(
				"No. %d of the header's fields is none: each has a name, a colon and text, and an empty line ends the header", n))
		}
		name := strings.ToLower(f.Name)
		o.has[name] = true
		switch name {
		case "from":
			o.from = append(o.from, f.Value)
		case "sender":
			o.sender = append(o.sender, f.Value)
		}
	}
	return o, nil
}

// malformed is the refusal of a header that some would read differently.
func malformed(rule, reason, text string) *refusal {
	return &refusal{trail.Decision{Question: "is the header well formed?", Outcome: "refused", Rule: "RFC 5322 section 2.2: " + rule,
		Reason: reason}, malformedHeader.WithText("%s", text)}
}

// checkFrom refuses a From field that names anybody but the account, and returns how many addresses it has. None at all
// is completed: the account is known, so that the field cannot lie, and scripts often forget it.
func (h *header) checkFrom(fields []string) (authors int, err error) {
	if len(fields) == 0 {
		return 0, nil
	}
	if len(fields) > 1 {
		return 0, h.notYours("The message has several From fields", "the message has several From fields (RFC 5322 section 3.6: one)")
	}
	list, err := message.ParseAddressList(fields[0])
	if err != nil {
		return 0, h.notYours("From cannot be read: "+err.Error(), "From cannot be read: "+err.Error())
	}
	if len(list) == 0 {
		return 0, h.notYours("From has no address", "From has no address")
	}
	for i, addr := range list {
		if addr == h.session.tx.reversePath || slices.Contains(list[:i], addr) {
			continue // known to be the account's
		}
		owns, err := h.session.r.Owners.Owns(h.ctx, h.session.account, addr)
		if err != nil {
			return 0, fmt.Errorf("look up an address of From: %w", err)
		}
		if !owns {
			return 0, h.notYours(fmt.Sprintf("%s... From address does not belong to %s", addr, h.session.account),
				addr.String()+" in From is none of its addresses")
		}
	}
	return len(list), nil
}

// notYours refuses a From field.
func (h *header) notYours(text, reason string) error {
	return &refusal{
		trail.Decision{Question: "may this account send under these addresses?", Outcome: "refused",
			Rule: ownAddresses(h.session.account), Reason: reason},
		notYourName.WithText("%s", text),
	}
}

// ownSender says whether the Sender field may stay: there is one, with one address, which is the account's.
func (h *header) ownSender(fields []string) (bool, error) {
	if len(fields) != 1 {
		return false, nil
	}
	list, err := message.ParseAddressList(fields[0])
	if err != nil || len(list) != 1 {
		return false, nil
	}
	owns, err := h.session.r.Owners.Owns(h.ctx, h.session.account, list[0])
	if err != nil {
		return false, fmt.Errorf("look up the address of Sender: %w", err)
	}
	return owns, nil
}

// complete notes what is missing: Date, Message-ID, From, and Sender if there are several authors (RFC 5322 §3.6.2).
func (h *header) complete(found originators, authors int, hasSender bool) {
	for _, name := range []string{"Date", "Message-ID", "From"} {
		if !found.has[strings.ToLower(name)] {
			h.lacks = append(h.lacks, name)
		}
	}
	if authors > 1 && !hasSender {
		h.lacks = append(h.lacks, "Sender")
	}
	if authors == 0 || authors > 1 && !hasSender {
		if h.sender = h.session.tx.reversePath; h.sender.IsNull() {
			h.sender = h.session.account
		}
	}
}

// tell notes the checks and changes for the waybill.
func (h *header) tell(removed []string) {
	h.decisions = append(h.decisions, trail.Decision{Question: "may this account send under these addresses?", Outcome: "allowed",
		Rule: ownAddresses(h.session.account)})
	var changes []string
	if len(h.lacks) > 0 {
		changes = append(changes, "added "+strings.Join(h.lacks, ", "))
	}
	if len(removed) > 0 {
		changes = append(changes, "removed "+strings.Join(removed, ", "))
	}
	if len(changes) > 0 {
		h.decisions = append(h.decisions, trail.Decision{Question: "is the header as it must be?", Outcome: "changed",
			Rule: "RFC 6409 section 8: a submission server completes it", Reason: strings.Join(changes, "; ")})
	}
}

// added returns the fields that stand on top of the message besides Received.
func (h *header) added(id mail.ID, now time.Time) (fields []string) {
	for _, name := range h.lacks {
		switch name {
		case "Date":
			fields = append(fields, message.Date(now))
		case "Message-ID":
			fields = append(fields, message.MessageID(id, h.session.r.Hostname))
		default:
			fields = append(fields, message.Originator(name, h.sender))
		}
	}
	return fields
}
