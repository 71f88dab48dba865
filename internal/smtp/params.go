package smtp

import (
	"strconv"
	"strings"

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
// the colon and missing brackets are forgiven. Errors are *mail.Error with the reply.
func ParseMail(argument string) (reverse mail.Address, p MailParams, err error) {
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
	seen := 0
	err = eachParam(rest, func(key, value string) error {
		flag, err := mailParam(&p, key, value)
		if err == nil && seen&flag != 0 {
			err = syntax(syntaxError, "Parameter "+key+" is given twice")
		}
		seen |= flag
		return err
	})
	return reverse, p, err
}

// Flags by which a parameter that is given twice is found.
const (
	sizeGiven = 1 << iota
	bodyGiven
	authGiven
)

func mailParam(p *MailParams, key, value string) (flag int, err error) {
	switch key {
	case "SIZE": // RFC 1870 §4: up to 20 digits
		p.Size, err = parseSize(value)
		return sizeGiven, err
	case "BODY":
		switch strings.ToUpper(value) {
		case "7BIT":
		case "8BITMIME":
			p.Body = mail.Body8BitMIME
		default:
			return 0, syntax(syntaxError, "BODY must be 7BIT or 8BITMIME")
		}
		return bodyGiven, nil
	case "AUTH": // RFC 4954 §5: who submitted it first; taken and not believed
		if !isXtext(value) {
			return 0, syntax(syntaxError, "AUTH needs an address in xtext, or <>")
		}
		return authGiven, nil
	}
	return 0, syntax(unknownParam, "Parameter "+key+" is not recognized")
}

func parseSize(value string) (int64, error) {
	if value == "" || len(value) > 20 || strings.Trim(value, "0123456789") != "" {
		return 0, syntax(syntaxError, "SIZE must be a number of octets")
	}
	size, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return 0, &mail.Error{Status: messageTooLarge, Err: err}
	}
	return size, nil
}

// ParseRcpt reads the argument of RCPT: TO:<forward-path> (RFC 5321 §4.1.1.3), as ParseMail does.
func ParseRcpt(argument string) (forward mail.Address, p RcptParams, err error) {
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
	err = eachParam(rest, func(key, _ string) error {
		return syntax(unknownParam, "Parameter "+key+" is not recognized")
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

// eachParam calls f with each esmtp-param of s: SP keyword ["=" value] (RFC 5321 §4.1.2).
func eachParam(s string, f func(key, value string) error) error {
	if s != "" && s[0] != ' ' {
		return syntax(syntaxError, "A space must follow the address")
	}
	for word := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == ' ' }) {
		key, value, valued := strings.Cut(word, "=")
		if !isKeyword(key) || valued && !isParamValue(value) {
			return syntax(syntaxError, "A parameter is malformed")
		}
		if err := f(strings.ToUpper(key), value); err != nil {
			return err
		}
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

// isParamValue checks for printable ASCII without "=" and space.
func isParamValue(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' || s[i] == '=' {
			return false
		}
	}
	return s != ""
}

// isXtext checks RFC 3461 §4: printable ASCII in which "+" begins two upper-case hexadecimal digits.
func isXtext(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] == '+' {
			if i+2 >= len(s) || strings.Trim(s[i+1:i+3], "0123456789ABCDEF") != "" {
				return false
			}
			i += 2
		}
	}
	return isParamValue(s)
}

func syntax(s mail.Status, text string) error {
	s.Text = text
	return &mail.Error{Status: s}
}
