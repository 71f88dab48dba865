package message

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestHead(t *testing.T) {
	long := "X: " + strings.Repeat("y", MaxHeader) + "\r\nFrom: too far\r\n\r\n"
	for in, want := range map[string]string{
		"From: a\r\nTo: b\r\n\r\nbody: x\r\n": "From: a\r\nTo: b\r\n",
		"\r\nFrom: in the body\r\n":           "",
		"From: a\r\n":                         "From: a\r\n",
		"From: a\r\n\r\n\r\n":                 "From: a\r\n",
		"":                                    "",
		long:                                  long[:MaxHeader],
	} {
		for _, size := range []int{1, 2, 3, 2 << 20} { // however the message is cut
			var h Head
			for chunk := range slices.Chunk([]byte(in), size) {
				h.Write(chunk)
			}
			if got := string(h.Bytes()); got != want {
				t.Errorf("%.40q in chunks of %d: %.60q, want %.60q", in, size, got, want)
			}
		}
	}
}

// FuzzHead: what is kept does not depend on how the message is cut.
func FuzzHead(f *testing.F) {
	f.Add([]byte("From: a\r\n\r\nb"), uint8(2))
	f.Fuzz(func(t *testing.T, content []byte, size uint8) {
		var whole, cut Head
		whole.Write(content)
		for chunk := range slices.Chunk(content, int(size)+1) {
			cut.Write(chunk)
		}
		if !bytes.Equal(whole.Bytes(), cut.Bytes()) {
			t.Errorf("whole: %q, cut: %q", whole.Bytes(), cut.Bytes())
		}
	})
}
