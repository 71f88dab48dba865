package smtp

import (
	"errors"
	"strings"

	"waybill/internal/dialogue"
	"waybill/internal/mail"
)

// maxReplyText bounds the text of one reply line, so that the line keeps within 512 octets (RFC 5321 §4.5.3.1.5).
const maxReplyText = 490

// appendReply appends s to b as reply lines with CR LF (RFC 5321 §4.2), the enhanced code in each of them
// (RFC 2034 §4). What is not printable ASCII becomes "?": a reply can never be split by what it quotes.
func appendReply(b []byte, s mail.Status) []byte {
	enhanced := s.Enhanced
	for text, more := s.Text, true; more; {
		var line string
		line, text, more = strings.Cut(text, "\n")
		b = appendDigits(b, s.Code)
		if more {
			b = append(b, '-')
		} else {
			b = append(b, ' ')
		}
		if enhanced != (mail.Enhanced{}) {
			b = append(appendEnhanced(b, enhanced), ' ')
		}
		for i := range min(len(line), maxReplyText) {
			c := line[i]
			if c < ' ' || c > '~' {
				c = '?'
			}
			b = append(b, c)
		}
		b = append(b, '\r', '\n')
	}
	return b
}

func appendDigits(b []byte, code int) []byte {
	return append(b, byte('0'+code/100%10), byte('0'+code/10%10), byte('0'+code%10))
}

func appendEnhanced(b []byte, e mail.Enhanced) []byte {
	for i, n := range e {
		if i > 0 {
			b = append(b, '.')
		}
		if n >= 1000 { // not a code of RFC 3463
			n = 0
		}
		if n >= 100 {
			b = append(b, byte('0'+n/100))
		}
		if n >= 10 {
			b = append(b, byte('0'+n/10%10))
		}
		b = append(b, byte('0'+n%10))
	}
	return b
}

// errMalformedReply is what ParseReplyLine says of a line that is no reply.
var errMalformedReply = errors.New("the server's reply is malformed")

// ParseReplyLine reads one line of a reply, without its CR LF: a code from 200 to 599, and after "-" or " "
// the text. more says that further lines of the reply follow. A code alone is forgiven (RFC 5321 §4.2).
func ParseReplyLine(line []byte) (code int, text string, more bool, err error) {
	if len(line) < 3 || line[0] < '2' || line[0] > '5' || !isDigit(line[1]) || !isDigit(line[2]) {
		return 0, "", false, errMalformedReply
	}
	code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	if len(line) == 3 {
		return code, "", false, nil
	}
	if line[3] != ' ' && line[3] != '-' {
		return 0, "", false, errMalformedReply
	}
	return code, string(line[4:]), line[3] == '-', nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// maxStatusText bounds what is kept of a reply's text.
const maxStatusText = 1024

// newStatus makes a Status of the lines of a reply: the enhanced code, if its class agrees with the
// reply code (RFC 2034 §4), is taken off the text, which is made fit for terminals and headers.
func newStatus(code int, lines []string) mail.Status {
	s := mail.Status{Code: code}
	var text strings.Builder
	for i, line := range lines {
		e, rest, ok := cutEnhanced(line)
		if ok && int(e[0]) == code/100 && (i == 0 || e == s.Enhanced) {
			s.Enhanced, line = e, rest
		}
		if i > 0 {
			text.WriteByte('\n')
		}
		text.WriteString(dialogue.Printable(line))
		if text.Len() > maxStatusText {
			break
		}
	}
	s.Text = text.String()
	return s
}

// cutEnhanced reads an enhanced code at the start of a reply's text: class "." subject "." detail (RFC 3463 §2).
func cutEnhanced(line string) (e mail.Enhanced, rest string, ok bool) {
	word, rest, _ := strings.Cut(line, " ")
	for i := range e {
		number, after, found := strings.Cut(word, ".")
		if found != (i < 2) || len(number) == 0 || len(number) > 3 || len(number) > 1 && number[0] == '0' {
			return mail.Enhanced{}, "", false
		}
		for _, c := range []byte(number) {
			if !isDigit(c) {
				return mail.Enhanced{}, "", false
			}
			e[i] = e[i]*10 + uint16(c-'0')
		}
		word = after
	}
	if e[0] != 2 && e[0] != 4 && e[0] != 5 {
		return mail.Enhanced{}, "", false
	}
	return e, rest, true
}
