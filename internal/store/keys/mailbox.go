package keys

import "encoding/binary"

// UIDWidth is the width of the UID at the end of a message's key and of its holder.
const UIDWidth = 4

// Mailbox is the key of a mailbox.
func Mailbox(account, name string) []byte {
	return text(text(start("box/", len(account)+len(name)+4), account), name)
}

// MailboxNumbers is the counter that numbers the mailboxes of an account.
func MailboxNumbers(account string) []byte { return text(start("boxes/", len(account)+2), account) }

// Octets is the counter of the octets in all mailboxes of an account.
func Octets(account string) []byte { return text(start("octets/", len(account)+2), account) }

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
