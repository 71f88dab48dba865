package message

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"strings"
)

// before is what stands before an attachment: multipart/mixed (RFC 2046 §5.1.3), the text first.
func (c *Composed) before(a Attachment) string {
	return fmt.Sprintf("\r\n--%s\r\n%s\r\n", c.boundary, a.fields())
}

// end is what stands behind the last one.
func (c *Composed) end() string {
	if len(c.attachments) == 0 {
		return ""
	}
	return fmt.Sprintf("\r\n--%s--\r\n", c.boundary)
}

// encodedSize is what so many octets take as base64 in lines, in octets.
func encodedSize(n int64) int64 {
	n = (n + 2) / 3 * 4
	return n + (n+base64Line-1)/base64Line*int64(len("\r\n"))
}

// fields are those of the attachment's part. A name that is not plain ASCII has the form of RFC 2231.
func (a Attachment) fields() string {
	typ, params, err := mime.ParseMediaType(a.Type)
	if err != nil {
		typ, params = "application/octet-stream", nil
	}
	contentType := mime.FormatMediaType(typ, params)
	name := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '/' || r == '\\' {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(a.Name, "_"))
	disposition := mime.FormatMediaType("attachment", map[string]string{"filename": name})
	return fmt.Sprintf("Content-Type: %s\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: %s\r\n", contentType,
		strings.Replace(disposition, "; ", ";\r\n ", 1))
}

// ErrSize: an attachment has not the size that was said.
var ErrSize = errors.New("the file is not as large as it was a moment ago")

// write writes the content as base64 in lines of 76 characters (RFC 2045 §6.8).
func (a Attachment) write(w io.Writer) error {
	content, err := a.Open()
	if err != nil {
		return err
	}
	defer content.Close()
	lines := &lineWriter{w: w}
	encoder := base64.NewEncoder(base64.StdEncoding, lines)
	n, err := io.Copy(encoder, io.LimitReader(content, a.Size+1))
	if err == nil && n != a.Size {
		err = ErrSize
	}
	if err != nil {
		return err
	}
	return errors.Join(encoder.Close(), lines.end())
}

// lineWriter breaks what is written into lines.
type lineWriter struct {
	w  io.Writer
	at int // octets in this line
}

const base64Line = 76

func (l *lineWriter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := min(base64Line-l.at, len(rest))
		if _, err := l.w.Write(rest[:n]); err != nil {
			return len(p) - len(rest), err
		}
		rest = rest[n:]
		if l.at += n; l.at == base64Line {
			if err := l.end(); err != nil {
				return len(p) - len(rest), err
			}
		}
	}
	return len(p), nil
}

func (l *lineWriter) end() error {
	if l.at == 0 {
		return nil
	}
	l.at = 0
	_, err := io.WriteString(l.w, "\r\n")
	return err
}
