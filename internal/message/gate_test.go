package message

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

// through writes content to a gate in pieces of size octets, and returns the header that was seen and what came out.
func through(content string, limit, size int, pass func([]byte) ([]byte, error)) (seen, out string, err error) {
	var b bytes.Buffer
	g := HeaderGate{Next: &b, Limit: limit, Pass: func(header []byte) ([]byte, error) {
		seen = string(header)
		return pass(header)
	}}
	for piece := range slices.Chunk([]byte(content), size) {
		if n, err := g.Write(piece); err != nil {
			return seen, b.String(), err
		} else if n != len(piece) {
			return seen, b.String(), io.ErrShortWrite
		}
	}
	err = g.Close()
	return seen, b.String(), err
}

func same(header []byte) ([]byte, error) { return header, nil }

func TestHeaderGate(t *testing.T) {
	t.Parallel()
	for content, header := range map[string]string{
		"From: a\r\nTo: b\r\n\r\nbody\r\n\r\nmore": "From: a\r\nTo: b\r\n",
		"\r\nbody":                   "",
		"":                           "",
		"\r":                         "\r",
		"From: a\r\n":                "From: a\r\n",
		"From: a":                    "From: a",
		"From: a\r\n\r\n":            "From: a\r\n",
		"From: a\n\nTo: b\r\r\n\r\n": "From: a\n\nTo: b\r\r\n",
	} {
		for _, size := range []int{1, 2, 3, 5, 1000} {
			for _, limit := range []int{len(header), 1000} {
				if seen, out, err := through(content, limit, size, same); err != nil || seen != header || out != content {
					t.Errorf("%q in pieces of %d, limit %d: header %q, out %q, %v", content, size, limit, seen, out, err)
				}
				replace := func([]byte) ([]byte, error) { return []byte("X: y\r\n"), nil }
				if _, out, err := through(content, limit, size, replace); err != nil || out != "X: y\r\n"+content[len(header):] {
					t.Errorf("%q in pieces of %d, limit %d: replaced %q, %v", content, size, limit, out, err)
				}
			}
			if len(header) == 0 {
				continue
			}
			if _, out, err := through(content, len(header)-1, size, same); !errors.Is(err, ErrHeaderTooLarge) || out != "" {
				t.Errorf("%q in pieces of %d: one octet too much gives %q, %v", content, size, out, err)
			}
		}
	}
}

func TestRefusedHeaderGoesNoFurther(t *testing.T) {
	t.Parallel()
	refused := errors.New("refused")
	for _, content := range []string{"A: b\r\n\r\nbody", "A: b\r\n"} {
		_, out, err := through(content, 100, 4, func([]byte) ([]byte, error) { return nil, refused })
		if !errors.Is(err, refused) || out != "" {
			t.Errorf("%q: %q got through, %v", content, out, err)
		}
	}
}

// TestBodyIsNotHeld: a body of 100,000 MIME parts costs no more memory than one of one part.
func TestBodyIsNotHeld(t *testing.T) {
	part := []byte(strings.Repeat("--b\r\nContent-Type: text/plain\r\n\r\nx\r\n", 1000))
	pass := func(parts int) float64 {
		return testing.AllocsPerRun(5, func() {
			g := HeaderGate{Next: io.Discard, Limit: 1000, Pass: same}
			io.WriteString(&g, "Content-Type: multipart/mixed; boundary=b\r\n\r\n")
			for range parts / 1000 {
				g.Write(part)
			}
			g.Close()
		})
	}
	if few, many := pass(1000), pass(100_000); many > few {
		t.Errorf("1,000 parts make %v allocations, 100,000 make %v", few, many)
	}
}

// FuzzHeaderGate: nothing is lost or altered, however the message is cut, and the header is the one that Head keeps.
func FuzzHeaderGate(f *testing.F) {
	f.Add("From: a\r\n\r\nb", uint8(2), uint8(20))
	f.Fuzz(func(t *testing.T, content string, size, limit uint8) {
		seen, out, err := through(content, int(limit), int(size)+1, same)
		if err != nil {
			if !errors.Is(err, ErrHeaderTooLarge) || out != "" {
				t.Fatalf("%q: %q got through, %v", content, out, err)
			}
			return
		}
		var h Head
		io.WriteString(&h, content)
		if out != content || seen != string(h.Bytes()) {
			t.Fatalf("%q: header %q, Head keeps %q, out %q", content, seen, h.Bytes(), out)
		}
	})
}
