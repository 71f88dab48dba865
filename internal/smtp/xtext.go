package smtp

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"waybill/internal/mail"
)

const upperHex = "0123456789ABCDEF"

// appendXtext appends s as xtext: "+" and two upper-case hexadecimal digits for what may not stand in the value of a
// parameter (RFC 3461 §4).
func appendXtext(b []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c > '~' || c == '+' || c == '=' {
			b = append(b, '+', upperHex[c>>4], upperHex[c&15])
			continue
		}
		b = append(b, c)
	}
	return b
}

// decodeXtext decodes xtext; ok is false if s is none, or empty.
func decodeXtext(s string) (decoded string, ok bool) {
	if !isASCIIValue(s) {
		return "", false
	}
	if strings.IndexByte(s, '+') < 0 {
		return s, true
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '+' {
			b = append(b, s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		high, low := strings.IndexByte(upperHex, s[i+1]), strings.IndexByte(upperHex, s[i+2])
		if high < 0 || low < 0 {
			return "", false
		}
		b = append(b, byte(high<<4|low))
		i += 2
	}
	return string(b), true
}

// appendUTF8Address appends an address of type utf-8 in the form of an ORCPT value: utf-8-addr-unitext for a transaction
// with SMTPUTF8, else utf-8-addr-xtext, which is ASCII (RFC 6533 §3).
func appendUTF8Address(b []byte, s string, utf8Allowed bool) []byte {
	for _, r := range s {
		if r <= ' ' || r == '+' || r == '=' || r == '\\' || r == 0x7f || r >= utf8.RuneSelf && !utf8Allowed {
			b = fmt.Appendf(b, `\x{%02X}`, r)
			continue
		}
		b = utf8.AppendRune(b, r)
	}
	return b
}

// maxHexpoint is the length of the longest HEXPOINT, "10FFFF".
const maxHexpoint = 6

// decodeUTF8Address decodes utf-8-addr-xtext or, if UTF-8 may stand in the value, utf-8-addr-unitext (RFC 6533 §3).
func decodeUTF8Address(s string, utf8Allowed bool) (decoded string, ok bool) {
	if s == "" || !utf8.ValidString(s) {
		return "", false
	}
	var b strings.Builder
	for s != "" {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == '\\':
			if r, size, ok = cutHexpoint(s); !ok {
				return "", false
			}
		case r <= ' ' || r == '+' || r == '=' || r == 0x7f || r >= utf8.RuneSelf && !utf8Allowed:
			return "", false
		}
		b.WriteRune(r)
		s = s[size:]
	}
	return b.String(), true
}

// cutHexpoint reads `\x{` HEXPOINT `}` at the start of s: two to six upper-case digits, no more than are needed.
func cutHexpoint(s string) (r rune, size int, ok bool) {
	inner, ok := strings.CutPrefix(s, `\x{`)
	end := strings.IndexByte(inner, '}')
	if !ok || end < 2 || end > maxHexpoint || strings.Trim(inner[:end], upperHex) != "" || end > 2 && inner[0] == '0' {
		return 0, 0, false
	}
	n, err := strconv.ParseInt(inner[:end], 16, 32)
	if err != nil || !utf8.ValidRune(rune(n)) {
		return 0, 0, false
	}
	return rune(n), len(`\x{`) + end + len("}"), true
}

// isPrintable says whether what a parameter held can be put into a report: printable ASCII (RFC 3461 §4.2, §4.4).
func isPrintable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return s != ""
}

// formatOriginal returns the value of ORCPT, or false if it cannot be said: it would break a rule of RFC 3461 §4.2, or of
// RFC 6533 §3.
func formatOriginal(o mail.OriginalRecipient, utf8Allowed bool) (string, bool) {
	b := append([]byte(o.Type), ';')
	switch {
	case strings.EqualFold(o.Type, "utf-8") && mail.IsText(o.Address) && o.Address != "":
		b = appendUTF8Address(b, o.Address, utf8Allowed)
	case isAtom(o.Type) && isPrintable(o.Address):
		b = appendXtext(b, o.Address)
	default:
		return "", false
	}
	return string(b), len(b) <= maxOriginal
}
