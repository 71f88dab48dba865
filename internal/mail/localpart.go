package mail

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// parseLocalPart reads a Dot-string or Quoted-string (RFC 5321 §4.1.2, with UTF-8 by RFC 6531 §3.3) from the start of s.
func parseLocalPart(s string) (local, rest string, err error) {
	if strings.HasPrefix(s, `"`) {
		return parseQuoted(s)
	}
	end := strings.IndexByte(s, '@')
	if end < 0 {
		return "", "", fmt.Errorf("address %q has no @domain", printable(s))
	}
	if !isDotString(s[:end]) {
		return "", "", fmt.Errorf("the local-part %q is not valid", printable(s[:end]))
	}
	return s[:end], s[end:], nil
}

func parseQuoted(s string) (local, rest string, err error) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '"':
			if b.Len() == 0 {
				return "", "", errors.New("the quoted local-part is empty")
			}
			if !IsText(b.String()) {
				return "", "", fmt.Errorf("the quoted local-part of %q has a character that is not allowed", printable(s))
			}
			return b.String(), s[i+1:], nil
		case c == '\\' && i+1 < len(s):
			if i++; s[i] >= utf8.RuneSelf { // quoted-pair is for ASCII only (RFC 6531 §3.3)
				return "", "", fmt.Errorf("the quoted local-part of %q has a \\ before what is not ASCII", printable(s))
			}
			c = s[i]
		}
		b.WriteByte(c)
	}
	return "", "", fmt.Errorf("the quoted local-part of %q does not end", printable(s))
}

func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range []byte(s) {
		if c == '"' || c == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	b.WriteByte('"')
	return b.String()
}

// isDotString says whether s is a Dot-string of atoms (RFC 5321 §4.1.2, RFC 6531 §3.3).
func isDotString(s string) bool {
	if s == "" || !IsText(s) {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if c == '.' {
			if i == 0 || i == len(s)-1 || s[i-1] == '.' {
				return false
			}
			continue
		}
		if c < utf8.RuneSelf && !isAtext(c) {
			return false
		}
	}
	return true
}

func isAtext(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

// IsText says whether s is UTF-8 that shows what it is: without control characters, line separators, and the marks that
// turn the direction of text around, by which one address can be made to look like another (RFC 6532 §6).
func IsText(s string) bool {
	if isASCII(s) {
		return strings.IndexFunc(s, unicode.IsControl) < 0
	}
	return utf8.ValidString(s) && strings.IndexFunc(s, isDeceptive) < 0
}

func isDeceptive(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Bidi_Control, unicode.Noncharacter_Code_Point) ||
		r == '\uFEFF' || r == utf8.RuneError
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
