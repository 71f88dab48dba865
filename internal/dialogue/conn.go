package dialogue

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// What ReadLine says of a line that breaks the rules. The line has been consumed, so the session can go on.
var (
	ErrLineTooLong = errors.New("line too long")
	ErrBareLF      = errors.New("line ends in LF without CR")
	ErrBareCR      = errors.New("CR within a line")
	ErrNUL         = errors.New("NUL within a line")
)

// ErrEndless: a line was not over long after its limit. It has not been consumed: the connection is of no more use.
var ErrEndless = errors.New("line without end")

// maxSkipped is how much of a line that is too long is read to find its end, in octets.
const maxSkipped = 256 << 10

// bufferSize is the size of the input buffer for lines. It holds a pipelined envelope; more is allocated on demand.
const bufferSize = 1024

// outSize is the size of the output buffer. It holds the reply to EHLO; for more there is a wide one.
const outSize = 1024

// wideSize is the size of a buffer while content streams in or out.
const wideSize = 32 << 10

// maxBlock is the most that is written at once, in octets.
const maxBlock = 64 << 10

// The buffers between two uses.
var (
	smallBuffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}
	outBuffers   = sync.Pool{New: func() any { return new([outSize]byte) }}
	wideBuffers  = sync.Pool{New: func() any { return new([wideSize]byte) }}
)

// Conn is one side of a line protocol on a network connection. Output is buffered until Flush.
// It is not safe for concurrent use.
type Conn struct {
	net.Conn // the connection underneath; its Read and Write must not be used directly

	Transcript Transcript

	in       []byte // bytes received: in[r:w] are not consumed yet; nil while there is no buffer
	r, w     int
	small    *[bufferSize]byte // the buffer for lines; nil while nothing is buffered, if idle can wait without one
	wide     *[wideSize]byte   // the pooled buffer for content, while it is in use; in is part of it or has outgrown it
	idle     *idleReader       // nil if the connection cannot be waited for without a buffer
	under    *idleReader       // of the connection underneath TLS; nil without
	out      []byte            // in *outWide, or else in *outRoom
	outRoom  *[outSize]byte    // pooled; nil while nothing is buffered
	outWide  *[wideSize]byte   // pooled; nil until more is buffered than fits into outRoom
	wait     time.Duration     // longest wait for a write
	writeErr error             // the first one; later output is dropped
}

// NewConn returns a Conn on nc whose writes must be done within writeTimeout.
func NewConn(nc net.Conn, writeTimeout time.Duration) *Conn {
	c := &Conn{Conn: nc, idle: newIdleReader(nc), wait: writeTimeout}
	if secured, ok := nc.(interface{ NetConn() net.Conn }); ok {
		c.under = newIdleReader(secured.NetConn())
	}
	return c
}

// Widen takes a large input buffer until Narrow, for reading content. Fill with limit WideSize keeps to it.
func (c *Conn) Widen() {
	if c.wide != nil || c.w-c.r > wideSize {
		return
	}
	c.wide = wideBuffers.Get().(*[wideSize]byte)
	c.w = copy(c.wide[:], c.in[c.r:c.w])
	c.r = 0
	c.in = c.wide[:]
}

// WideSize is the size of the buffer that Widen takes.
func (c *Conn) WideSize() int { return wideSize }

// Narrow gives up whatever the buffers grew to, unless more is buffered than the small one holds; and that one too, if
// nothing is and the connection can be waited for without it. To be called before waiting for a peer that may take its time.
func (c *Conn) Narrow() {
	if len(c.out) == 0 {
		c.giveOut()
	}
	if c.w-c.r > bufferSize {
		return
	}
	if c.r == c.w && c.idle != nil {
		c.in, c.r, c.w = nil, 0, 0
		if c.small != nil {
			smallBuffers.Put(c.small)
			c.small = nil
		}
	} else if len(c.in) != bufferSize {
		rest := c.in[c.r:c.w]
		c.r, c.w = 0, len(rest)
		c.takeSmall()
		copy(c.in, rest)
	}
	if c.wide != nil {
		wideBuffers.Put(c.wide)
		c.wide = nil
	}
}

// takeSmall makes the small buffer the input buffer.
func (c *Conn) takeSmall() {
	if c.small == nil {
		c.small = smallBuffers.Get().(*[bufferSize]byte)
	}
	c.in = c.small[:]
}

