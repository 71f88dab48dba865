package mail

// Notify is when the sender wants to hear of a recipient (RFC 3461 §4.1): a set. The zero Notify means that it was not
// said, which is treated as NotifyFailure and NotifyDelay.
type Notify uint8

const (
	NotifyNever   Notify = 1 << iota // stands alone
	NotifySuccess                    // delivered to the recipient's mailbox, or handed to where no DSN comes from
	NotifyFailure                    // given up
	NotifyDelay                      // not there yet, after a while
)

// Return is how much of the message a failure DSN is to carry (RFC 3461 §4.3). The zero Return leaves it to us.
type Return string

const (
	ReturnFull   Return = "FULL"
	ReturnHeader Return = "HDRS"
)

// OriginalRecipient is the ORCPT parameter of RCPT (RFC 3461 §4.2): whom the sender wrote to, as it was first said. The
// zero OriginalRecipient means that it was not given.
type OriginalRecipient struct {
	Type    string // address type, "rfc822" or "utf-8" (RFC 6533 §3); as given
	Address string // decoded from xtext or utf-8-addr-xtext; printable
}

// DSN is what a sender asked for in MAIL about the reports on a message (RFC 3461 §4.3, §4.4).
type DSN struct {
	Return     Return
	EnvelopeID string // ENVID, decoded from xtext; "" if not given
}

// Report is what a sender asked for in RCPT about the reports on one recipient.
type Report struct {
	Notify   Notify
	Original OriginalRecipient
}
