package record

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"
)

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 12, 0, 1, 123456789, time.UTC)
	b := AppendText([]byte{7}, "text")
	b = AppendText(b, "")
	b = AppendTime(b, at)
	b = AppendTime(b, time.Time{})
	b = binary.AppendUvarint(b, 300)
	b = binary.AppendVarint(b, -300)
	b = binary.BigEndian.AppendUint64(b, 1<<63)
	b = binary.BigEndian.AppendUint32(b, 1<<31)
	r := NewReader(b, 7)
	if got := r.Text(); got != "text" {
		t.Errorf("text %q", got)
	}
	if got := r.Text(); got != "" {
		t.Errorf("text %q", got)
	}
	if got := r.Time(); got != at.Truncate(time.Microsecond) {
		t.Errorf("time %v", got)
	}
	if got := r.Time(); got != (time.Time{}) {
		t.Errorf("zero time %v", got)
	}
	if u, v, w, x := r.Uvarint(), r.Varint(), r.Uint64(), r.Uint32(); u != 300 || v != -300 || w != 1<<63 || x != 1<<31 {
		t.Errorf("numbers %d %d %d %d", u, v, w, x)
	}
	if r.More() || r.End() != nil {
		t.Errorf("more %v, end %v", r.More(), r.End())
	}
}

func TestMistakesAreTold(t *testing.T) {
	t.Parallel()
	for name, read := range map[string]func() error{
		"empty":        func() error { return NewReader(nil, 1).End() },
		"other format": func() error { return NewReader([]byte{2}, 1).End() },
		"left over":    func() error { return NewReader([]byte{1, 0}, 1).End() },
		"short text":   func() error { r := NewReader([]byte{1, 5, 'a'}, 1); r.Text(); return r.Err() },
		"long varint": func() error {
			r := NewReader([]byte("\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), 1)
			r.Uvarint()
			return r.Err()
		},
		"huge size":    func() error { r := NewReader(binary.AppendUvarint([]byte{1}, 1<<63), 1); r.Size(); return r.Err() },
		"huge number":  func() error { r := NewReader(binary.AppendUvarint([]byte{1}, 1<<31), 1); r.Uint31(); return r.Err() },
		"short number": func() error { r := NewReader([]byte{1, 0, 0, 0}, 1); r.Uint32(); return r.Err() },
		"after a mistake": func() error {
			r := NewReader([]byte{1, 9, 1}, 1)
			r.Text()
			r.Octet()
			return r.End()
		},
	} {
		if err := read(); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", name, err)
		}
	}
}

// FuzzReader calls the reader's methods in the order that the first octets say: it must neither panic nor read on
// after a mistake.
func FuzzReader(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4}, []byte{1, 2, 'a', 'b'})
	f.Fuzz(func(t *testing.T, calls, value []byte) {
		r := NewReader(value, 1)
		for _, call := range calls {
			before := r.Err()
			switch call % 9 {
			case 0:
				r.Text()
			case 1:
				r.Time()
			case 2:
				r.Uvarint()
			case 3:
				r.Size()
			case 4:
				r.Fixed(int(int8(call)))
			case 5:
				r.Uint31()
			case 6:
				r.Uint64()
			case 7:
				r.Octet()
			case 8:
				if n := r.Count(); n > len(value) {
					t.Fatalf("%d elements in %d octets", n, len(value))
				}
			}
			if before != nil && (r.Err() == nil || r.More()) {
				t.Fatal("it went on after a mistake")
			}
		}
	})
}
