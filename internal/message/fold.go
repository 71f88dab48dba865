package message

import (
	"strings"

	"waybill/internal/dialogue"
)

// lineLength is the length at which lines are folded where that is possible (RFC 5322 §2.1.1), in octets.
const lineLength = 78

// folder writes one header field, and folds it at the spaces between the words that it is given.
type folder struct {
	strings.Builder
	column int
	indent string // begins a folded line
}

// newFolder begins the field of that name.
func newFolder(name, indent string) *folder {
	f := &folder{indent: indent}
	f.Grow(3 * lineLength)
	f.WriteString(name)
	f.WriteByte(':')
	f.column = len(name) + 1
	return f
}

// word adds a word that is not folded within, behind a space or on a new line.
func (f *folder) word(word string) {
	if f.column > len(f.indent) && f.column+1+len(word) > lineLength && !f.atStart() {
		f.newLine()
	}
	if f.column > 0 && !f.lineIsNew() {
		f.WriteByte(' ')
		f.column++
	}
	f.WriteString(word)
	f.column += len(word)
}

// words adds each word of a text.
func (f *folder) words(text string) {
	for word := range strings.FieldsSeq(text) {
		f.word(word)
	}
}

// newLine folds here.
func (f *folder) newLine() {
	f.WriteString("\r\n")
	f.WriteString(f.indent)
	f.column = len(f.indent)
}

// atStart says whether nothing follows the field's name yet: a field does not begin with a line of white space alone.
func (f *folder) atStart() bool { return strings.HasSuffix(f.String(), ":") && f.Len() == f.column }

func (f *folder) lineIsNew() bool { return strings.HasSuffix(f.String(), "\r\n"+f.indent) }

// end returns the field with its line end.
func (f *folder) end() string {
	f.WriteString("\r\n")
	return f.String()
}

var oneLine = strings.NewReplacer("\r\n", " ", "\n", " ", "\t", " ")

// ascii makes the words of a stranger fit for a field: printable US-ASCII, one line, at most limit octets.
func ascii(words string, limit int) string {
	words = strings.Map(func(r rune) rune {
		if r > '~' || r < ' ' {
			return '?'
		}
		return r
	}, dialogue.Printable(oneLine.Replace(words)))
	if len(words) > limit {
		words = words[:limit]
	}
	return words
}
