package smtp

import (
	"slices"
	"strconv"

	"waybill/internal/mail"
)

// offers says whether the server offered an extension, named in upper case.
func (c *Client) offers(keyword string) bool {
	_, offered := c.extensions[keyword]
	return offered
}

// needsUTF8 says whether the transaction may be offered to a server with SMTPUTF8 only.
func (t *Transaction) needsUTF8() bool {
	return t.UTF8 || !t.ReversePath.IsASCII() || slices.ContainsFunc(t.Recipients, func(a mail.Address) bool { return !a.IsASCII() })
}

// mailCommand returns MAIL with the parameters that the server knows.
func (c *Client) mailCommand(t *sending) string {
	line := "MAIL FROM:" + t.ReversePath.Path()
	if c.offers("SIZE") && t.Size > 0 {
		line += " SIZE=" + strconv.FormatInt(t.Size, 10)
	}
	if c.offers("8BITMIME") && (t.Body == mail.Body8BitMIME || t.utf8) { // a UTF-8 header is 8-bit too (RFC 6531 §3.6)
		line += " BODY=8BITMIME"
	}
	if t.utf8 {
		line += " SMTPUTF8"
	}
	if c.offers("DSN") {
		line += dsnParams(t.DSN)
	}
	return line
}

// dsnParams returns RET and ENVID, each with the space before it; not what breaks a rule of RFC 3461 §4.
func dsnParams(d mail.DSN) string {
	line := ""
	if d.Return != "" {
		line += " RET=" + string(d.Return)
	}
	if id := appendXtext(nil, d.EnvelopeID); isPrintable(d.EnvelopeID) && len(id) <= maxEnvelopeID {
		line += " ENVID=" + string(id)
	}
	return line
}

// rcptCommand returns RCPT for a recipient, with the parameters that the server knows.
func (c *Client) rcptCommand(t *sending, i int) string {
	line := "RCPT TO:" + t.Recipients[i].Path()
	if i < len(t.Reports) && c.offers("DSN") {
		line += reportParams(t.Reports[i], t.utf8)
	}
	return line
}

// reportParams returns NOTIFY and ORCPT, each with the space before it. utf8 says whether MAIL has SMTPUTF8.
func reportParams(r mail.Report, utf8 bool) string {
	line := ""
	if when := formatNotify(r.Notify); when != "" {
		line += " NOTIFY=" + when
	}
	if original, ok := formatOriginal(r.Original, utf8); ok {
		line += " ORCPT=" + original
	}
	return line
}
