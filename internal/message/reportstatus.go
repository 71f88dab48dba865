package message

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"waybill/internal/dialogue"
	"waybill/internal/mail"
)

// deliveryStatus is the part for programs (RFC 3464 §2); global says that it may hold UTF-8 (RFC 6533 §4).
func (r Report) deliveryStatus(global bool) []byte {
	b := statusWriter{global: global}
	if r.EnvelopeID != "" {
		b.field("Original-Envelope-Id", b.said(r.EnvelopeID))
	}
	b.field("Reporting-MTA", "dns; "+helloWord(r.ReportingMTA))
	if r.Original != "" {
		b.field("X-Waybill-ID", string(r.Original))
	}
	b.time("Arrival-Date", r.ArrivalDate)
	for _, p := range r.Recipients {
		b.WriteString("\r\n")
		b.recipient(p)
	}
	return b.Bytes()
}

// statusWriter writes the fields of a delivery status.
type statusWriter struct {
	bytes.Buffer
	global bool
}

func (b *statusWriter) recipient(p ReportRecipient) {
	if p.ORCPT.Address != "" { // only then (RFC 3461 §6.3): what RCPT said is not what the sender wrote, for all we know
		b.address("Original-Recipient", p.ORCPT)
	}
	b.address("Final-Recipient", mail.OriginalRecipient{Address: p.ForwardPath.String()})
	b.field("Action", string(p.Action))
	b.field("Status", statusCode(p))
	if p.RemoteMTA != "" {
		b.field("Remote-MTA", "dns; "+helloWord(p.RemoteMTA))
	}
	if p.Diagnostic.Code != 0 {
		b.field("Diagnostic-Code", "smtp; "+b.said(p.Diagnostic.String()))
	}
	b.time("Last-Attempt-Date", p.LastAttempt)
	b.time("Will-Retry-Until", p.RetryUntil)
}

func (b *statusWriter) field(name, value string) {
	f := newFolder(name, " ")
	f.words(value)
	b.WriteString(f.end())
}

func (b *statusWriter) time(name string, at time.Time) {
	if !at.IsZero() {
		b.field(name, dateTime(at))
	}
}

// said makes a stranger's words fit for a field.
func (b *statusWriter) said(words string) string {
	if b.global {
		return clip(words)
	}
	return ascii(words, maxSaid)
}

// address writes an address as one word, whatever it holds: it stays as it was (RFC 3464 §2.3.2). One that is not
// ASCII has a type of its own, and in a part of 7 bits an encoding (RFC 6533 §3: utf-8-addr-xtext).
func (b *statusWriter) address(name string, a mail.OriginalRecipient) {
	kind, address := helloWord(strings.ToLower(a.Type)), dialogue.Printable(a.Address)
	if a.Type == "" {
		kind = "rfc822"
	}
	if !isASCII(address) {
		kind = "utf-8"
	}
	if kind == "utf-8" && !b.global {
		address = embedUnicode(address)
	}
	f := newFolder(name, " ")
	f.words(kind + ";")
	f.word(address)
	b.WriteString(f.end())
}

// embedUnicode encodes as utf-8-addr-xtext (RFC 6533 §3).
func embedUnicode(address string) string {
	var b strings.Builder
	for _, r := range address {
		if r <= ' ' || r > '~' || strings.ContainsRune(`\+=`, r) {
			fmt.Fprintf(&b, `\x{%02X}`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func isASCII[T ~string | ~[]byte](text T) bool {
	for i := range len(text) {
		if text[i] >= 0x80 {
			return false
		}
	}
	return true
}

// statusCode is the enhanced code, or the general one of the reply's class where the host gave none (RFC 3464 §2.3.4).
func statusCode(p ReportRecipient) string {
	if e := p.Status.Enhanced.String(); e != "" {
		return e
	}
	switch class := p.Status.Code / 100; {
	case class == 2 || class == 4 || class == 5:
		return fmt.Sprintf("%d.0.0", class)
	case p.Action == ActionDelivered, p.Action == ActionRelayed, p.Action == ActionExpanded:
		return "2.0.0"
	case p.Action == ActionDelayed:
		return "4.0.0"
	}
	return "5.0.0"
}
