package mail

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"sync"
	"time"
)

// ID names one message in custody: in the final 250, in Received, in logs, and it finds the waybill.
// 14 characters of a case-insensitive alphabet without look-alikes: 7 for the time to the second,
// 2 for the node and 5 that tell the messages of that second apart. IDs sort by time. IDs sees to
// it that no process gives one twice.
type ID string

const (
	idAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ" // Crockford's base 32: no I, L, O, U
	idTime     = 7
	idNode     = 2
	idRandom   = 5
	idLength   = idTime + idNode + idRandom
)

// IDs draws the IDs of one node's messages, each at most once. It is safe for concurrent use.
//
// The last characters walk through all their values, from a place and with a stride that are random in each second: so
// no two are alike in a process, and two processes, or a clock that was set back over a restart, hardly meet.
type IDs struct {
	node func() uint16

	mu     sync.Mutex
	second int64 // never goes back
	place  uint32
	stride uint32 // odd
	left   uint32 // in this second
}

// Nodes is how many numbers there are for nodes, from 0.
const Nodes = 1 << (5 * idNode)

// NewIDs returns the IDs of the node with that number, which is less than Nodes.
func NewIDs(node uint16) *IDs { return IDsOf(func() uint16 { return node }) }

// IDsOf returns the IDs of a node whose number may change.
func IDsOf(node func() uint16) *IDs { return &IDs{node: node} }

// idsASecond is how many IDs a second has.
const idsASecond = 1 << (5 * idRandom)

// New draws the ID of a message taken into custody at now.
func (g *IDs) New(now time.Time) ID {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch second := now.Unix(); {
	case second > g.second:
		g.begin(second)
	case g.left == 0:
		g.begin(g.second + 1)
	}
	g.left--
	g.place += g.stride
	var b [idLength]byte
	putBase32(b[:idTime], uint64(g.second))
	putBase32(b[idTime:idTime+idNode], uint64(g.node())%Nodes)
	putBase32(b[idTime+idNode:], uint64(g.place%idsASecond))
	return ID(b[:])
}

func (g *IDs) begin(second int64) {
	var r [8]byte
	rand.Read(r[:]) // never fails, since Go 1.24
	g.second, g.left = second, idsASecond
	g.place, g.stride = binary.BigEndian.Uint32(r[:4]), binary.BigEndian.Uint32(r[4:])|1
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

// Node is the number of the node that drew the ID; 0 for what is none.
func (id ID) Node() uint16 {
	if len(id) != idLength {
		return 0
	}
	var n uint16
	for _, c := range []byte(id[idTime : idTime+idNode]) {
		n = n<<5 | uint16(base32Value(c)&31)
	}
	return n
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