// Upgrade goes on with nc (TLS on the same connection). Whatever was received or buffered before it is
// thrown away: pipelined plain text must not be taken for what came under TLS (RFC 3207 §6).
func (c *Conn) Upgrade(nc net.Conn) {
	if c.idle != nil {
		c.under = c.idle
	}
	c.Conn, c.idle = nc, nil
	c.r, c.w = 0, 0
	c.out = c.out[:0]
}

// Buffered returns the bytes received and not yet consumed. They stay valid until the next read.
func (c *Conn) Buffered() []byte { return c.in[c.r:c.w] }

// Advance consumes the first n buffered bytes.
func (c *Conn) Advance(n int) { c.r += n }

// Fill waits until deadline for more bytes and adds them to the buffered ones. The buffer grows up to
// limit bytes; it returns ErrLineTooLong when that many are buffered already. io.EOF means that the peer closed.
func (c *Conn) Fill(deadline time.Time, limit int) error {
	// TLS may have to write while it reads (RFC 8446 §4.6.3); the deadline of our last write may be long past.
	return c.fill(deadline, deadline.Add(c.wait), limit)
}

func (c *Conn) fill(deadline, toWrite time.Time, limit int) error {
	if c.r > 0 {
		c.w = copy(c.in, c.in[c.r:c.w])
		c.r = 0
	}
	if c.w >= limit {
		return ErrLineTooLong
	}
	if c.in == nil && c.idle != nil {
		return c.fillIdle(deadline)
	}
	if c.in == nil {
		c.takeSmall()
	}
	if c.w == len(c.in) {
		c.in = append(c.in, make([]byte, min(len(c.in), limit-len(c.in)))...)
	}
	c.Conn.SetReadDeadline(deadline) // if the connection is gone, Read says so
	c.Conn.SetWriteDeadline(toWrite)
	n, err := c.Conn.Read(c.in[c.w:])
	c.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// ReadLine returns the next line without its CR LF; it stays valid until the next read. limit is its
// greatest length with the line end. A line ends in CR LF and holds no other CR, LF or NUL; a line that
// breaks a rule is consumed and reported as ErrLineTooLong, ErrBareLF, ErrBareCR or ErrNUL. The whole line
// must be there by the deadline: a drip of bytes does not prolong it.
func (c *Conn) ReadLine(limit int, deadline time.Time) ([]byte, error) {
	seen := 0
	for {
		b := c.Buffered()
		if i := bytes.IndexByte(b[seen:], '\n'); i >= 0 {
			end := seen + i
			c.Advance(end + 1)
			if end+1 > limit {
				return nil, ErrLineTooLong
			}
			return checkLine(b[:end])
		}
		seen = len(b)
		if seen >= limit {
			return nil, c.skipLine(deadline)
		}
		if err := c.Fill(deadline, max(limit, bufferSize)); err != nil {
			return nil, err
		}
	}
}

func checkLine(line []byte) ([]byte, error) {
	if len(line) == 0 || line[len(line)-1] != '\r' {
		return nil, ErrBareLF
	}
	line = line[:len(line)-1]
	if bytes.IndexByte(line, '\r') >= 0 {
		return nil, ErrBareCR
	}
	if bytes.IndexByte(line, 0) >= 0 {
		return nil, ErrNUL
	}
	return line, nil
}

// skipLine consumes up to the end of a line that is too long.
func (c *Conn) skipLine(deadline time.Time) error {
	for skipped := 0; skipped <= maxSkipped; {
		b := c.Buffered()
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			c.Advance(i + 1)
			return ErrLineTooLong
		}
		c.Advance(len(b))
		skipped += len(b)
		if err := c.Fill(deadline, bufferSize); err != nil {
			return err
		}
	}
	return ErrEndless
}

// LineBuffered says whether a whole further line has been received already: then the peer pipelines,
// and the replies so far can wait for the next ones (RFC 2920 §3.2).
func (c *Conn) LineBuffered() bool { return bytes.IndexByte(c.Buffered(), '\n') >= 0 }

// IsTimeout says whether err is a deadline that passed.
func IsTimeout(err error) bool {
	t, ok := errors.AsType[net.Error](err)
	return ok && t.Timeout()
}
