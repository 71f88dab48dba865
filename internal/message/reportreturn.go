package message

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"

	"waybill/internal/mail"
)

// isGlobal says whether the report needs the forms of RFC 6533: an address or the header is not ASCII, and the sender
// can take them.
func (r Report) isGlobal() bool {
	ascii := isASCII(r.To.Local) && isASCII(r.Header) && !slices.ContainsFunc(r.Recipients, func(p ReportRecipient) bool {
		return !isASCII(p.ForwardPath.Local) || !isASCII(p.Original.Local) || !isASCII(p.ORCPT.Address)
	})
	return r.International && !ascii
}

// returned is the part with the message, or with its header.
func (r Report) returned(global bool) (part, error) {
	if r.Message != nil {
		var look octets
		if err := r.Message(&look); err != nil {
			return part{}, err
		}
		p := part{contentType: "message/rfc822", description: "The message", encoding: "7bit", stream: r.Message}
		if look.eightBit { // no other encoding is allowed (RFC 2046 §5.2.1)
			p.encoding = "8bit"
		}
		if global && !isASCII(r.Header) {
			p.contentType = "message/global" // RFC 6532 §3.7
		}
		return p, nil
	}
	p := part{contentType: "text/rfc822-headers", description: "Header of the message"}
	quoted := r.quoted()
	p.content, p.encoding = encodeText(quoted)
	if global && !isASCII(quoted) {
		p.contentType = "message/global-headers"
		if isTidy(quoted) {
			p.content, p.encoding = quoted, "8bit"
		}
	}
	return p, nil
}

// quoted is the header of the message, cut behind a line.
func (r Report) quoted() []byte {
	quoted := r.Header
	if len(quoted) > MaxQuoted {
		quoted = quoted[:bytes.LastIndexByte(quoted[:MaxQuoted], '\n')+1]
	}
	return crlf(bytes.Clone(quoted))
}

// isTidy says whether text is UTF-8 that may stand as 8bit in a message.
func isTidy(text []byte) bool {
	for line := range bytes.SplitSeq(text, []byte("\r\n")) {
		if len(line) > maxLine || !utf8.Valid(line) || bytes.IndexByte(line, 0) >= 0 {
			return false
		}
	}
	return true
}

// boundary returns a line that none of the parts has.
func (r Report) boundary(parts []part) (string, error) {
	for n := 0; ; n++ {
		look := octets{wanted: []byte(boundaryOf(r.ID, n))}
		for _, p := range parts {
			if err := p.write(&look); err != nil {
				return "", err
			}
		}
		if !look.found {
			return string(look.wanted), nil
		}
	}
}

func boundaryOf(id mail.ID, n int) string { return fmt.Sprintf("=_report_%s_%d", id, n) }

// octets looks at what is written through it.
type octets struct {
	wanted []byte // may be empty

	found    bool // wanted was among it
	eightBit bool // an octet of 128 or above was
	tail     []byte
}

var _ io.Writer = (*octets)(nil)

// Write takes the next octets, cut anywhere. It never fails.
func (o *octets) Write(p []byte) (int, error) {
	o.eightBit = o.eightBit || !isASCII(p)
	if keep := len(o.wanted) - 1; keep > 0 && !o.found {
		seam := append(o.tail, p[:min(len(p), keep)]...) // wanted may have begun before p
		o.found = bytes.Contains(seam, o.wanted) || bytes.Contains(p, o.wanted)
		if len(p) >= keep {
			seam = p
		}
		o.tail = append(o.tail[:0], seam[max(0, len(seam)-keep):]...)
	}
	return len(p), nil
}
