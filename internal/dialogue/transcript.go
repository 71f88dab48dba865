// Package dialogue is what the line protocols of mail (SMTP, POP3) have in common on the wire:
// a connection that is read line by line, strictly and within bounds, whose replies leave in one
// write per pipelined group, and the transcript of what both sides said.
package dialogue

import (
	"strings"
	"time"
)

// Side says who spoke.
type Side string

const (
	Client Side = "C"
	Server Side = "S"
	Note   Side = "*" // not spoken: something that happened, in words ("TLS 1.3 established")
)

// Line is one line of a dialogue, without its line end, never with a secret or a message's content.
type Line struct {
	At   time.Time `json:"at"`
	Side Side      `json:"side"`
	Text string    `json:"text"`
}

// Bounds of a transcript: what a session may make us remember.
const (
	maxLines    = 200
	maxLineText = 512
	maxOctets   = 32 << 10
)

// Transcript collects the lines of a session, the first ones in full and the rest as a count.
// The zero value is ready for use. It is not safe for concurrent use.
type Transcript struct {
	lines   []Line
	octets  int
	Dropped int // lines that came after the limit
}

// Add appends one line; control characters are replaced, so that it can be shown on a terminal.
func (t *Transcript) Add(side Side, text string) {
	if len(t.lines) >= maxLines || t.octets >= maxOctets {
		t.Dropped++
		return
	}
	text = Printable(text)
	t.octets += len(text)
	t.lines = append(t.lines, Line{At: time.Now(), Side: side, Text: text})
}

// Len returns the number of lines kept; Lines()[n:] after it are those added since.
func (t *Transcript) Len() int { return len(t.lines) }

// Lines returns the lines kept so far. The caller must not change them.
func (t *Transcript) Lines() []Line { return t.lines[:len(t.lines):len(t.lines)] }

// Cut returns the lines kept so far and begins anew: what was told once need not be kept in a long session.
func (t *Transcript) Cut() []Line {
	lines := t.lines
	t.lines, t.octets, t.Dropped = nil, 0, 0
	return lines
}

// Printable bounds text and replaces control characters and broken UTF-8 by "?", so that words of a
// stranger can be shown on a terminal, logged, or put into a header field.
func Printable(text string) string {
	if len(text) > maxLineText {
		text = text[:maxLineText] + "…"
	}
	clean := true
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			clean = false
			break
		}
	}
	if clean {
		return text
	}
	return strings.Map(func(r rune) rune {
		// C0, DEL, C1 and what is not UTF-8; also the marks that turn the direction of text around.
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == 0xfffd || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '?'
		}
		return r
	}, text)
}
