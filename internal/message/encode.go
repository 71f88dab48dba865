package message

import (
	"bytes"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"strings"
	"unicode/utf8"
)

// maxLine is the longest line that a message may have, in octets without the line end (RFC 5322 §2.1.1).
const maxLine = 998

// crlf ends each line of text with CR LF, the last one too. A CR alone is a line end as well.
func crlf(text []byte) []byte {
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	text = bytes.ReplaceAll(text, []byte("\r"), []byte("\n"))
	if len(text) > 0 && text[len(text)-1] != '\n' {
		text = append(text, '\n')
	}
	return bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
}

// encodeText returns text, whose lines end with CR LF, and its Content-Transfer-Encoding: as it is if it is 7-bit
// with lines of bearable length, else quoted-printable (RFC 2045 §6.7).
func encodeText(text []byte) (encoded []byte, encoding string) {
	if plain(text) {
		return text, "7bit"
	}
	var b bytes.Buffer
	w := quotedprintable.NewWriter(&b)
	w.Write(text) // a bytes.Buffer takes everything
	w.Close()
	return b.Bytes(), "quoted-printable"
}

func plain(text []byte) bool {
	for line := range bytes.SplitSeq(text, []byte("\r\n")) {
		if len(line) > maxLine || bytes.ContainsFunc(line, func(r rune) bool { return r > '~' || r < ' ' && r != '\t' }) {
			return false
		}
	}
	return true
}

// unstructured writes a field of free text, as encoded-words where it is not plain ASCII with single spaces or could
// be taken for one, or a word is too long for a line (RFC 2047).
func unstructured(name, text string) string {
	f := newFolder(name, " ")
	text = strings.ToValidUTF8(text, "?")
	if text == ascii(text, len(text)) && text == strings.Join(strings.Fields(text), " ") && !strings.Contains(text, "=?") && !hasLongWord(text) {
		f.words(text)
		return f.end()
	}
	for room := lineLength - len(name) - len(": "); text != ""; room = lineLength - len(f.indent) {
		word, n := encodedWord(text, min(room, maxEncodedWord))
		f.word(word)
		text = text[n:]
	}
	return f.end()
}

// hasLongWord says whether a word could not stand on a line.
func hasLongWord(text string) bool {
	for word := range strings.FieldsSeq(text) {
		if len(word) > maxLine/2 {
			return true
		}
	}
	return false
}

// maxEncodedWord is the longest encoded-word, in octets (RFC 2047 §2).
const maxEncodedWord = 75

// encodedWord encodes as much of text as fits into one encoded-word, and returns how many octets of text that is.
func encodedWord(text string, room int) (word string, n int) {
	var b strings.Builder
	b.WriteString("=?utf-8?q?")
	for i, r := range text {
		coded := codeRune(r)
		if i > 0 && b.Len()+len(coded)+len("?=") > room {
			break
		}
		b.WriteString(coded)
		n = i + utf8.RuneLen(r)
	}
	return b.String() + "?=", n
}

// codeRune is a character in the Q encoding (RFC 2047 §4.2).
func codeRune(r rune) string {
	switch {
	case r == ' ':
		return "_"
	case r > ' ' && r <= '~' && !strings.ContainsRune("=?_", r):
		return string(r)
	}
	var b strings.Builder
	for _, octet := range []byte(string(r)) {
		fmt.Fprintf(&b, "=%02X", octet)
	}
	return b.String()
}

// decode reads encoded-words as people are to see them; what cannot be decoded stays as it is.
func decode(value string) string {
	var d mime.WordDecoder
	if text, err := d.DecodeHeader(value); err == nil {
		return text
	}
	return value
}
