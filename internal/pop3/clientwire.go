package pop3

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"waybill/internal/dialogue"
)

// maxReplyLine is the longest line of a reply that is not a message: 512 octets by RFC 2449 §4, and some more
// for servers that are talkative.
const maxReplyLine = 2048

// command sends a command with its arguments and returns the text of the reply.
func (c *Client) command(verb string, args ...string) (string, error) {
	line := strings.Join(append([]string{verb}, args...), " ")
	if err := c.send(line, line); err != nil {
		return "", err
	}
	return c.reply(verb)
}

// send writes a line; shown is what the transcript has instead of it.
func (c *Client) send(line, shown string) error {
	if strings.ContainsAny(line, "\r\n\x00") {
		return ErrNotSendable
	}
	c.Transcript().Add(dialogue.Client, shown)
	c.wire.WriteString(line)
	c.wire.WriteString("\r\n")
	if err := c.wire.Flush(); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// line reads one line of a reply.
func (c *Client) line(deadline time.Time) (string, error) {
	line, err := c.wire.ReadLine(maxReplyLine, deadline)
	switch {
	case err == nil:
		return string(line), nil
	case errors.Is(err, dialogue.ErrLineTooLong), errors.Is(err, dialogue.ErrEndless), errors.Is(err, dialogue.ErrBareLF),
		errors.Is(err, dialogue.ErrBareCR), errors.Is(err, dialogue.ErrNUL):
		return "", fmt.Errorf("%w: %w", ErrMalformed, err)
	case dialogue.IsTimeout(err):
		return "", fmt.Errorf("the POP3 server does not answer: %w", err)
	case errors.Is(err, io.EOF):
		return "", fmt.Errorf("the POP3 server closed the connection: %w", io.ErrUnexpectedEOF)
	}
	return "", fmt.Errorf("read: %w", err)
}

// reply reads the first line of the reply to a command and returns its text; a RefusedError for -ERR.
func (c *Client) reply(verb string) (string, error) {
	line, err := c.line(time.Now().Add(c.options.Timeout))
	if err != nil {
		return "", err
	}
	c.Transcript().Add(dialogue.Server, line)
	s, err := parseStatus(line)
	if err != nil {
		return "", err
	}
	if !s.ok {
		return "", &RefusedError{Command: verb, Code: s.code, Text: dialogue.Printable(s.text)}
	}
	return s.text, nil
}

// lines reads the rest of a multi-line reply, of any number of lines but at most limit octets, with the stuffed dots removed.
func (c *Client) lines(limit int64, each func(line string) error) error {
	end := time.Now().Add(c.options.TransferTimeout)
	n, size := 0, int64(0)
	for ; ; n++ {
		line, err := c.line(earlier(end, time.Now().Add(c.options.Timeout)))
		if err != nil {
			return err
		}
		if line == "." {
			break
		}
		if size += int64(len(line) + len("\r\n")); size > limit {
			return fmt.Errorf("%w: a listing of more than %d octets", ErrTooLarge, limit)
		}
		line = strings.TrimPrefix(line, ".")
		if n < shownLines {
			c.Transcript().Add(dialogue.Server, line)
		}
		if err := each(line); err != nil {
			return err
		}
	}
	if n > shownLines {
		c.Transcript().Add(dialogue.Note, fmt.Sprintf("(%d more lines)", n-shownLines))
	}
	c.Transcript().Add(dialogue.Server, ".")
	return nil
}

// message copies a message to w, as it was before dots were stuffed. After an error of w the rest is read and
// dropped, so that the session can go on.
func (c *Client) message(w io.Writer) error {
	c.wire.Widen()
	defer c.wire.Narrow()
	end := time.Now().Add(c.options.TransferTimeout)
	var decoder dotDecoder
	var size int64
	var sinkErr error
	for !decoder.done() {
		if len(c.wire.Buffered()) == 0 {
			err := c.wire.Fill(earlier(end, time.Now().Add(c.options.Timeout)), c.wire.WideSize())
			if err != nil {
				return fmt.Errorf("a message broke off after %d octets: %w", size, noEOF(err))
			}
		}
		content, used := decoder.next(c.wire.Buffered())
		if size += int64(len(content)); size > c.options.MaxMessage {
			return fmt.Errorf("%w: a message of more than %d octets", ErrTooLarge, c.options.MaxMessage)
		}
		if len(content) > 0 && sinkErr == nil {
			_, sinkErr = w.Write(content)
		}
		c.wire.Advance(used)
	}
	c.Transcript().Add(dialogue.Note, "(message: "+octets(size)+")")
	c.Transcript().Add(dialogue.Server, ".")
	if sinkErr != nil {
		return &sinkError{sinkErr}
	}
	return nil
}

// sinkError is what the writer of a message returned; the connection is in order.
type sinkError struct{ error }

func (e *sinkError) Unwrap() error { return e.error }

// noEOF makes of an end where none may be what it is.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
