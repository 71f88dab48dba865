package smtp

import (
	"strings"

	"waybill/internal/mail"
)

// Greatest lengths of values, in octets.
const (
	maxEnvelopeID = 100 // RFC 3461 §4.4
	maxOriginal   = 500 // RFC 3461 §4.2
)

// parseReturn reads the value of RET (RFC 3461 §4.3).
func parseReturn(value string) (mail.Return, error) {
	switch r := mail.Return(strings.ToUpper(value)); r {
	case mail.ReturnFull, mail.ReturnHeader:
		return r, nil
	}
	return "", syntax(syntaxError, "RET must be FULL or HDRS")
}

// parseEnvelopeID reads the value of ENVID (RFC 3461 §4.4).
func parseEnvelopeID(value string) (string, error) {
	id, ok := decodeXtext(value)
	if !ok || !isPrintable(id) || len(value) > maxEnvelopeID {
		return "", syntax(syntaxError, "ENVID must be printable ASCII in xtext, of at most 100 octets")
	}
	return id, nil
}

// notifyWords are those of NOTIFY, in the order in which they are written.
var notifyWords = []struct {
	word string
	when mail.Notify
}{{"NEVER", mail.NotifyNever}, {"SUCCESS", mail.NotifySuccess}, {"FAILURE", mail.NotifyFailure}, {"DELAY", mail.NotifyDelay}}

// parseNotify reads the value of NOTIFY: NEVER, or a list of the others, each once (RFC 3461 §4.1).
func parseNotify(value string) (mail.Notify, error) {
	var notify mail.Notify
	for word := range strings.SplitSeq(value, ",") {
		when := notifyWhen(word)
		if when == 0 || notify&(when|mail.NotifyNever) != 0 || notify != 0 && when == mail.NotifyNever {
			return 0, syntax(syntaxError, "NOTIFY must be NEVER, or a list of SUCCESS, FAILURE and DELAY")
		}
		notify |= when
	}
	return notify, nil
}

func notifyWhen(word string) mail.Notify {
	for _, n := range notifyWords {
		if strings.EqualFold(word, n.word) {
			return n.when
		}
	}
	return 0
}

// formatNotify returns the value of NOTIFY, "" if there is nothing to say.
func formatNotify(notify mail.Notify) string {
	if notify&mail.NotifyNever != 0 {
		return "NEVER"
	}
	var words []string
	for _, n := range notifyWords {
		if notify&n.when != 0 {
			words = append(words, n.word)
		}
	}
	return strings.Join(words, ",")
}

// parseOriginal reads the value of ORCPT: addr-type ";" xtext (RFC 3461 §4.2), or what RFC 6533 §3 has for the type utf-8.
func parseOriginal(value string, utf8Allowed bool) (mail.OriginalRecipient, error) {
	kind, encoded, found := strings.Cut(value, ";")
	o := mail.OriginalRecipient{Type: kind}
	var ok bool
	if strings.EqualFold(kind, "utf-8") {
		o.Address, ok = decodeUTF8Address(encoded, utf8Allowed)
		ok = ok && mail.IsText(o.Address)
	} else {
		o.Address, ok = decodeXtext(encoded)
		ok = ok && isAtom(kind) && isPrintable(o.Address)
	}
	if !ok || !found || len(value) > maxOriginal {
		return mail.OriginalRecipient{}, syntax(syntaxError, "ORCPT must be a type, a semicolon and an address in xtext, of at most 500 octets")
	}
	return o, nil
}

// isAtom says whether s is an atom of RFC 5322 §3.2.3, as the address type of ORCPT must be.
func isAtom(s string) bool {
	for i := range len(s) {
		c := s[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alnum && strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) < 0 {
			return false
		}
	}
	return s != ""
}
