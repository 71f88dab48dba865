package message

import (
	"bytes"
	"iter"
	"slices"
	"strings"
)

// Bounds of what Fields looks at. Trace fields are added on top, so those that matter for loops come first.
const (
	MaxHeader = 1 << 20 // octets
	MaxFields = 4000
	maxName   = 256 // octets of a field name; what is longer is no field
)

// Field is one header field.
type Field struct {
	Name  string // as written
	Raw   []byte // the whole field with its folds and its line end: a range of the header
	Value string // unfolded, without white space at both ends; the octets are not decoded
}

// Fields returns the fields of a header in their order. It ends at the empty line, at the end of header, or at its
// bounds MaxHeader and MaxFields. Lines that are no field, and what is folded below them, are skipped. Line ends are
// CR LF, or LF alone as files have them.
func Fields(header []byte) []Field { return slices.Collect(each(header)) }

// HasField says whether the header has a field of that name, in any case of letters.
func HasField(header []byte, name string) bool {
	for range named(header, name) {
		return true
	}
	return false
}

// First returns the value of the first field of that name, in any case of letters; "" if there is none.
func First(header []byte, name string) string {
	for f := range named(header, name) {
		return f.Value
	}
	return ""
}

// CountFields returns the number of fields of a header, and of lines that are none; it has no bounds.
func CountFields(header []byte) (n int) {
	for ; len(header) > 0; n++ {
		header = header[fieldEnd(header):]
	}
	return n
}

// CountReceived returns the number of Received fields: the hops so far (RFC 5321 §6.3).
func CountReceived(header []byte) int {
	n := 0
	for range named(header, "Received") {
		n++
	}
	return n
}

// named yields the fields of that name.
func named(header []byte, name string) iter.Seq[Field] {
	return func(yield func(Field) bool) {
		n := 0
		for raw := range rawFields(header[:min(len(header), MaxHeader)]) {
			if n++; n > MaxFields {
				return
			}
			if len(raw) <= len(name) || !strings.EqualFold(string(raw[:len(name)]), name) { // most are another one
				continue
			}
			if n, value, ok := splitField(raw); ok && len(n) == len(name) && !yield(Field{Name: n, Raw: raw, Value: value}) {
				return
			}
		}
	}
}

// each yields the fields as Fields returns them.
func each(header []byte) iter.Seq[Field] {
	return func(yield func(Field) bool) {
		n := 0
		for f, ok := range Walk(header[:min(len(header), MaxHeader)]) {
			if !ok {
				continue
			}
			if n++; n > MaxFields || !yield(f) {
				return
			}
		}
	}
}

// Walk yields each field of a header with true, and each line that is no field, with what is folded below it, as the Raw
// of a Field with false. It ends at the empty line or at the end of header, and has no bounds besides.
func Walk(header []byte) iter.Seq2[Field, bool] {
	return func(yield func(Field, bool) bool) {
		for raw := range rawFields(header) {
			name, value, ok := splitField(raw)
			if !yield(Field{Name: name, Raw: raw, Value: value}, ok) {
				return
			}
		}
	}
}

// rawFields yields each field and each line that is none, until the empty line or the end of header.
func rawFields(header []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for rest := header; len(rest) > 0; {
			raw := rest[:fieldEnd(rest)]
			rest = rest[len(raw):]
			if len(trimLineEnd(raw)) == 0 || !yield(raw) {
				return
			}
		}
	}
}

// Strip removes from a header, in place, the fields that drop says, and returns what is left: all else stays octet by octet.
func Strip(header []byte, drop func(Field) bool) []byte {
	kept := header[:0]
	for f, ok := range Walk(header) { // reads ahead of what is moved
		if !ok || !drop(f) {
			kept = append(kept, f.Raw...)
		}
	}
	return kept
}

// fieldEnd returns the length of the first line of b with all lines that are folded below it.
func fieldEnd(b []byte) int {
	end := lineEnd(b)
	if len(trimLineEnd(b[:end])) == 0 { // nothing is folded below the empty line
		return end
	}
	for end < len(b) && (b[end] == ' ' || b[end] == '\t') {
		end += lineEnd(b[end:])
	}
	return end
}

func lineEnd(b []byte) int {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return i + 1
	}
	return len(b)
}

func trimLineEnd(line []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
}

func trimSpaceRight(b []byte) []byte { return bytes.TrimRight(b, " \t") }

// splitField takes a field apart. White space before the colon is forgiven (RFC 5322 §4.5.3, obsolete syntax).
func splitField(raw []byte) (name, value string, ok bool) {
	colon := bytes.IndexByte(raw, ':')
	if colon <= 0 || colon > maxName {
		return "", "", false
	}
	n := trimSpaceRight(raw[:colon])
	if !isFieldName(string(n)) {
		return "", "", false
	}
	return string(n), unfold(raw[colon+1:]), true
}

// isFieldName checks RFC 5322 §2.2: printable US-ASCII without the colon.
func isFieldName(name string) bool {
	for i := range len(name) {
		if name[i] <= ' ' || name[i] > '~' || name[i] == ':' {
			return false
		}
	}
	return name != "" && len(name) <= maxName
}

// unfold makes one line of a field's value: each fold becomes one space (RFC 5322 §2.2.3 leaves its white space as it
// is, which is of no use to anybody who reads it).
func unfold(value []byte) string {
	if lineEnd(value) == len(value) {
		return string(bytes.Trim(trimLineEnd(value), " \t"))
	}
	var b strings.Builder
	for first := true; len(value) > 0; first = false {
		end := lineEnd(value)
		line := trimLineEnd(value[:end])
		if !first {
			line = bytes.TrimLeft(line, " \t")
			b.WriteByte(' ')
		}
		b.Write(line)
		value = value[end:]
	}
	return strings.Trim(b.String(), " \t")
}
