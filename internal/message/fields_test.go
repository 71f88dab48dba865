package message

import (
	"bytes"
	"strings"
	"testing"
)

func TestFields(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ header, want string }{
		"plain":             {"From: a@b.test\r\nTo: c@d.test\r\n", "From=a@b.test|To=c@d.test"},
		"ends at the body":  {"A: 1\r\n\r\nB: 2\r\n", "A=1"},
		"folded":            {"A: one\r\n two\r\n\tthree\r\nB: 2\r\n", "A=one two three|B=2"},
		"bare LF":           {"A: 1\nB: 2\n\nC: 3\n", "A=1|B=2"},
		"no line end":       {"A: 1", "A=1"},
		"empty value":       {"A:\r\nB:   \r\n", "A=|B="},
		"space before :":    {"Subject \t: x\r\n", "Subject=x"},
		"junk is skipped":   {"From mbox\r\n folded\r\nA: 1\r\n: no name\r\nB\x00: 2\r\nÄ: 3\r\nC: 4\r\n", "A=1|C=4"},
		"fold first":        {" x: y\r\nA: 1\r\n", "A=1"},
		"octets stay":       {"A: \xff\xfe\r\n", "A=\xff\xfe"},
		"CR within":         {"A: 1\rB: 2\r\n", "A=1\rB: 2"},
		"white line folds":  {"A: 1\r\n \r\n 2\r\nB: 3\r\n", "A=1  2|B=3"},
		"empty":             {"", ""},
		"only an empty one": {"\r\nA: 1\r\n", ""},
	} {
		var got []string
		for _, f := range Fields([]byte(test.header)) {
			got = append(got, f.Name+"="+f.Value)
			if !strings.Contains(test.header, string(f.Raw)) {
				t.Errorf("%s: Raw %q is no range of the header", name, f.Raw)
			}
		}
		if s := strings.Join(got, "|"); s != test.want {
			t.Errorf("%s: %q, want %q", name, s, test.want)
		}
	}
}

func TestFieldsAreBounded(t *testing.T) {
	t.Parallel()
	if n := len(Fields(bytes.Repeat([]byte("a:\n"), 2*MaxFields))); n != MaxFields {
		t.Errorf("%d fields, want %d", n, MaxFields)
	}
	long := append(bytes.Repeat([]byte("x"), MaxHeader), "\nA: 1\n"...)
	if n := len(Fields(long)); n != 0 {
		t.Errorf("%d fields behind the bound", n)
	}
}

func TestCountAndHas(t *testing.T) {
	t.Parallel()
	header := []byte("Received: a\r\n received: folded\r\nRECEIVED: b\r\nReceived : c\r\nX-Received: d\r\n\r\nReceived: body\r\n")
	if n := CountReceived(header); n != 3 {
		t.Errorf("%d Received fields, want 3", n)
	}
	if !HasField(header, "x-received") || HasField(header, "Date") || HasField(header, "body") {
		t.Error("HasField errs")
	}
	if got := First(header, "received"); got != "a received: folded" {
		t.Errorf("First: %q", got)
	}
}

// FuzzFields: whatever comes in, the fields are ranges of it, in order, with clean names and values on one line.
func FuzzFields(f *testing.F) {
	for _, s := range []string{"A: b\r\n c\r\n\r\n", "a:\nb :\n", ":\n\n", " x\r\n", "A: \r\n \r\n", "\r", "a\r:b", "a:b\r\r\n c"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, header []byte) {
		at := 0
		for _, field := range Fields(header) {
			i := bytes.Index(header[at:], field.Raw)
			if i < 0 || len(field.Raw) == 0 {
				t.Fatalf("%q is not in the rest of the header", field.Raw)
			}
			at += i + len(field.Raw)
			if !isFieldName(field.Name) || strings.Contains(field.Value, "\n") {
				t.Fatalf("field %q: %q", field.Name, field.Value)
			}
		}
	})
}

func TestStrip(t *testing.T) {
	t.Parallel()
	header := "Bcc: a\r\n\tb\r\nTo: c\r\nno field\r\n bcc: folded below it\r\nBCC : d\r\nX: e\r\n\r\nBcc: body"
	want := "To: c\r\nno field\r\n bcc: folded below it\r\nX: e\r\n"
	if n := CountFields([]byte(want)); n != 3 {
		t.Errorf("%d fields are counted", n)
	}
	if got := Strip([]byte(header), func(f Field) bool { return strings.EqualFold(f.Name, "Bcc") }); string(got) != want {
		t.Errorf("%q, want %q", got, want)
	}
}
