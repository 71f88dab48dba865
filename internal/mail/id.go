package mail

import (
	"crypto/rand"
	"fmt"
	"time"
)

// ID names one message in custody: in the final 250, in Received, in logs, and it finds the waybill.
// 14 characters of a case-insensitive alphabet without look-alikes: 7 for the time to the second,
// 2 for the node and 5 of randomness. IDs sort by time. An ID is unique because a spool entry is
// created only where there is none; on a clash another one is drawn.
type ID string

const (
	idAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ" // Crockford's base 32: no I, L, O, U
	idTime     = 7
	idNode     = 2
	idRandom   = 5
	idLength   = idTime + idNode + idRandom
)

// NewID draws an ID for a message taken into custody at now by the node with that number (0 to 1023).
func NewID(now time.Time, node uint16) ID {
	var b [idLength]byte
	putBase32(b[:idTime], uint64(now.Unix()))
	putBase32(b[idTime:idTime+idNode], uint64(node)&1023)
	var r [idRandom]byte
	rand.Read(r[:]) // never fails, since Go 1.24
	for i, v := range r {
		b[idTime+idNode+i] = idAlphabet[v&31]
	}
	return ID(b[:])
}

// ParseID reads an ID as a person types it: any case, with the look-alikes I, L, O forgiven.
func ParseID(s string) (ID, error) {
	if len(s) != idLength {
		return "", fmt.Errorf("a message id has %d characters, %q has %d", idLength, s, len(s))
	}
	b := []byte(s)
	for i, c := range b {
		v := base32Value(c)
		if v < 0 {
			return "", fmt.Errorf("character %q cannot be in a message id (%q)", c, s)
		}
		b[i] = idAlphabet[v]
	}
	return ID(b), nil
}

// Time returns the second in which the ID was drawn.
func (id ID) Time() time.Time {
	if len(id) != idLength {
		return time.Time{}
	}
	var n int64
	for _, c := range []byte(id[:idTime]) {
		n = n<<5 | int64(base32Value(c)&31)
	}
	return time.Unix(n, 0).UTC()
}

// IDsFrom is a text that sorts behind every ID of an earlier second, and before all others.
func IDsFrom(at time.Time) string {
	var b [idTime]byte
	putBase32(b[:], uint64(max(at.Unix(), 0)))
	return string(b[:])
}

func putBase32(b []byte, v uint64) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = idAlphabet[v&31]
		v >>= 5
	}
}

func base32Value(c byte) int {
	switch {
	case c >= 'a' && c <= 'z':
		c -= 'a' - 'A'
	}
	switch c {
	case 'O':
		return 0
	case 'I', 'L':
		return 1
	}
	for i := range len(idAlphabet) {
		if idAlphabet[i] == c {
			return i
		}
	}
	return -1
}
