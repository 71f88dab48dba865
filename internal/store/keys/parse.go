package keys

import (
	"bytes"
	"encoding/binary"

	"waybill/internal/mail"
)

// cutText takes a text, as text writes it, off the beginning of b.
func cutText(b []byte) (s string, rest []byte, ok bool) {
	end := bytes.Index(b, []byte{0, 1})
	if end < 0 {
		return "", nil, false
	}
	return string(bytes.ReplaceAll(b[:end], []byte{0, 0xff}, []byte{0})), b[end+2:], true
}

// cutName takes the name off a key.
func cutName(key []byte) (rest []byte, ok bool) {
	_, rest, ok = bytes.Cut(key, []byte("/"))
	return rest, ok
}

// ParseOwner returns the account of a key whose first field is one, as of "box/" or "mail/", and what follows; ok is false
// for others.
func ParseOwner(key []byte) (account string, rest []byte, ok bool) {
	rest, ok = cutName(key)
	if !ok {
		return "", nil, false
	}
	return cutText(rest)
}

// ParseAddress returns the address of the key of an account, an alias, a password or keys for SCRAM, its local-part in lower
// case; ok is false for others.
func ParseAddress(key []byte) (a mail.Address, ok bool) {
	rest, ok := cutName(key)
	if !ok {
		return a, false
	}
	if a.Domain, rest, ok = cutText(rest); !ok {
		return mail.Address{}, false
	}
	if a.Local, rest, ok = cutText(rest); !ok || len(rest) > 0 {
		return mail.Address{}, false
	}
	return a, true
}

// ParseBoxCounter returns the mailbox of a counter, and which of UIDs ('u'), Changes ('c') and Count ('n') it is; ok is
// false if key is none of them.
func ParseBoxCounter(key []byte) (x Box, which byte, ok bool) {
	account, rest, ok := ParseOwner(key)
	if !ok || len(rest) != 5 || !bytes.HasPrefix(key, []byte("boxcount/")) || !bytes.ContainsRune([]byte("ucn"), rune(rest[4])) {
		return Box{}, 0, false
	}
	return Box{account, binary.BigEndian.Uint32(rest)}, rest[4], true
}

// ParseGone returns the mailbox, change and UID of a tombstone; ok is false if key is none.
func ParseGone(key []byte) (x Box, change uint64, uid uint32, ok bool) {
	account, rest, ok := ParseOwner(key)
	if !ok || len(rest) != 4+8+UIDWidth || !bytes.HasPrefix(key, []byte("gone/")) {
		return Box{}, 0, 0, false
	}
	return Box{account, binary.BigEndian.Uint32(rest)}, binary.BigEndian.Uint64(rest[4:]), ParseUID(key), true
}

// ParseOmitted returns the message of the counter of omitted events; ok is false if key is none.
func ParseOmitted(key []byte) (id mail.ID, ok bool) {
	const idLength = 14
	rest, ok := bytes.CutPrefix(key, TrailAll())
	if !ok || len(rest) != 4+idLength+1 || rest[len(rest)-1] != 0xff {
		return "", false
	}
	return mail.ID(rest[4 : 4+idLength]), true
}
