package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"waybill/internal/lineend"
	"waybill/internal/mail"
	"waybill/internal/message"
	"waybill/internal/mua"
)

// wholeLetter is a message that somebody else made. It is read twice: to see what it is, and when it is sent.
type wholeLetter struct {
	source rereadable
	header []byte // as it came, with CR LF
	edited []byte // as it is sent: without Bcc, and with what must not be missing
	seen   seen
}

// readWhole looks at a message. from is who sends it. Errors say what keeps it from being a message.
func readWhole(s rereadable, from mail.Address) (*wholeLetter, error) {
	w := &wholeLetter{source: s}
	if _, err := io.Copy(lineend.ToWire(&w.seen), w.source); err != nil {
		return nil, err
	}
	if err := w.seen.err(); err != nil {
		return nil, err
	}
	w.header = w.seen.header
	if !bytes.HasSuffix(w.header, []byte("\r\n")) { // the message is nothing but a header
		w.header = append(w.header, "\r\n"...)
	}
	if err := checkHeader(w.header); err != nil {
		return nil, err
	}
	w.edit(from)
	return w, nil
}

// checkHeader wants nothing but fields in a header, in UTF-8: else what follows the first line that is none is body for some
// readers, and header for others.
func checkHeader(header []byte) error {
	fields := 0
	for f, ok := range message.Walk(header) {
		if !ok {
			line, _, _ := bytes.Cut(f.Raw, []byte("\r\n"))
			if fields == 0 {
				return errNoHeader
			}
			return fmt.Errorf("line %q of the message's header is no field; an empty line ends the header", visible(string(line[:min(len(line), 80)])))
		}
		fields++
	}
	if fields == 0 {
		return errNoHeader
	}
	if !utf8.Valid(header) {
		return errors.New("the message's header is not UTF-8; write what is not ASCII in it as encoded-words (RFC 2047)")
	}
	return nil
}

var errNoHeader = errors.New("the message has no header: it begins with lines like \"Subject: …\", and an empty line ends them")

// edit drops those who are hidden, and adds what a message must have (RFC 5322 §3.6), as a submission server would.
func (w *wholeLetter) edit(from mail.Address) {
	var added bytes.Buffer
	if !message.HasField(w.header, "From") && !from.IsNull() {
		fmt.Fprintf(&added, "From: %s\r\n", from)
	}
	if !message.HasField(w.header, "Date") {
		added.WriteString(message.Date(time.Now()))
	}
	if domain := from.Domain; !message.HasField(w.header, "Message-ID") && domain != "" {
		fmt.Fprintf(&added, "Message-ID: <%s>\r\n", message.NewID(domain))
	}
	w.edited = append(added.Bytes(), message.Strip(bytes.Clone(w.header), func(f message.Field) bool {
		return strings.EqualFold(f.Name, "Bcc") || strings.EqualFold(f.Name, "Resent-Bcc")
	})...)
}

// content is the message as it is sent.
func (w *wholeLetter) content() mua.Content {
	end, rest := "", w.seen.size-int64(len(w.seen.header))
	switch {
	case !w.seen.ended:
		end, rest = "\r\n", 0
	case string(w.seen.last[:]) != "\r\n":
		end = "\r\n"
	}
	c := mua.Content{Header: w.edited, Size: int64(len(w.edited)) + rest + int64(len(end))}
	if w.seen.eightBit {
		c.Body = mail.Body8BitMIME
	}
	c.Write = func(out io.Writer) error {
		if _, err := out.Write(w.edited); err != nil {
			return err
		}
		if w.seen.ended {
			w.source.Seek(0, io.SeekStart)
			body := lineend.ToWire(&skipper{out, len(w.seen.header)})
			if _, err := io.Copy(body, w.source); err != nil {
				return err
			}
		}
		_, err := io.WriteString(out, end)
		return err
	}
	return c
}

// recipients are those that the header names, each once. A field that cannot be read is an error: somebody would be left out.
func (w *wholeLetter) recipients() (list []mail.Address, err error) {
	seen := map[string]bool{}
	for _, f := range message.Fields(w.header) {
		name := strings.ToLower(f.Name)
		if strings.HasPrefix(name, "resent-") {
			return nil, usageErrorf("the message has been sent before (it has the field %s); name the recipients with --to", f.Name)
		}
		if !slices.Contains([]string{"to", "cc", "bcc"}, name) || f.Value == "" {
			continue
		}
		named, err := message.ParseAddressList(f.Value)
		if err != nil {
			return nil, fmt.Errorf("the message's %s cannot be read: %w; name the recipients with --to", f.Name, err)
		}
		for _, a := range named {
			if !seen[a.String()] {
				seen[a.String()] = true
				list = append(list, a)
			}
		}
	}
	if len(list) == 0 {
		return nil, usageErrorf("the message names nobody in To, Cc or Bcc; name somebody with --to")
	}
	return list, nil
}

// skipper passes on what follows so many octets.
type skipper struct {
	next io.Writer
	left int
}

func (s *skipper) Write(p []byte) (int, error) {
	n := min(s.left, len(p))
	s.left -= n
	if n == len(p) {
		return n, nil
	}
	written, err := s.next.Write(p[n:])
	return n + written, err
}

// seen is what a message that was written to it is like, with CR LF line ends.
type seen struct {
	header   []byte // without the empty line
	ended    bool   // the header
	size     int64
	eightBit bool
	last     [2]byte
	lines    int
	bareCR   int // the line with the first one; 0: none
}

func (s *seen) Write(p []byte) (int, error) {
	if !s.ended {
		known := max(0, len(s.header)-len("\r\n\r"))
		s.header = append(s.header, p...)
		if end := bytes.Index(s.header[known:], []byte("\r\n\r\n")); end >= 0 {
			s.header, s.ended = s.header[:known+end+2], true
		}
		if len(s.header) > message.MaxHeader {
			return 0, errNoHeader
		}
	}
	for _, c := range p {
		switch {
		case c >= 0x80:
			s.eightBit = true
		case c == '\n':
			s.lines++
		}
		if s.last[1] == '\r' && c != '\n' {
			s.bare()
		}
		s.last[0], s.last[1] = s.last[1], c
	}
	s.size += int64(len(p))
	return len(p), nil
}

func (s *seen) bare() {
	if s.bareCR == 0 {
		s.bareCR = s.lines + 1
	}
}

// err says what no server takes (RFC 5321 §2.3.8).
func (s *seen) err() error {
	if s.last[1] == '\r' {
		s.bare()
	}
	if s.bareCR > 0 {
		return fmt.Errorf("line %d of the message has a CR that ends no line, which cannot be sent", s.bareCR)
	}
	return nil
}
