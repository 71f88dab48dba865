package message

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"

	"waybill/internal/mail"
)

// parsed is what Python's email package, an independent reader, finds in a message.
type parsed struct {
	Defects []string
	Header  map[string]string
	Type    string
	Text    string   // of the first part, or of the whole
	Types   []string // of the parts
	Report  []map[string]string
	Quoted  map[string]string
}

const pythonReader = `
import sys, json, email, email.policy
m = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
def defects(p):
    d = [repr(x) for x in p.defects] + [k + ": " + repr(x) for k, v in p.items() for x in getattr(v, "defects", [])]
    if p.is_multipart():
        for q in p.get_payload(): d += defects(q)
    return d
def fields(p): return {k: str(v) for k, v in p.items()}
parts = list(m.iter_parts()) if m.get_content_maintype() == "multipart" else []
out = {"Defects": defects(m), "Header": fields(m), "Type": m.get_content_type(), "Types": [p.get_content_type() for p in parts]}
out["Text"] = (parts[0] if parts else m).get_content().replace("\r\n", "\n")
if parts:
    out["Report"] = [fields(p) for p in parts[1].get_payload()]
    quoted = parts[2].get_payload(decode=True) or parts[2].as_bytes().split(b"\n\n", 1)[1]
    out["Quoted"] = fields(email.message_from_bytes(quoted, policy=email.policy.default))
print(json.dumps(out))
`

// read parses content with Python.
func read(t *testing.T, content []byte) parsed {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	cmd := exec.CommandContext(t.Context(), python, "-c", pythonReader)
	cmd.Stdin = bytes.NewReader(content)
	var errors bytes.Buffer
	cmd.Stderr = &errors
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("python3: %v\n%s", err, errors.String())
	}
	var p parsed
	if err := json.Unmarshal(out, &p); err != nil {
		t.Fatal(err)
	}
	if len(p.Defects) > 0 {
		t.Errorf("Python finds defects: %q in\n%s", p.Defects, content)
	}
	return p
}

// checkForm checks what holds for everything that we write: 7-bit, CR LF, folded.
func checkForm(t *testing.T, content []byte) {
	t.Helper()
	header := true
	for line := range strings.SplitSeq(string(content), "\r\n") {
		header = header && line != ""
		if strings.ContainsAny(line, "\r\n\x00") || len(line) > maxLine || header && len(line) > lineLength {
			t.Errorf("line %q", line)
		}
		for i := range len(line) {
			if line[i] > '~' {
				t.Fatalf("octet above 127 in %q", line)
			}
		}
	}
	if !bytes.HasSuffix(content, []byte("\r\n")) {
		t.Error("the last line does not end")
	}
}

func TestLetterIsReadByPython(t *testing.T) {
	t.Parallel()
	me, you := mail.Address{Local: "me", Domain: "sendingemail.com"}, mail.Address{Local: "a b", Domain: "receivingemail.com"}
	many := []mail.Address{you}
	for range 20 {
		many = append(many, me)
	}
	for name, l := range map[string]Letter{
		"plain":  {Subject: "Test Email", Body: "Here is my data.\n"},
		"empty":  {},
		"german": {Subject: strings.Repeat("Grüße aus Köln, ", 12) + "€", Body: "Schöne Grüße\n.\nFrom here\n"},
		"long":   {Subject: strings.Repeat("word ", 60) + "end", Body: strings.Repeat("x", 5000) + "\r\n"},
		"ends":   {Subject: "=?utf-8?q?not_encoded?=", Body: "one\rtwo\r\nthree"},
		"spaces": {Subject: " two  spaces ", Body: "b\n"},
		"word":   {Subject: "a " + strings.Repeat("x", 1200) + " b", Body: "b\n"},
		"extra":  {Subject: "s", Body: "b\n", Extra: []Extra{{"X-Note", "Überraschung"}}},
	} {
		l.From, l.To, l.Date, l.MessageID = me, many, noon, "1@sendingemail.com"
		content, err := l.Bytes()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		checkForm(t, content)
		p := read(t, content)
		want := strings.ReplaceAll(strings.ReplaceAll(l.Body, "\r\n", "\n"), "\r", "\n")
		if want != "" && !strings.HasSuffix(want, "\n") {
			want += "\n"
		}
		if p.Header["Subject"] != l.Subject || p.Text != want {
			t.Errorf("%s: Python reads subject %q and text %q", name, p.Header["Subject"], p.Text)
		}
		if p.Header["Date"] != "Mon, 23 Nov 2026 12:00:00 +0000" || p.Header["From"] != "me@sendingemail.com" ||
			strings.Count(p.Header["To"], "@") != len(many) || p.Header["Message-ID"] != "<1@sendingemail.com>" {
			t.Errorf("%s: header %v", name, p.Header)
		}
		for _, e := range l.Extra {
			if p.Header[e.Name] != e.Value {
				t.Errorf("%s: %s is %q", name, e.Name, p.Header[e.Name])
			}
		}
	}
}

