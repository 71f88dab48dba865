package explain

import (
	"io"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"waybill/internal/dialogue"
)

// page writes lines that are wrapped, aligned and coloured. Every text goes through printable: what a stranger said
// cannot reach the terminal as anything but text.
type page struct {
	out   io.Writer
	width int
	color bool
	err   error // the first one
}

// strong is the tone of titles.
const strong Tone = -1

var codes = map[Tone]string{
	strong: "\x1b[1m", Good: "\x1b[32m", Bad: "\x1b[31m", Faint: "\x1b[2m", FromClient: "\x1b[36m", FromServer: "\x1b[33m",
}

func (p *page) write(s string) {
	if p.err == nil {
		_, p.err = io.WriteString(p.out, s)
	}
}

func (p *page) blank() { p.write("\n") }

// text writes a paragraph.
func (p *page) text(indent int, text string, tone Tone) {
	p.hanging(strings.Repeat(" ", indent*indentWidth), Plain, text, tone)
}

// labelled writes a paragraph beside a label.
func (p *page) labelled(indent int, label, text string, tone Tone) {
	p.hanging(strings.Repeat(" ", indent*indentWidth)+pad(label, labelWidth), Faint, text, tone)
}

// hanging writes a paragraph whose first line begins with margin and whose others stand below its text.
func (p *page) hanging(margin string, marginTone Tone, text string, tone Tone) {
	p.lines(margin, marginTone, wrap(clean(text), p.width-utf8.RuneCountInString(margin)), tone)
}

// folded writes a paragraph whose further lines stand hang columns right of its first one.
func (p *page) folded(margin, text string, tone Tone, hang int) {
	lines := wrap(clean(text), p.width-len(margin))
	if len(lines) > 1 && hang > 0 {
		rest := strings.Join(lines[1:], " ")
		p.lines(margin, Plain, lines[:1], tone)
		margin += strings.Repeat(" ", hang)
		lines = wrap(rest, p.width-len(margin))
	}
	p.lines(margin, Plain, lines, tone)
}

// lines writes the first line beside the margin and the others below its text.
func (p *page) lines(margin string, marginTone Tone, lines []string, tone Tone) {
	margin = clean(margin)
	columns := utf8.RuneCountInString(margin)
	for i, line := range lines {
		if i > 0 {
			margin = strings.Repeat(" ", columns)
		}
		p.write(strings.TrimRight(p.paint(margin, marginTone)+p.paint(line, tone), " ") + "\n")
	}
}

func (p *page) paint(text string, tone Tone) string {
	code := codes[tone]
	if !p.color || code == "" || strings.TrimSpace(text) == "" {
		return text
	}
	return code + text + "\x1b[0m"
}

// clean makes a text printable, however long it is.
func clean(text string) string {
	const piece = 400 // below the bound of Printable, which would cut
	var b strings.Builder
	for len(text) > piece {
		end := piece
		for end > piece-utf8.UTFMax && !utf8.RuneStart(text[end]) {
			end--
		}
		b.WriteString(dialogue.Printable(text[:end]))
		text = text[end:]
		if b.Len() > maxText {
			return b.String() + "…"
		}
	}
	return b.String() + dialogue.Printable(text)
}

// maxText bounds one text on the page, in octets.
const maxText = 4096

// wrap breaks text at spaces into lines of at most width columns, where that is possible.
func wrap(text string, width int) []string {
	var lines []string
	for utf8.RuneCountInString(text) > width {
		limit := 0 // offset of the column behind the last one
		for range width {
			_, n := utf8.DecodeRuneInString(text[limit:])
			limit += n
		}
		indent := len(text) - len(strings.TrimLeft(text, " "))
		cut := strings.LastIndexByte(text[:min(limit+1, len(text))], ' ')
		if cut <= indent { // one long word
			if cut = strings.IndexByte(text[limit:], ' '); cut < 0 {
				break
			}
			cut += limit
		}
		lines = append(lines, strings.TrimRight(text[:cut], " "))
		text = strings.TrimLeft(text[cut:], " ")
	}
	return append(lines, text)
}

// pad fills text up to width columns, and leaves one space behind a longer one.
func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(1, width-utf8.RuneCountInString(text)))
}

// span writes a duration with three digits or so.
func span(d time.Duration) string {
	switch {
	case d == math.MinInt64: // has no counterpart; only a clock out of its mind gives it
		return "long before"
	case d < 0:
		return "-" + span(-d)
	case d < 10*time.Millisecond:
		return number(d, time.Millisecond, 2) + " ms"
	case d < time.Second:
		return number(d, time.Millisecond, 1) + " ms"
	case d < 2*time.Minute:
		return number(d, time.Second, 3) + " s"
	}
	return d.Round(time.Second).String()
}

func number(d, unit time.Duration, digits int) string {
	return strconv.FormatFloat(float64(d)/float64(unit), 'f', digits, 64)
}

// stamp writes a time in full, clock that of the day; both in UTC.
func stamp(at time.Time) string { return at.UTC().Format("Mon, 2 Jan 2006 15:04:05.000 UTC") }

func clock(at time.Time) string { return at.UTC().Format("15:04:05.000 UTC") }
