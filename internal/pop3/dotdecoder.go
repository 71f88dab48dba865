package pop3

import "bytes"

// dotDecoder finds the end of a multi-line reply in a stream of octets and undoes its dot-stuffing
// (RFC 1939 §3). Only CR LF ends a line: a lone CR or LF is content.
type dotDecoder struct{ at place }

// place is what the decoder has just seen.
type place uint8

const (
	lineStart place = iota
	dotSeen         // the dot that begins a line, withheld
	dotCRSeen       // and a CR, withheld too
	inLine
	crSeen // the CR is content already
	ended
)

// done says whether the end has been seen. What follows it belongs to the next reply.
func (d *dotDecoder) done() bool { return d.at == ended }

// next looks at the start of buf, which is not empty: it used so many octets of it, and they yield this content
// (part of buf, or a withheld CR).
func (d *dotDecoder) next(buf []byte) (content []byte, used int) {
	first := buf[0]
	switch {
	case d.at == lineStart && first == '.':
		d.at = dotSeen
		return nil, 1
	case d.at == dotSeen && first == '\r':
		d.at = dotCRSeen
		return nil, 1
	case d.at == dotCRSeen && first == '\n':
		d.at = ended
		return nil, 1
	case d.at == dotCRSeen: // a line that begins with CR, stuffed although it need not be
		d.at = crSeen
		return []byte{'\r'}, 0
	case d.at == crSeen && first == '\n':
		d.at = lineStart
		return buf[:1], 1
	}
	return d.bulk(buf)
}

// bulk passes everything up to the next line that begins with a dot.
func (d *dotDecoder) bulk(buf []byte) (content []byte, used int) {
	if i := bytes.Index(buf, []byte("\r\n.")); i >= 0 {
		d.at = lineStart
		return buf[:i+2], i + 2
	}
	switch {
	case bytes.HasSuffix(buf, []byte("\r\n")):
		d.at = lineStart
	case buf[len(buf)-1] == '\r':
		d.at = crSeen
	default:
		d.at = inLine
	}
	return buf, len(buf)
}
