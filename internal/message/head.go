package message

// Head keeps the header section of a message that is written through it, up to MaxHeader, and forgets the rest. The zero
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
	known := len(h.kept)
	h.kept = append(h.kept, p[:min(len(p), MaxHeader-known)]...)
	if end := headerEnd(h.kept, known); end >= 0 {
		h.kept, h.ended = h.kept[:end], true
	} else if len(h.kept) >= MaxHeader {
		h.ended = true
	}
}

// Ended says whether nothing that is written from now on changes what is kept.
func (h *Head) Ended() bool { return h.ended }

// Bytes returns the header without the empty line that ends it; valid until the next Write.
func (h *Head) Bytes() []byte { return h.kept }
