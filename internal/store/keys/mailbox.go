package keys

import (
	"bytes"
	"encoding/binary"
)

// UIDWidth is the width of the UID at the end of a message's key and of its holder.
const UIDWidth = 4

// Mailbox is the key of a mailbox.
func Mailbox(account, name string) []byte {
	return text(text(start("box/", len(account)+len(name)+4), account), name)
}

// ParseMailbox returns the name in the key of a mailbox of that account; "" if it is none.
func ParseMailbox(account string, key []byte) string {
	rest, ok := bytes.CutPrefix(key, Mailboxes(account))
	rest, ended := bytes.CutSuffix(rest, []byte{0, 1})
	if !ok || !ended {
		return ""
	}
	return string(bytes.ReplaceAll(rest, []byte{0, 0xff}, []byte{0}))
}

// Mailboxes begins the keys of the mailboxes of an account.
func Mailboxes(account string) []byte { return text(start("box/", len(account)+2), account) }

// AllMessages begins the keys of the messages in all mailboxes of an account.
func AllMessages(account string) []byte { return text(start("mail/", len(account)+2), account) }

// AllGone begins the keys of the tombstones in all mailboxes of an account.
func AllGone(account string) []byte { return text(start("gone/", len(account)+2), account) }

// Purge is the key of the mark that what an account had is being deleted.
func Purge(account string) []byte { return text(start("purge/", len(account)+2), account) }

// Purge is the key of the mark that what one mailbox had is being deleted.
func (x Box) Purge() []byte { return x.start("purge/", 0) }

// Purges begins the keys of all such marks.
func Purges() []byte { return []byte("purge/") }

// ParsePurge returns the account of a mark, and the number of its mailbox, 0 if it is for all; ok is false if key is none.
func ParsePurge(key []byte) (x Box, ok bool) {
	rest, ok := bytes.CutPrefix(key, Purges())
	end := bytes.Index(rest, []byte{0, 1})
	if !ok || end < 0 {
		return Box{}, false
	}
	x.Account = string(bytes.ReplaceAll(rest[:end], []byte{0, 0xff}, []byte{0}))
	switch number := rest[end+2:]; len(number) {
	case 0:
		return x, true
	case 4:
		x.Number = binary.BigEndian.Uint32(number)
		return x, x.Number != 0
	}
	return Box{}, false
}

// Counters begins the counters of the mailbox.
func (x Box) Counters() []byte { return x.start("boxcount/", 0) }

// Tombstones begins the keys of the mailbox's tombstones.
func (x Box) Tombstones() []byte { return x.start("gone/", 0) }

// Imported is the key of the mark that a message of that key of its source was imported.
func Imported(account, key string) []byte {
	return append(text(start("import/", len(account)+2+len(key)), account), key...)
}

// AllImported begins the keys of all such marks of an account.
func AllImported(account string) []byte { return text(start("import/", len(account)+2), account) }

// MailboxNumbers is the counter that numbers the mailboxes of an account.
func MailboxNumbers(account string) []byte { return text(start("boxes/", len(account)+2), account) }

// UIDValidity is the key of the newest UIDVALIDITY of an account. It outlives the account: a later one of that name gets others.
func UIDValidity(account string) []byte { return text(start("validity/", len(account)+2), account) }

// Octets is the counter of the octets in all mailboxes of an account.
func Octets(account string) []byte { return text(start("octets/", len(account)+2), account) }

// Maildrop is the key of the session that has an account's maildrop to itself.
func Maildrop(account string) []byte { return text(start("maildrop/", len(account)+2), account) }

// Box names a mailbox in the keys of what is in it: it keeps its number when it gets another name.
type Box struct {
	Account string // mail.Address.Key of its owner
	Number  uint32
}

func (x Box) start(name string, size int) []byte {
	return binary.BigEndian.AppendUint32(text(start(name, len(x.Account)+6+size), x.Account), x.Number)
}

// UIDs is the counter whose number is the newest UID.
func (x Box) UIDs() []byte { return append(x.start("boxcount/", 1), 'u') }

// Changes is the counter whose number is the newest change.
func (x Box) Changes() []byte { return append(x.start("boxcount/", 1), 'c') }

// Count is the counter of messages.
func (x Box) Count() []byte { return append(x.start("boxcount/", 1), 'n') }

// MailboxCounters begins the counters of all mailboxes of an account: each change of a mailbox writes one of them.
func MailboxCounters(account string) []byte { return text(start("boxcount/", len(account)+2), account) }

// Message is the key of a message; its last UIDWidth octets are the UID.
func (x Box) Message(uid uint32) []byte {
	return binary.BigEndian.AppendUint32(x.start("mail/", UIDWidth), uid)
}

// Messages begins the keys of all messages.
func (x Box) Messages() []byte { return x.start("mail/", 0) }

// ParseMessage returns the mailbox and UID of the key of a message; ok is false if it is none.
func ParseMessage(key []byte) (x Box, uid uint32, ok bool) {
	rest, ok := bytes.CutPrefix(key, []byte("mail/"))
	end := bytes.Index(rest, []byte{0, 1})
	if !ok || end < 0 || len(rest) != end+2+4+UIDWidth {
		return Box{}, 0, false
	}
	x.Account = string(bytes.ReplaceAll(rest[:end], []byte{0, 0xff}, []byte{0}))
	x.Number = binary.BigEndian.Uint32(rest[end+2:])
	return x, ParseUID(key), true
}

// ParseUID returns the UID at the end of the key of a message or tombstone; 0 if the key is none.
func ParseUID(key []byte) uint32 {
	if len(key) < UIDWidth {
		return 0
	}
	return binary.BigEndian.Uint32(key[len(key)-UIDWidth:])
}

// Gone is the key of a tombstone, and where in it the change is, 8 octets wide.
func (x Box) Gone(change uint64, uid uint32) (key []byte, changeAt int) {
	key = x.start("gone/", 8+UIDWidth)
	changeAt = len(key)
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(key, change), uid), changeAt
}

// GoneAfter is the first possible tombstone of a later change.
func (x Box) GoneAfter(change uint64) []byte {
	return binary.BigEndian.AppendUint64(x.start("gone/", 8), change+1)
}

// Holder is how a message in a mailbox holds its body; its last UIDWidth octets are the UID.
func (x Box) Holder(uid uint32) string { return string(x.Message(uid)) }
