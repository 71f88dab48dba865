package message

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

func index(text string, size int) []Part {
	x := NewIndexer(io.Discard)
	for b := []byte(text); len(b) > 0; {
		n := min(size, len(b))
		x.Write(b[:n])
		b = b[n:]
	}
	return x.Parts()
}

// shown is an index with the octets that it means: depth, header, body, lines.
func shown(text string, parts []Part) string {
	var b strings.Builder
	for _, p := range parts {
		fmt.Fprintf(&b, "%d %q %q %d\n", p.Depth, text[p.Header:p.Body], text[p.Body:p.End], p.Lines)
	}
	return b.String()
}

func TestIndex(t *testing.T) {
	t.Parallel()
	const nested = "Content-Type: multipart/mixed; boundary=\"a b\"\r\n\r\npreamble\r\n--a b\r\n\r\none\r\n--a bc\r\n--a b  \r\n" +
		"Content-Type: multipart/alternative;\r\n boundary=in\r\n\r\n--in\r\nX: 1\r\n\r\ntwo\r\n\r\n--in\r\nX: no body\r\n--in--\r\nepilogue\r\n" +
		"--a b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ninner\r\n--a b--\r\nend\r\n"
	for _, test := range []struct{ text, want string }{
		{"Subject: x\r\n\r\none\r\ntwo", "0 \"Subject: x\\r\\n\\r\\n\" \"one\\r\\ntwo\" 1\n"},
		{"Subject: x\r\n", "0 \"Subject: x\\r\\n\" \"\" 0\n"},
		{"", "0 \"\" \"\" 0\n"},
		{"\r\nbody", "0 \"\\r\\n\" \"body\" 0\n"},
		{"Content-Type: multipart/mixed\r\n\r\n--\r\nx\r\n", "0 \"Content-Type: multipart/mixed\\r\\n\\r\\n\" \"--\\r\\nx\\r\\n\" 2\n"},
		{"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nopen end\r\n",
			"0 \"Content-Type: multipart/mixed; boundary=x\\r\\n\\r\\n\" \"--x\\r\\n\\r\\nopen end\\r\\n\" 0\n1 \"\\r\\n\" \"open end\\r\\n\" 1\n"},
	} {
		for size := 1; size < len(test.text)+2; size++ {
			if got := shown(test.text, index(test.text, size)); got != test.want {
				t.Fatalf("%q in pieces of %d:\n%swant\n%s", test.text, size, got, test.want)
			}
		}
	}
	var got []string
	for _, p := range index(nested, 7) {
		got = append(got, fmt.Sprintf("%d %q %d", p.Depth, nested[p.Body:p.End], p.Lines))
	}
	want := []string{
		got[0], `1 "one\r\n--a bc" 1`, got[2], `2 "two\r\n" 1`, `2 "" 0`, `1 "Subject: inner\r\n\r\ninner" 0`, `2 "inner" 0`,
	}
	if !slices.Equal(got, want) || !strings.HasPrefix(got[2], `1 "--in\r\n`) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Bombs of parts, depth and header end in bounded indexes.
func TestIndexIsBounded(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"parts":  "Content-Type: multipart/mixed; boundary=x\r\n\r\n" + strings.Repeat("--x\r\n\r\n\r\n", 100_000),
		"depth":  strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 10_000),
		"levels": deep(10_000),
		"header": "X: " + strings.Repeat("x", 1<<20) + "\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nx\r\n",
		"line":   "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\n" + strings.Repeat("--x", 1<<20),
	} {
		parts := index(text, 1000)
		if len(parts) > maxParts || len(EncodeParts(parts)) > 20*maxParts {
			t.Errorf("%s: %d parts", name, len(parts))
		}
		if _, err := DecodeParts(EncodeParts(parts), int64(len(text))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func deep(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	return b.String()
}

// Whatever comes, the index is the same in whatever pieces it comes, lies within the message, and survives its encoding.
func FuzzIndex(f *testing.F) {
	f.Add([]byte("Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\none\r\n--x--\r\n"), 3)
	f.Add([]byte("Content-Type: message/rfc822\n\nA: b\n\nx\n"), 1)
	f.Fuzz(func(t *testing.T, text []byte, size int) {
		whole := index(string(text), len(text)+1)
		if got := index(string(text), 1+max(size, -(size+1))%50); !slices.Equal(got, whole) {
			t.Fatalf("in pieces %v, whole %v", got, whole)
		}
		again, err := DecodeParts(EncodeParts(whole), int64(len(text)))
		if err != nil || !slices.Equal(again, whole) {
			t.Fatalf("%v became %v, %v", whole, again, err)
		}
		if whole[0].Header != 0 || whole[0].End != int64(len(text)) || whole[0].Depth != 0 {
			t.Fatalf("the message itself is %+v of %d", whole[0], len(text))
		}
	})
}

func FuzzDecodeParts(f *testing.F) {
	f.Add(EncodeParts([]Part{{0, 0, 10, 100, 3}, {1, 20, 30, 40, 1}}), int64(100))
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		parts, err := DecodeParts(b, size)
		if err == nil && !bytes.Equal(EncodeParts(parts), b) && len(EncodeParts(parts)) > len(b) {
			t.Errorf("%x gives %v", b, parts)
		}
	})
}

func BenchmarkIndex(b *testing.B) {
	text := []byte("Content-Type: multipart/mixed; boundary=abc\r\n\r\n--abc\r\n\r\n" + strings.Repeat(strings.Repeat("x", 76)+"\r\n", 100) + "--abc--\r\n")
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		x := NewIndexer(io.Discard)
		x.Write(text)
		EncodeParts(x.Parts())
	}
}
