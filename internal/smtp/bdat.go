package smtp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strconv"
	"strings"

	"waybill/internal/mail"
)

// maxChunkDigits bounds the size of a chunk below any overflow.
const maxChunkDigits = 18

// ParseBdat reads the argument of BDAT: size [SP "LAST"] (RFC 3030 §2). With an error, size is -1 if it is not known.
func ParseBdat(argument string) (size int64, last bool, err error) {
	number, marker, _ := strings.Cut(argument, " ")
	if number == "" || len(number) > maxChunkDigits || strings.Trim(number, digits) != "" {
		return -1, false, syntax(syntaxError, "The syntax is BDAT size [LAST]")
	}
	size, err = strconv.ParseInt(number, 10, 64)
	if err != nil {
		return -1, false, syntax(syntaxError, "The syntax is BDAT size [LAST]")
	}
	marker = strings.TrimLeft(marker, " ")
	if marker != "" && !strings.EqualFold(marker, "LAST") {
		return size, false, syntax(syntaxError, "The syntax is BDAT size [LAST]")
	}
	return size, marker != "", nil
}

// Why content in chunks ends before its last one.
var (
	errAbandoned = errors.New("the client gave the message up between two chunks")
	errSaid421   = errors.New("the session ends between two chunks")
)

// bdat takes the content of a message in chunks (RFC 3030 §2), of which this is the first. Policy's Data reads on over the
// commands between the chunks, which nextChunk serves. Whatever is wrong, the octets of the chunk are content and never
// become commands.
func (s *session) bdat(ctx context.Context, argument string) mail.Status {
	c := newChunked(newContent(s.line, s.limits, s.server.NormaliseLineEnds), func(c *content) { s.nextChunk(ctx, c) })
	s.beginChunk(c, argument)
	if refusal := s.chunkRefused(); refusal.Code != 0 {
		c.fault = &mail.Error{Status: refusal}
		status := s.dataStatus(c, refusal, c.drain(true))
		if c.ended {
			s.tx.failed = mail.Status{}
		}
		return status
	}
	s.state = chunking
	status := s.policy.Data(ctx, c)
	endless := c.drain(!status.Success())
	return s.endBdat(ctx, c, status, endless)
}

// beginChunk goes on with the chunk that a BDAT announces, or makes it the message's fault that it announces none.
func (s *session) beginChunk(c *content, argument string) {
	size, last, err := ParseBdat(argument)
	if err != nil && c.fault == nil {
		c.fault = err
	}
	if size < 0 { // where the next command begins, nobody knows
		s.hangUp = true
		size = 0
	}
	c.begin(size, last)
}

// chunkRefused is the reply to a first chunk that does not belong where it is; its octets are to be skipped.
func (s *session) chunkRefused() mail.Status {
	switch {
	case s.tx.failed.Code != 0: // RFC 3030 §2: what was pipelined behind a chunk that failed
		return s.tx.failed
	case s.state != fresh && !s.conn.extended:
		return badSequence.WithText("Bad sequence of commands: BDAT needs EHLO")
	case s.state != rcptGiven:
		return s.outOfOrder("BDAT")
	}
	return mail.Status{}
}

// endBdat ends the transaction and gives the reply to its last chunk, to the chunk that failed, or to the command by
// which the client gave the message up.
func (s *session) endBdat(ctx context.Context, c *content, status mail.Status, endless bool) mail.Status {
	s.reset()
	switch {
	case c.lost == errAbandoned:
		status, _ = s.dispatch(ctx, c.chunks.command)
		return status
	case c.lost == errSaid421:
		return c.chunks.farewell
	}
	status = s.dataStatus(c, status, endless)
	s.dotSeen = c.lost == nil
	switch {
	case !c.ended && c.lost == nil:
		s.tx.failed = status
	case status.Success():
		s.junk = 0
	}
	return status
}

// nextChunk answers a chunk and serves commands until the next one begins. It is called by the reader of the content, so
// inside policy's Data. RSET gives the message up (RFC 3030 §2), and so do EHLO, HELO and QUIT; NOOP and the like are
// served as at any time (RFC 5321 §4.1.4), and what belongs to a transaction is out of order.
func (s *session) nextChunk(ctx context.Context, c *content) {
	s.reply(chunkTaken.WithText("%s", c.chunks.octets()))
	for c.lost == nil {
		line, err := s.readLine(c.deadline(s.limits.CommandTimeout))
		if err == nil {
			verb, argument := ParseCommand(line)
			if verb == "BDAT" {
				s.note(line, verb, true)
				if s.beginChunk(c, argument); c.crumbs() {
					c.chunks.farewell, c.lost = tooMuchJunk, errSaid421
				}
				return
			}
			if givesUp(verb, argument) {
				c.chunks.command, c.lost = bytes.Clone(line), errAbandoned
				return
			}
		}
		status, row := s.answer(ctx, line, err)
		switch {
		case s.lost != nil:
			c.lost, s.lost = s.lost, nil
			if c.lost == io.EOF { // which would tell policy that the message is whole
				c.lost = io.ErrUnexpectedEOF
			}
		case status.Code == 421 || s.hangUp:
			c.chunks.farewell, c.lost = status, errSaid421
		default:
			s.reply(status)
			if row.last {
				c.lost = s.line.Flush()
			}
		}
	}
}

// givesUp says whether a command, if it is well formed, ends a transaction.
func givesUp(verb, argument string) bool {
	switch verb {
	case "RSET", "QUIT":
		return argument == ""
	case "EHLO", "HELO":
		_, err := ParseHello(argument)
		return err == nil
	}
	return false
}
