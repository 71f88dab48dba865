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
	text    []byte // of all lines, one after the other: thousands of sessions keep one while they idle
	marks   []mark
	Dropped int // lines that came after the limit
	live    func(Line)
}

// Follow has see called with each line from now on, those after the limit too; nil ends that.
func (t *Transcript) Follow(see func(Line)) { t.live = see }

// mark is where a line ends in the text.
type mark struct {
	at   int64 // Unix time in nanoseconds
	end  uint32
	side byte // the only octet of its Side
}

// Add appends one line; control characters are replaced, so that it can be shown on a terminal.
func (t *Transcript) Add(side Side, text string) {
	if t.live != nil {
		t.live(Line{At: time.Now(), Side: side, Text: Printable(text)})
	}
	if len(t.marks) >= maxLines || len(t.text) >= maxOctets {
		t.Dropped++
		return
	}
	t.text = append(t.text, Printable(text)...)
	t.mark(side)
}

// AddBytes is Add for text that the caller goes on to use; most of what is said needs no copy but the one that is kept.
func (t *Transcript) AddBytes(side Side, text []byte) {
	if t.live != nil || len(t.marks) >= maxLines || len(t.text) >= maxOctets || len(text) > maxLineText || !isPlain(text) {
		t.Add(side, string(text))
		return
	}
	t.text = append(t.text, text...)
	t.mark(side)
}

func (t *Transcript) mark(side Side) {
	t.marks = append(t.marks, mark{at: time.Now().UnixNano(), end: uint32(len(t.text)), side: side[0]})
}

// Len returns the number of lines kept; Lines()[n:] after it are those added since.
func (t *Transcript) Len() int { return len(t.marks) }

// Lines returns the lines kept so far.
func (t *Transcript) Lines() []Line {
	if len(t.marks) == 0 {
		return nil
	}
	lines, text, begin := make([]Line, len(t.marks)), string(t.text), uint32(0)
	for i, m := range t.marks {
		lines[i] = Line{At: time.Unix(0, m.at), Side: sideOf(m.side), Text: text[begin:m.end]}
		begin = m.end
	}
	return lines
}

func sideOf(octet byte) Side {
	for _, side := range []Side{Client, Server, Note} {
		if side[0] == octet {
			return side
		}
	}
	return Note
}

// Cut returns the lines kept so far and begins anew: what was told once need not be kept in a long session.
func (t *Transcript) Cut() []Line {
	lines := t.Lines()
	*t = Transcript{live: t.live}
	return lines
}

// Printable bounds text and replaces control characters and broken UTF-8 by "?", so that words of a
// stranger can be shown on a terminal, logged, or put into a header field.
func Printable(text string) string {
	if len(text) > maxLineText {
		text = text[:maxLineText] + "…"
	}
	if isPlain(text) {
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

// isPlain says whether text is printable ASCII.
func isPlain[T string | []byte](text T) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}
