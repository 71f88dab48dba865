package smtp

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"waybill/internal/mail"
)

// ParseCommand splits a command line, without its CR LF, into the verb in upper case and the argument
// without spaces around it. A verb of more than 10 octets is none that exists and comes back as "".
func ParseCommand(line []byte) (verb, argument string) {
	end := 0
	for end < len(line) && line[end] != ' ' {
		end++
	}
	argument = strings.Trim(string(line[end:]), " ")
	var upper [maxVerb]byte
	if end > maxVerb {
		return "", argument
	}
	for i, c := range line[:end] {
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		upper[i] = c
	}
	return string(upper[:end]), argument
}

const maxVerb = 10

// ParseHello checks the argument of HELO or EHLO. The name can be anything that is one printable word:
// nobody may be refused for what he calls himself (RFC 5321 §4.1.4), and nothing is believed of it.
func ParseHello(argument string) (string, error) {
	if argument == "" {
		return "", syntax(syntaxError, "The host name is missing: HELO name")
	}
	if len(argument) > mail.MaxDomain {
		return "", syntax(syntaxError, "The host name is too long")
	}
	for i := range len(argument) {
		if argument[i] <= ' ' || argument[i] > '~' {
			return "", syntax(syntaxError, "The host name must be one word of ASCII")
		}
	}
	return argument, nil
}

// ParseMail reads the argument of MAIL: FROM:<reverse-path> and parameters (RFC 5321 §4.1.1.2). A space after
// the colon and missing brackets are forgiven. extended says whether the client said EHLO: parameters belong to extensions,
// which HELO does not negotiate. Errors are *mail.Error with the reply.
func ParseMail(argument string, extended bool) (reverse mail.Address, p MailParams, err error) {
	path, ok := cutKeyword(argument, "FROM:")
	if !ok {
		return reverse, p, syntax(syntaxError, "The syntax is MAIL FROM:<address>")
	}
	reverse, rest, err := mail.ParsePath(path)
	if err != nil {
		return reverse, p, &mail.Error{Status: badSender.WithText("Bad sender address: %v", err), Err: err}
	}
	if reverse.Domain == "" && !reverse.IsNull() {
		return reverse, p, syntax(badSender, "Bad sender address: it has no @domain")
	}
	err = eachParam(rest, extended, func(key, value string) error { return mailParam(&p, key, value) })
	if err == nil && !p.UTF8 && !isASCII(path) {
		err = &mail.Error{Status: needsUTF8}
	}
	return reverse, p, err
}

func mailParam(p *MailParams, key, value string) (err error) {
	switch key {
	case "SIZE": // RFC 1870 §4: up to 20 digits
		p.Size, err = parseSize(value)
	case "BODY": // BINARYMIME would be of RFC 3030, and is not offered
		switch strings.ToUpper(value) {
		case "7BIT":
		case "8BITMIME":
			p.Body = mail.Body8BitMIME
		default:
			return syntax(syntaxError, "BODY must be 7BIT or 8BITMIME")
		}
	case "SMTPUTF8": // RFC 6531 §3.4
		if value != "" {
			return syntax(syntaxError, "SMTPUTF8 takes no value")
		}
		p.UTF8 = true
	case "RET":
		p.DSN.Return, err = parseReturn(value)
	case "ENVID":
		p.DSN.EnvelopeID, err = parseEnvelopeID(value)
	case "AUTH": // RFC 4954 §5: who submitted it first; taken and not believed
		if _, ok := decodeXtext(value); !ok {
			return syntax(syntaxError, "AUTH needs an address in xtext, or <>")
		}
	default:
		return syntax(unknownParam, "Parameter "+key+" is not recognized")
	}
	return err
}

func parseSize(value string) (int64, error) {
	if value == "" || len(value) > 20 || strings.Trim(value, digits) != "" {
		return 0, syntax(syntaxError, "SIZE must be a number of octets")
	}
	size, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return 0, &mail.Error{Status: messageTooLarge, Err: err}
	}
	return size, nil
}

const digits = "0123456789"

// ParseRcpt reads the argument of RCPT: TO:<forward-path> (RFC 5321 §4.1.1.3), as ParseMail does. utf8 says whether MAIL
// had SMTPUTF8.
func ParseRcpt(argument string, extended, utf8 bool) (forward mail.Address, p RcptParams, err error) {
	path, ok := cutKeyword(argument, "TO:")
	if !ok {
		return forward, p, syntax(syntaxError, "The syntax is RCPT TO:<address>")
	}
	forward, rest, err := mail.ParsePath(path)
	if err != nil {
		return forward, p, &mail.Error{Status: badRecipient.WithText("Bad recipient address: %v", err), Err: err}
	}
	if forward.IsNull() {
		return forward, p, syntax(badRecipient, "Bad recipient address: it is empty")
	}
	if !utf8 && !isASCII(path) {
		return forward, p, &mail.Error{Status: needsUTF8}
	}
	err = eachParam(rest, extended, func(key, value string) (err error) {
		switch key {
		case "NOTIFY":
			p.Report.Notify, err = parseNotify(value)
		case "ORCPT":
			p.Report.Original, err = parseOriginal(value, utf8)
		default:
			err = syntax(unknownParam, "Parameter "+key+" is not recognized")
		}
		return err
	})
	return forward, p, err
}

// cutKeyword removes keyword in any case, and spaces after it.
func cutKeyword(s, keyword string) (rest string, ok bool) {
	if len(s) < len(keyword) || !strings.EqualFold(s[:len(keyword)], keyword) {
		return "", false
	}
	return strings.TrimLeft(s[len(keyword):], " "), true
}

// eachParam calls f with each esmtp-param of s: SP keyword ["=" value] (RFC 5321 §4.1.2). None may be there twice.
func eachParam(s string, extended bool, f func(key, value string) error) error {
	if s != "" && s[0] != ' ' {
		return syntax(syntaxError, "A space must follow the address")
	}
	var seen []string
	for word := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == ' ' }) {
		if !extended { // RFC 5321 §4.1.1.2: "if service extensions were negotiated"
			return &mail.Error{Status: needsEHLO}
		}
		key, value, valued := strings.Cut(word, "=")
		if !isKeyword(key) || valued && !isParamValue(value) {
			return syntax(syntaxError, "A parameter is malformed")
		}
		key = strings.ToUpper(key)
		if slices.Contains(seen, key) {
			return syntax(syntaxError, "Parameter "+key+" is given twice")
		}
		if err := f(key, value); err != nil { // for one that we do not know too: so seen stays short
			return err
		}
		seen = append(seen, key)
	}
	return nil
}

func isKeyword(s string) bool {
	for i := range len(s) {
		c := s[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alnum && (c != '-' || i == 0) {
			return false
		}
	}
	return s != ""
}

// isParamValue checks for an esmtp-value: anything but control characters, "=" and space; UTF-8 by RFC 6531 §3.3, for
// parameters that know it.
func isParamValue(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f || s[i] == '=' {
			return false
		}
	}
	return s != ""
}

// isASCIIValue checks for an esmtp-value without UTF-8.
func isASCIIValue(s string) bool { return isParamValue(s) && isASCII(s) }

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}

func syntax(s mail.Status, text string) error {
	s.Text = text
	return &mail.Error{Status: s}
}
