package message

import "bytes"

// maxHead bounds the header that a Head keeps, in octets.
const maxHead = 128 << 10

// Head keeps the header section of a message that is written through it, up to 128 KiB, and forgets the rest. The zero
// value is ready for use.
type Head struct {
	kept  []byte
	ended bool
}

// Write takes the next octets of the message, cut anywhere. It never fails.
func (h *Head) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 && !h.ended {
		n := min(len(p), headPiece)
		h.take(p[:n])
		p = p[n:]
	}
	return total, nil
}

// headPiece is how much is looked at, and copied, at a time: the header is mostly a small part of what is written.
const headPiece = 1 << 10

func (h *Head) take(p []byte) {
	from := max(0, len(h.kept)-3) // the empty line may have begun before p
	h.kept = append(h.kept, p[:min(len(p), maxHead-len(h.kept))]...)
	if bytes.HasPrefix(h.kept, []byte("\r\n")) {
		h.kept, h.ended = h.kept[:0], true
	} else if i := bytes.Index(h.kept[from:], []byte("\r\n\r\n")); i >= 0 {
		h.kept, h.ended = h.kept[:from+i+2], true
	} else if len(h.kept) >= maxHead {
		h.ended = true
	}
}

// Ended says whether nothing that is written from now on changes what is kept.
func (h *Head) Ended() bool { return h.ended }

// Bytes returns the header without the empty line that ends it; valid until the next Write.
func (h *Head) Bytes() []byte { return h.kept }
