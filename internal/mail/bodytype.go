package mail

// BodyType is what the BODY parameter of MAIL declared (RFC 6152 §2).
type BodyType string

const (
	Body7Bit     BodyType = ""         // not declared, or 7BIT
	Body8BitMIME BodyType = "8BITMIME" // octets above 127 may occur
)
