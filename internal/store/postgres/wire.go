package postgres

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// What the server's types are called on the wire (pg_type.dat), and how arrays of them are written there: number of
// dimensions, whether there are NULLs, type of the elements, then length and lower bound of the dimension, then each
// element with its length in front (array_send in the server's arrayfuncs.c).
const (
	oidBool       = 16
	oidBytea      = 17
	oidInt8       = 20
	oidText       = 25
	oidByteaArray = 1001
	oidInt8Array  = 1016
)

const arrayHeader = 20

// errShortAnswer: the server's answer is not what its type says.
var errShortAnswer = errors.New("the server's answer cannot be understood")

func appendHeader(b []byte, element uint32, n int) []byte {
	b = binary.BigEndian.AppendUint32(b, 1)
	b = binary.BigEndian.AppendUint32(b, 0)
	b = binary.BigEndian.AppendUint32(b, element)
	b = binary.BigEndian.AppendUint32(b, uint32(n))
	return binary.BigEndian.AppendUint32(b, 1)
}

// byteaArray encodes n elements, each given by at.
func byteaArray[T string | []byte](n int, at func(int) T) []byte { return appendByteaArray(nil, n, at) }

// appendByteaArray encodes n elements into the memory of b, if that suffices.
func appendByteaArray[T string | []byte](b []byte, n int, at func(int) T) []byte {
	size := arrayHeader + 4*n
	for i := range n {
		size += len(at(i))
	}
	if cap(b) < size {
		b = make([]byte, 0, size)
	}
	b = appendHeader(b[:0], oidBytea, n)
	for i := range n {
		v := at(i)
		b = binary.BigEndian.AppendUint32(b, uint32(len(v)))
		b = append(b, v...)
	}
	return b
}

func byteaList[T string | []byte](list []T) []byte {
	return byteaArray(len(list), func(i int) T { return list[i] })
}

// int8Array encodes n elements, each given by at.
func int8Array(n int, at func(int) int64) []byte {
	b := appendHeader(make([]byte, 0, arrayHeader+12*n), oidInt8, n)
	for i := range n {
		b = binary.BigEndian.AppendUint32(b, 8)
		b = binary.BigEndian.AppendUint64(b, uint64(at(i)))
	}
	return b
}

func int8Param(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

// octets is b, but never nil: nil is NULL on the wire.
func octets(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func readInt8(v []byte) (int64, error) {
	if len(v) != 8 {
		return 0, fmt.Errorf("%w: a number of %d octets", errShortAnswer, len(v))
	}
	return int64(binary.BigEndian.Uint64(v)), nil
}

// readByteaArray decodes an array of one dimension without NULLs. The elements lie in v.
func readByteaArray(v []byte) (list [][]byte, err error) {
	if len(v) == 12 && binary.BigEndian.Uint32(v) == 0 {
		return nil, nil // no dimension: no elements
	}
	if len(v) < arrayHeader || binary.BigEndian.Uint32(v) != 1 || binary.BigEndian.Uint32(v[8:]) != oidBytea {
		return nil, fmt.Errorf("%w: an array", errShortAnswer)
	}
	n := binary.BigEndian.Uint32(v[12:])
	for v = v[arrayHeader:]; n > 0; n-- {
		if len(v) < 4 {
			return nil, fmt.Errorf("%w: an array", errShortAnswer)
		}
		size := binary.BigEndian.Uint32(v)
		if v = v[4:]; uint64(size) > uint64(len(v)) {
			return nil, fmt.Errorf("%w: an array", errShortAnswer)
		}
		list = append(list, v[:size:size])
		v = v[size:]
	}
	return list, nil
}
