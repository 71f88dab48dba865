package smtp

import "bytes"

// scanner finds the ends of lines and, in the content that follows DATA, stuffed dots and the end of the content, in what
// is received piece by piece.
type scanner struct {
	dots      bool // DATA: a dot that begins a line is stuffed, or the end; in chunks it is content (RFC 3030 §2)
	loose     bool // go on after a bare CR or LF
	lineStart bool // what comes next begins a line: the last octets were CR LF, or there were none yet
}

// found is what ended a span.
type found int

const (
	foundNothing found = iota // the buffer ended, but for octets whose meaning the next ones decide
	foundDot                  // a stuffed dot, which is not part of the content
	foundEnd                  // CR LF . CR LF
	foundBare                 // a CR or LF on its own
)

// next cuts from b the longest span that is content as it stands, and says how many octets of b are done
// with and what came after the span. It works a line at a time.
func (d *scanner) next(b []byte) (span []byte, used int, what found) {
	if !d.dots && !d.loose && lineEndsMatch(b, false) { // else whoever makes bare line ends would have b looked at for each
		return d.clean(b)
	}
	for i := 0; i < len(b); {
		if d.dots && d.lineStart && b[i] == '.' {
			return d.dot(b, i)
		}
		end := i + d.lineEnd(b[i:])
		switch {
		case end < i:
			d.lineStart = false
			return b, len(b), foundNothing
		case b[end] == '\r' && end == len(b)-1: // what comes next decides
			d.lineStart = d.lineStart && end == i
			return b[:end], end, foundNothing
		case b[end] == '\r' && b[end+1] == '\n':
			i = end + 2
			d.lineStart = true
		default:
			d.lineStart = false // only CR LF begins a line whose dot has a meaning
			return b[:end], end + 1, foundBare
		}
	}
	return b, len(b), foundNothing
}

// clean cuts b, whose line ends are in order, and in which dots mean nothing.
func (d *scanner) clean(b []byte) (span []byte, used int, what found) {
	if n := len(b); n > 0 && b[n-1] == '\r' { // what comes next decides
		b = b[:n-1]
	}
	if len(b) > 0 {
		d.lineStart = b[len(b)-1] == '\n'
	}
	return b, len(b), foundNothing
}

// lineEnd returns the index of the first CR or LF in b, or -1. Strict scanning ends with the first that is bare, so it may
// look for LF first, which is quickest; else CRs without an LF would cost the more the more there are.
func (d *scanner) lineEnd(b []byte) int {
	if d.loose {
		return bytes.IndexAny(b, "\r\n")
	}
	lf := bytes.IndexByte(b, '\n')
	if lf >= 0 {
		b = b[:lf]
	}
	if cr := bytes.IndexByte(b, '\r'); cr >= 0 {
		return cr
	}
	return lf
}

// endOfData is what ends the content (RFC 5321 §4.1.1.4); its first CR LF is that of the last line.
var endOfData = []byte("\r\n.\r\n")

// skip returns how many octets of b are done with when only the end of the content is looked for, and whether it came.
func (d *scanner) skip(b []byte) (used int, end bool) {
	if d.lineStart {
		switch dot := endOfData[2:]; {
		case bytes.HasPrefix(b, dot):
			return len(dot), true
		case bytes.HasPrefix(dot, b):
			return 0, false // more of it may come
		}
		d.lineStart = false
	}
	if i := bytes.Index(b, endOfData); i >= 0 {
		return i + len(endOfData), true
	}
	return max(0, len(b)-len(endOfData)+1), false
}

// dot decides about the dot at b[i] that begins a line (RFC 5321 §4.5.2).
func (d *scanner) dot(b []byte, i int) (span []byte, used int, what found) {
	rest := b[i+1:]
	if len(rest) == 0 || len(rest) == 1 && rest[0] == '\r' {
		return b[:i], i, foundNothing
	}
	if rest[0] == '\r' && rest[1] == '\n' {
		return b[:i], i + 3, foundEnd
	}
	d.lineStart = false
	return b[:i], i + 1, foundDot
}
