package message

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"mime"
	"strings"
)

// Part is where a part of a message stands, in octets from the message's beginning: its header, its body behind the empty
// line, and its end. The first part is the message itself; a part belongs to the last one before it of a lesser depth.
type Part struct {
	Depth             int
	Header, Body, End int64
	Lines             int64 // line ends of the body
}

// Bounds of an index. What is beyond them belongs to the part in which it stands.
const (
	maxParts      = 1000
	maxDepth      = 50
	maxPartHeader = 64 << 10 // octets of a part's header that are looked at
	maxBoundary   = 70       // octets (RFC 2046 §5.1.1)
	maxDelimiter  = 100      // of a line that is looked at: "--", a boundary, "--", and some white space
)

// Indexer finds the parts of a message as it passes by (RFC 2045, RFC 2046), so that a client can be given any of them without
// reading the message again. It never fails on bad mail: whatever has no part in it is one part.
type Indexer struct {
	next   io.Writer
	at     int64 // octets so far
	parts  []Part
	open   []opened // multiparts around what comes next, the outermost first
	state  indexState
	head   []byte // of the part whose header comes
	line   []byte // the beginning of the line
	lineAt int64  // where it is
	start  bool   // what comes begins a line
	ends   int64  // line ends of the body so far
}

// opened is a multipart.
type opened struct {
	part     int
	boundary string
}

type indexState uint8

const (
	inHeader indexState = iota
	inBody              // of a part without parts
	between             // before the first part of a multipart, or behind its last one
)

// NewIndexer returns an Indexer that passes everything on to next.
func NewIndexer(next io.Writer) *Indexer {
	return &Indexer{next: next, parts: make([]Part, 1, 4), start: true}
}

// Write implements io.Writer; its errors are those of next.
func (x *Indexer) Write(p []byte) (int, error) {
	n, err := x.next.Write(p)
	x.see(p[:n])
	return n, err
}

func (x *Indexer) see(p []byte) {
	for len(p) > 0 {
		if x.state == inBody && len(x.open) == 0 { // nothing but the end can come
			x.ends += int64(bytes.Count(p, []byte("\n")))
			x.at += int64(len(p))
			return
		}
		end := bytes.IndexByte(p, '\n') + 1
		whole := end > 0
		if !whole {
			end = len(p)
		}
		x.piece(p[:end], whole)
		p = p[end:]
	}
}

// piece sees a line, or a part of one; whole says that it ends there.
func (x *Indexer) piece(b []byte, whole bool) {
	if x.start {
		x.lineAt, x.line = x.at, x.line[:0]
	}
	x.line = upTo(x.line, b, maxDelimiter)
	if x.state == inHeader {
		x.head = upTo(x.head, b, maxPartHeader)
	}
	x.at += int64(len(b))
	if x.start = whole; !whole {
		return
	}
	switch {
	case len(x.open) > 0 && x.delimiter():
	case x.state == inHeader && len(bytes.TrimRight(x.line, "\r\n")) == 0:
		x.bodyBegins()
	case x.state != inHeader:
		x.ends++
	}
}

// upTo appends as much of b as keeps the whole within most.
func upTo(to, b []byte, most int) []byte {
	return append(to, b[:min(len(b), max(most-len(to), 0))]...)
}

// bodyBegins decides what the body of the last part is.
func (x *Indexer) bodyBegins() {
	part := &x.parts[len(x.parts)-1]
	part.Body, x.ends = x.at, 0
	typ, params := contentType(x.head)
	depth := part.Depth
	x.head = x.head[:0]
	switch boundary := params["boundary"]; {
	case strings.HasPrefix(typ, "multipart/") && boundary != "" && len(boundary) <= maxBoundary && len(x.open) < maxDepth:
		x.open = append(x.open, opened{len(x.parts) - 1, boundary})
		x.state = between
	case typ == "message/rfc822" && depth < maxDepth && x.begin(depth+1):
	default:
		x.state = inBody
	}
}

// begin begins a part here, if there may be another one.
func (x *Indexer) begin(depth int) bool {
	if len(x.parts) == maxParts {
		return false
	}
	x.parts = append(x.parts, Part{Depth: depth, Header: x.at, Body: -1})
	x.state, x.head, x.ends = inHeader, x.head[:0], 0
	return true
}

