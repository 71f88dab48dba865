// Package record is the binary form of small stored values: a format number, then fields of variable length one
// after the other. It is cheap to write and read, and reading never panics and never allocates more than the value's
// own size allows, whatever the octets are. What the fields mean is known to the package that stores the value.
package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// ErrCorrupt is returned for a value that is not in its form.
var ErrCorrupt = errors.New("stored value is corrupt")

// AppendText adds a string with its length.
func AppendText[T ~string | ~[]byte](b []byte, s T) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// AppendTime adds an instant in microseconds; the rest is cut off.
func AppendTime(b []byte, t time.Time) []byte { return binary.AppendVarint(b, t.UnixMicro()) }

// Reader takes a value apart, field by field. The first mistake makes every later field zero; End tells of it.
type Reader struct {
	rest []byte
	err  error
}

// NewReader begins with value, whose first octet must be that format number.
func NewReader(value []byte, format byte) *Reader {
	r := &Reader{rest: value}
	if have := r.Octet(); r.err == nil && have != format {
		r.err = fmt.Errorf("%w: it has format %d, this program knows %d", ErrCorrupt, have, format)
	}
	return r
}

// Octet reads one octet.
func (r *Reader) Octet() byte {
	if b := r.Fixed(1); b != nil {
		return b[0]
	}
	return 0
}

// Fixed reads n octets; nil if there are fewer. They are part of the value.
func (r *Reader) Fixed(n int) []byte {
	if r.err != nil || n < 0 || n > len(r.rest) {
		r.fail()
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

// Uint64 reads 8 octets, big-endian.
func (r *Reader) Uint64() uint64 {
	if b := r.Fixed(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// Uint32 reads 4 octets, big-endian.
func (r *Reader) Uint32() uint32 {
	if b := r.Fixed(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// Uvarint reads an unsigned number.
func (r *Reader) Uvarint() uint64 {
	n, size := binary.Uvarint(r.rest)
	return number(r, n, size)
}

// Varint reads a signed number.
func (r *Reader) Varint() int64 {
	n, size := binary.Varint(r.rest)
	return number(r, n, size)
}

func number[T uint64 | int64](r *Reader, n T, size int) T {
	if r.err != nil || size <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

// Size reads a number of octets that other parts of the store hold; it is never negative.
func (r *Reader) Size() int64 {
	n := r.Uvarint()
	if int64(n) < 0 {
		r.fail()
		return 0
	}
	return int64(n)
}

// Count reads the number of elements that follow, each of at least one octet.
func (r *Reader) Count() int {
	n := r.Uvarint()
	if n > uint64(len(r.rest)) {
		r.fail()
		return 0
	}
	return int(n)
}

// Bytes reads what AppendText wrote. It is part of the value.
func (r *Reader) Bytes() []byte { return r.Fixed(r.Count()) }

// Text reads what AppendText wrote, as a copy.
func (r *Reader) Text() string { return string(r.Bytes()) }

// Time reads what AppendTime wrote, in UTC.
func (r *Reader) Time() time.Time { return time.UnixMicro(r.Varint()).UTC() }

// More says whether fields are left to read.
func (r *Reader) More() bool { return r.err == nil && len(r.rest) > 0 }

// Fail notes that a field's value is impossible.
func (r *Reader) Fail() { r.fail() }

func (r *Reader) fail() {
	if r.err == nil {
		r.err = ErrCorrupt
	}
	r.rest = nil
}

// Err returns ErrCorrupt if something was wrong so far.
func (r *Reader) Err() error { return r.err }

// End returns ErrCorrupt if something was wrong, or if something is left over.
func (r *Reader) End() error {
	if len(r.rest) > 0 {
		r.fail()
	}
	return r.err
}

// Uint31 reads an unsigned number that fits an int32.
func (r *Reader) Uint31() uint32 {
	n := r.Uvarint()
	if n > 1<<31-1 {
		r.fail()
		return 0
	}
	return uint32(n)
}
