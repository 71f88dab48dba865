package main

import (
	"fmt"
	"io"
	"mime"
	"path/filepath"
	"strings"

	"waybill/internal/mail"
	"waybill/internal/message"
	"waybill/internal/mua"
)

// compose makes the letter of the flags.
func (c *sendCommand) compose(std streams, from mail.Address, to, cc []mail.Address) (content mua.Content, files closers, err error) {
	l := message.Letter{From: from, To: to, Cc: cc, Subject: c.Subject, Body: c.Body}
	if len(to)+len(cc) == 0 { // all are hidden
		l.To = []mail.Address{from}
	}
	if c.ReplyTo != "" {
		if l.ReplyTo, err = parseAddress("--reply-to", c.ReplyTo); err != nil {
			return content, nil, err
		}
	}
	for _, h := range c.Header {
		name, text, ok := strings.Cut(h, ":")
		if !ok {
			return content, nil, usageErrorf("--header %q is not NAME: TEXT", h)
		}
		l.Extra = append(l.Extra, message.Extra{Name: name, Value: strings.Trim(text, " \t")})
	}
	if _, err := l.Compose(); err != nil { // before standard input is waited for
		return content, nil, usageError{err}
	}
	if l.Attachments, files, err = c.attachments(); err != nil {
		return content, files, err
	}
	if c.Body == "" {
		if l.Body, err = readText(std.in); err != nil {
			return content, files, err
		}
	}
	composed, err := l.Compose()
	if err != nil {
		return content, files, fmt.Errorf("%w; a text in another charset can go with --attach, or as UTF-8 through iconv", err)
	}
	return mua.Content{Header: []byte(composed.Header()), Size: composed.Size(), Write: composed.Write}, files, nil
}

// attachments opens the files. They are read when the letter is sent.
func (c *sendCommand) attachments() (list []message.Attachment, files closers, err error) {
	for _, path := range c.Attach {
		s, err := openSource(path)
		if err != nil {
			return list, files, fmt.Errorf("attach: %w", err)
		}
		files = append(files, s)
		list = append(list, message.Attachment{
			Name: filepath.Base(path), Type: mime.TypeByExtension(filepath.Ext(path)), Size: s.Size(),
			Open: func() (io.ReadCloser, error) { return io.NopCloser(io.NewSectionReader(s, 0, s.Size())), nil },
		})
	}
	return list, files, nil
}

// maxText bounds a text that is composed, in octets: it is held whole.
const maxText = 10 << 20

func readText(in io.Reader) (string, error) {
	text, err := io.ReadAll(io.LimitReader(in, maxText+1))
	if err == nil && len(text) > maxText {
		err = fmt.Errorf("the text is longer than %d octets; --attach sends a file, and --letter a whole message", maxText)
	}
	return string(text), err
}