// delimiter looks whether a line separates parts, and if so goes to the next one (RFC 2046 §5.1.1).
func (x *Indexer) delimiter() bool {
	if !bytes.HasPrefix(x.line, []byte("--")) {
		return false
	}
	text := string(bytes.TrimRight(x.line[2:], " \t\r\n"))
	for k := len(x.open) - 1; k >= 0; k-- {
		rest, ok := strings.CutPrefix(text, x.open[k].boundary)
		if !ok || rest != "" && rest != "--" {
			continue
		}
		of := x.open[k].part
		x.finish(of, max(x.lineAt-2, 0)) // the line end before the delimiter belongs to it
		x.open = x.open[:k+1]
		if rest == "--" || !x.begin(x.parts[of].Depth+1) {
			if rest == "--" {
				x.open = x.open[:k]
			}
			x.state = between
			if len(x.open) == 0 {
				x.state = inBody // what follows the last part of the outermost one
			}
		}
		return true
	}
	return false
}

// finish ends all parts within a part that have no end yet.
func (x *Indexer) finish(within int, at int64) {
	for i := len(x.parts) - 1; i > within; i-- {
		p := &x.parts[i]
		if p.End != 0 {
			continue
		}
		if p.Body < 0 { // its header had no end
			p.Body = max(at, p.Header)
		}
		p.End = max(at, p.Body)
		if i == len(x.parts)-1 {
			p.Lines = max(x.ends-1, 0)
		}
	}
}

// Parts ends the message and returns its parts.
func (x *Indexer) Parts() []Part {
	if len(x.parts) == 1 {
		x.parts[0].Lines = x.ends
	}
	x.ends++ // no delimiter takes the last line end
	x.finish(0, x.at)
	p := &x.parts[0]
	if p.Body == 0 {
		p.Body = x.at
	}
	p.End = x.at
	return x.parts
}

// contentType is the media type of a header with its parameters; "" if it has none that can be read.
func contentType(header []byte) (typ string, params map[string]string) {
	value := First(header, "Content-Type")
	if value == "" {
		return "", nil
	}
	typ, params, err := mime.ParseMediaType(value)
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		return "", nil
	}
	return typ, params
}

// indexFormat is the first octet of an encoded index: number of parts · each: depth · header, body and end, each as the
// distance from the one before · lines.
const indexFormat = 1

// EncodeParts returns an index as it is stored.
func EncodeParts(parts []Part) []byte {
	b := binary.AppendUvarint([]byte{indexFormat}, uint64(len(parts)))
	for _, p := range parts {
		b = binary.AppendUvarint(b, uint64(p.Depth))
		b = binary.AppendUvarint(b, uint64(p.Header))
		b = binary.AppendUvarint(b, uint64(p.Body-p.Header))
		b = binary.AppendUvarint(b, uint64(p.End-p.Body))
		b = binary.AppendUvarint(b, uint64(p.Lines))
	}
	return b
}

// ErrIndex: what was stored is no index.
var ErrIndex = errors.New("this is no index of parts")

// DecodeParts reads what EncodeParts returned, for a message of that size.
func DecodeParts(b []byte, size int64) ([]Part, error) {
	if len(b) == 0 || b[0] != indexFormat {
		return nil, ErrIndex
	}
	b = b[1:]
	next := func() int64 {
		n, used := binary.Uvarint(b)
		if used <= 0 || n > 1<<40 {
			b = nil
			return -1 << 50 // no sum of it makes sense
		}
		b = b[used:]
		return int64(n)
	}
	count := next()
	if count < 1 || count > maxParts {
		return nil, ErrIndex
	}
	parts := make([]Part, count)
	for i := range parts {
		p := Part{Depth: int(next()), Header: next()}
		p.Body = p.Header + next()
		p.End = p.Body + next()
		p.Lines = next()
		if p.Depth < 0 || p.Header < 0 || p.Body < p.Header || p.End < p.Body || p.End > size || p.Lines < 0 || p.Lines > size {
			return nil, ErrIndex
		}
		parts[i] = p
	}
	if len(b) != 0 {
		return nil, ErrIndex
	}
	return parts, nil
}
