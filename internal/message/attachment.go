package message

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"strings"
)

// writeParts writes a letter with attachments: multipart/mixed (RFC 2046 §5.1.3), the text first.
func (l Letter) writeParts(w io.Writer, header string) error {
	boundary := "=_" + strings.ToLower(rand.Text())
	head := fmt.Sprintf("%sContent-Type: multipart/mixed; boundary=%q\r\n\r\n--%s\r\n%s", header, boundary, boundary, l.text())
	if _, err := io.WriteString(w, head); err != nil {
		return err
	}
	for _, a := range l.Attachments {
		if _, err := fmt.Fprintf(w, "\r\n--%s\r\n%s\r\n", boundary, a.fields()); err != nil {
			return err
		}
		if err := a.write(w); err != nil {
			return fmt.Errorf("attach %s: %w", a.Name, err)
		}
	}
	_, err := fmt.Fprintf(w, "\r\n--%s--\r\n", boundary)
	return err
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

// write writes the content as base64 in lines of 76 characters (RFC 2045 §6.8).
func (a Attachment) write(w io.Writer) error {
	content, err := a.Open()
	if err != nil {
		return err
	}
	defer content.Close()
	lines := &lineWriter{w: w}
	encoder := base64.NewEncoder(base64.StdEncoding, lines)
	if _, err := io.Copy(encoder, content); err != nil {
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
