package mail

// BodyType is what the BODY parameter of MAIL declared (RFC 6152 §2).
type BodyType string

const (
	Body7Bit     BodyType = ""         // not declared, or 7BIT
	Body8BitMIME BodyType = "8BITMIME" // octets above 127 may occur
)

// Envelope is what SMTP knows of a message besides its content (RFC 5321 §2.3.1).
type Envelope struct {
	ReversePath Address   `json:"reversePath"` // null for bounces
	Body        BodyType  `json:"body,omitempty"`
	ForwardPath []Address `json:"forwardPath"`
}
