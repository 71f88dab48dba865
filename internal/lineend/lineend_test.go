package lineend

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func pieces(t testing.TB, write func([]byte) (int, error), text string, size int) {
	for b := []byte(text); len(b) > 0; {
		n := min(size, len(b))
		if _, err := write(b[:n]); err != nil {
			t.Fatal(err)
		}
		b = b[n:]
	}
}

func TestBothWays(t *testing.T) {
	t.Parallel()
	for _, test := range [][3]string{ // text, on the wire, in a file
		{"a\nb\r\nc", "a\r\nb\r\nc", "a\nb\nc"},
		{"\n\n", "\r\n\r\n", "\n\n"},
		{"\r\r\n\r", "\r\r\n\r", "\r\n\r"},
		{"", "", ""},
	} {
		for size := 1; size < 4; size++ {
			var wire, file bytes.Buffer
			pieces(t, ToWire(&wire).Write, test[0], size)
			w := ToFile(&file)
			pieces(t, w.Write, test[0], size)
			w.Close()
			read, err := io.ReadAll(FromFile(iotest.OneByteReader(strings.NewReader(test[0]))))
			if err != nil || string(read) != test[1] {
				t.Errorf("%q is read as %q, %v", test[0], read, err)
			}
			if wire.String() != test[1] || file.String() != test[2] {
				t.Errorf("%q in pieces of %d: %q and %q", test[0], size, wire.String(), file.String())
			}
		}
	}
}

func FuzzThereAndBack(f *testing.F) {
	f.Add("a\nb\r\n", 2)
	f.Fuzz(func(t *testing.T, text string, size int) {
		var wire, file bytes.Buffer
		size = 1 + max(size, -size)%7
		pieces(t, ToWire(&wire).Write, text, size)
		read, err := io.ReadAll(FromFile(iotest.HalfReader(strings.NewReader(text))))
		if err != nil || string(read) != wire.String() {
			t.Errorf("%q is read as %q and written as %q, %v", text, read, wire.String(), err)
		}
		w := ToFile(&file)
		pieces(t, w.Write, wire.String(), size)
		w.Close()
		if want := strings.ReplaceAll(text, "\r\n", "\n"); file.String() != want {
			t.Errorf("%q became %q, want %q", text, file.String(), want)
		}
	})
}
