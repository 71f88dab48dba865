package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"strings"

	"waybill/internal/mail"
	"waybill/internal/message"
	"waybill/internal/mua"
)

// draftFile is a message on its way out, in a file without a name: however large, it needs no memory.
type draftFile struct {
	*bufio.Writer
	file *os.File
	last [2]byte // what was written last
}

func newDraftFile() (*draftFile, error) {
	f, err := os.CreateTemp("", "waybill-draft-")
	if err != nil {
		return nil, err
	}
	return &draftFile{Writer: bufio.NewWriter(f), file: f}, os.Remove(f.Name())
}

func (d *draftFile) Write(p []byte) (int, error) {
	for _, c := range p[max(len(p)-2, 0):] {
		d.last[0], d.last[1] = d.last[1], c
	}
	return d.Writer.Write(p)
}

// content is what was written, with an end to its last line.
func (d *draftFile) content() (mua.Content, error) {
	if string(d.last[:]) != "\r\n" {
		d.WriteString("\r\n")
	}
	if err := d.Flush(); err != nil {
		return nil, err
	}
	info, err := d.file.Stat()
	if err != nil {
		return nil, err
	}
	return io.NewSectionReader(d.file, 0, info.Size()), nil
}

func (d *draftFile) Close() error { return d.file.Close() }

// bccFilter passes a message on without the Bcc fields of its header, unless keep says that they stay.
type bccFilter struct {
	next   io.Writer
	keep   bool
	header []byte // until it has ended
	ended  bool
	fields []message.Field
}

// maxLetterHeader bounds the header of a message that is sent, in octets.
const maxLetterHeader = 1 << 20

var errNoHeader = errors.New("the message has no header: it begins with lines like \"Subject: …\", and an empty line ends them")

func (f *bccFilter) Write(p []byte) (int, error) {
	if f.ended {
		return f.next.Write(p)
	}
	f.header = append(f.header, p...)
	end := bytes.Index(f.header, []byte("\r\n\r\n"))
	if end < 0 && len(f.header) > maxLetterHeader {
		return 0, errNoHeader
	}
	if end >= 0 {
		return len(p), f.pass(end + 2)
	}
	return len(p), nil
}

// pass passes on the header, which ends there, and what follows.
func (f *bccFilter) pass(end int) error {
	f.ended = true
	header, rest := f.header[:end], f.header[end:]
	f.fields = message.Fields(header)
	if len(f.fields) == 0 {
		return errNoHeader
	}
	if !f.keep {
		header = message.Strip(header, func(field message.Field) bool { return strings.EqualFold(field.Name, "Bcc") })
	}
	if _, err := f.next.Write(header); err != nil {
		return err
	}
	_, err := f.next.Write(rest)
	return err
}

// end ends a message that is nothing but a header.
func (f *bccFilter) end() error {
	if f.ended {
		return nil
	}
	if !bytes.HasSuffix(f.header, []byte("\r\n")) {
		f.header = append(f.header, "\r\n"...)
	}
	return f.pass(len(f.header))
}

// recipients are those that the header names, each once.
func (f *bccFilter) recipients() (list []mail.Address) {
	seen := map[string]bool{}
	for _, field := range f.fields {
		switch strings.ToLower(field.Name) {
		case "to", "cc", "bcc":
		default:
			continue
		}
		named, _ := message.ParseAddressList(field.Value) // what can be read of it
		for _, a := range named {
			if !seen[a.Key()] {
				seen[a.Key()] = true
				list = append(list, a)
			}
		}
	}
	return list
}