func TestLetterRefuses(t *testing.T) {
	t.Parallel()
	me := mail.Address{Local: "me", Domain: "b.test"}
	for name, l := range map[string]Letter{
		"no sender":       {To: []mail.Address{me}},
		"nobody":          {From: me},
		"bare postmaster": {From: me, To: []mail.Address{{Local: "postmaster"}}},
		"subject":         {From: me, To: []mail.Address{me}, Subject: "a\r\nBcc: b"},
		"id":              {From: me, To: []mail.Address{me}, MessageID: "a>\r\nBcc: b"},
		"field name":      {From: me, To: []mail.Address{me}, Extra: []Extra{{"A:b", "c"}}},
		"field value":     {From: me, To: []mail.Address{me}, Extra: []Extra{{"A", "c\nd"}}},
		"field control":   {From: me, To: []mail.Address{me}, Extra: []Extra{{"A", "c\x1b[2J"}}},
		"field Latin-1":   {From: me, To: []mail.Address{me}, Extra: []Extra{{"A", "Gr\xfc\xdfe"}}},
		"second From":     {From: me, To: []mail.Address{me}, Extra: []Extra{{"fRom", "x@y.test"}}},
		"bcc in clear":    {From: me, To: []mail.Address{me}, Extra: []Extra{{"BCC", "x@y.test"}}},
		"subject Latin-1": {From: me, To: []mail.Address{me}, Subject: "Gr\xfc\xdfe"},
		"subject control": {From: me, To: []mail.Address{me}, Subject: "a\x00b"},
		"text Latin-1":    {From: me, To: []mail.Address{me}, Body: "a\nGr\xfc\xdfe\n"},
	} {
		if content, err := l.Bytes(); err == nil {
			t.Errorf("%s: no error, but\n%s", name, content)
		}
	}
	_, err := Letter{From: me, To: []mail.Address{me}, Body: "\uFFFD\nä\n\xfc\n"}.Compose()
	if err == nil || err.Error() != "the text is not UTF-8: line 3 has the octet 0xFC" {
		t.Error(err)
	}
	l := Letter{From: me, To: []mail.Address{me}}
	one, err1 := l.Bytes()
	two, err2 := l.Bytes()
	if err1 != nil || err2 != nil || First(one, "Message-ID") == First(two, "Message-ID") {
		t.Errorf("two letters share a Message-ID: %v %v", err1, err2)
	}
}

// TestComposedSize: how large a letter is is known before its files are read, and a file of another size is an error.
func TestComposedSize(t *testing.T) {
	t.Parallel()
	me := mail.Address{Local: "me", Domain: "b.test"}
	for _, n := range []int{0, 1, 2, 3, 56, 57, 58, 113, 114, 115, 1000, 100_000} {
		file := func(size int) Attachment {
			open := func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(strings.Repeat("x", n))), nil }
			return Attachment{Name: "a", Size: int64(size), Open: open}
		}
		c, err := Letter{From: me, To: []mail.Address{me}, Body: "ü", Attachments: []Attachment{file(n), file(n)}}.Compose()
		if err != nil {
			t.Fatal(err)
		}
		var one, two bytes.Buffer
		if err := errors.Join(c.Write(&one), c.Write(&two)); err != nil || int64(one.Len()) != c.Size() || one.String() != two.String() {
			t.Errorf("with %d octets: %d, then %d; %d were said; %v", n, one.Len(), two.Len(), c.Size(), err)
		}
		if !strings.HasPrefix(one.String(), c.Header()+"\r\n--") {
			t.Errorf("the header is %q", c.Header())
		}
		for _, wrong := range []int{n - 1, n + 1} {
			c, _ := Letter{From: me, To: []mail.Address{me}, Attachments: []Attachment{file(wrong)}}.Compose()
			if err := c.Write(io.Discard); !errors.Is(err, ErrSize) {
				t.Errorf("%d octets instead of %d: %v", n, wrong, err)
			}
		}
	}
}
