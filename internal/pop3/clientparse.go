package pop3

import (
	"fmt"
	"strconv"
	"strings"

	"waybill/internal/dialogue"
)

// status is the first line of a reply.
type status struct {
	ok   bool
	code string // upper case, without brackets
	text string
}

// parseStatus reads "+OK text", "-ERR text", "-ERR [CODE] text" (RFC 1939 §3, RFC 2449 §8).
func parseStatus(line string) (s status, err error) {
	word, text, _ := strings.Cut(line, " ")
	switch strings.ToUpper(word) {
	case "+OK":
		s.ok = true
	case "-ERR":
	default:
		return s, malformed("reply", line)
	}
	s.text = strings.TrimLeft(text, " ")
	if inner, found := strings.CutPrefix(s.text, "["); found {
		if code, rest, closed := strings.Cut(inner, "]"); closed {
			s.code, s.text = strings.ToUpper(dialogue.Printable(code)), strings.TrimLeft(rest, " ")
		}
	}
	return s, nil
}

// parseListed reads a line of LIST, or the text of STAT: two numbers, and whatever a server adds.
func parseListed(line string) (n int, size int64, err error) {
	words := strings.Fields(line)
	if len(words) < 2 {
		return 0, 0, malformed("listing", line)
	}
	n, valid := parseNumber(words[0])
	size, err = strconv.ParseInt(words[1], 10, 64)
	if !valid || err != nil || size < 0 || words[1][0] == '+' {
		return 0, 0, malformed("listing", line)
	}
	return n, size, nil
}

// parseUnique reads a line of UIDL: a number and 1 to 70 visible ASCII characters (RFC 1939 §7).
func parseUnique(line string) (n int, uidl string, err error) {
	words := strings.Fields(line)
	if len(words) != 2 || len(words[1]) > 70 {
		return 0, "", malformed("unique id", line)
	}
	for _, c := range []byte(words[1]) {
		if c < 0x21 || c > 0x7e {
			return 0, "", malformed("unique id", line)
		}
	}
	n, valid := parseNumber(words[0])
	if !valid || n < 1 {
		return 0, "", malformed("unique id", line)
	}
	return n, words[1], nil
}

func malformed(what, line string) error {
	return fmt.Errorf("%w: %q is no %s", ErrMalformed, dialogue.Printable(line), what)
}
