package postgres

import (
	"bytes"
	"slices"
	"testing"
)

func FuzzReadByteaArray(f *testing.F) {
	f.Add(byteaList([]string{"", "a", "bcd"}))
	f.Add(byteaList([]string{}))
	f.Fuzz(func(t *testing.T, v []byte) {
		list, err := readByteaArray(v)
		if err != nil {
			return
		}
		size := 0
		for _, e := range list {
			size += 4 + len(e)
		}
		if size > len(v) {
			t.Errorf("%d octets of elements in %d", size, len(v))
		}
	})
}

func FuzzDecodeKeys(f *testing.F) {
	f.Add(encodeKeys([]string{"", "a", "bcd"}))
	f.Fuzz(func(t *testing.T, v []byte) {
		var keys []string
		if err := decodeKeys(v, func(key []byte) { keys = append(keys, string(key)) }); err == nil && !bytes.Equal(encodeKeys(keys), v) {
			t.Errorf("%x comes back as %x", v, encodeKeys(keys))
		}
	})
}

func TestArraysComeBack(t *testing.T) {
	t.Parallel()
	for _, want := range [][]string{nil, {""}, {"a", "", "\x00\xff"}} {
		list, err := readByteaArray(byteaList(want))
		var got []string
		for _, e := range list {
			got = append(got, string(e))
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
}
