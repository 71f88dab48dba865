package smtp

import (
	"fmt"

	"waybill/internal/mail"
)

// chunks is what BDAT adds to the content of a message (RFC 3030 §2): it comes in chunks of announced length, and between
// them there are commands.
type chunks struct {
	more   func(*content) // answers a chunk and begins the next one, or makes the content lost
	size   int64          // of the chunk, in octets
	left   int64          // octets of it that were not read yet
	last   bool           // no further one comes
	count  int64          // of chunks so far
	heldCR bool           // the chunk before ended in CR

	command  []byte      // that gave the message up
	farewell mail.Status // 421, which ended the session between two chunks
}

// newChunked returns the reader of content that comes in chunks, before the first.
func newChunked(c *content, more func(*content)) *content {
	c.chunks, c.scan.dots = &chunks{more: more}, false
	return c
}

// begin goes on with a chunk.
func (c *content) begin(size int64, last bool) {
	c.line.Widen()
	k := c.chunks
	k.size, k.left, k.last = size, size, last
	k.count++
	if size > c.limits.MessageSize-c.size && c.fault == nil {
		c.fault = ErrTooLarge
	}
}

// betweenChunks says whether the next octets are a command.
func (c *content) betweenChunks() bool {
	return c.chunks != nil && c.chunks.left == 0 && !c.chunks.last
}

// announced is how many octets are to come for certain.
func (c *content) announced() int64 {
	if c.chunks == nil {
		return 0
	}
	return c.chunks.left
}

// stepChunk is step for content in chunks. It differs from that after DATA in one thing only: dots mean nothing.
func (c *content) stepChunk() {
	k := c.chunks
	b := c.line.Buffered()
	b = b[:min(int64(len(b)), k.left)]
	switch {
	case k.left == 0 && !k.last:
		k.more(c)
	case k.left == 0:
		c.endChunks()
	case len(b) == 0:
		c.fill()
	case c.fault != nil:
		c.consume(len(b))
	case k.heldCR:
		c.afterCR(b)
	default:
		c.takeChunk(b)
	}
}

// takeChunk takes the next span of a chunk. A CR that is its last octet is kept in mind: LF may begin the next chunk.
func (c *content) takeChunk(b []byte) {
	k := c.chunks
	used, what := c.take(b)
	k.left -= int64(used)
	switch {
	case what != foundNothing || used == len(b):
	case k.left == 1:
		c.consume(1)
		k.heldCR = true
	case used == 0:
		c.fill()
	}
}

// afterCR goes on after a chunk that ended in CR.
func (c *content) afterCR(b []byte) {
	c.chunks.heldCR = false
	if b[0] != '\n' {
		c.bareLineEnd()
		return
	}
	c.consume(1)
	c.yield(crlf)
	c.scan.lineStart = true
}

// consume is done with n octets of the chunk.
func (c *content) consume(n int) {
	c.advance(n)
	c.chunks.left -= int64(n)
}

// endChunks ends the content. A last line without CR LF gets it, as it would have got from the CR LF . CR LF of DATA.
func (c *content) endChunks() {
	if c.chunks.heldCR {
		c.bareLineEnd()
	}
	c.owed = c.owed || c.open
	c.end()
}

// Who cuts a message up into next to nothing makes work and moves no mail.
const (
	freeChunks   = 1000
	leastAverage = 64 // octets in a chunk, beyond freeChunks
)

// crumbs says whether the content comes in chunks that are too small.
func (c *content) crumbs() bool {
	return c.chunks.count > freeChunks && c.received/c.chunks.count < leastAverage
}

// octets names the size of a chunk, for a reply.
func (k *chunks) octets() string { return fmt.Sprintf("%d octets received", k.size) }
