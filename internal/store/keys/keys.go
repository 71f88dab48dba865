// Package keys makes all keys of the store, in one place. A key is a name up to the slash, which is readable, and
// then fields in binary, so that keys sort as their fields do:
//
//	key                                             value                         written by   meaning
//	body/ id16 chunk4                               octets                        bodies       a part of a message's content
//	body/ id16 0xffffffff                           index of parts                bodies       where the parts of the message stand (package message)
//	draft/ millis8 id16                             empty; 1: also objects        bodies       chunks in the store, or objects, without a message yet
//	draft/ 0 id16                                   1                             bodies       objects that are to be deleted
//	ref/ id16 holder                                empty                         bodies       holder keeps the body alive
//	sweep/ id16 holder                              chunks, objects               bodies       holder let go: is the body still wanted?
//	spool/ message14                                record                        spool        a message in custody
//	due/ slice2 micros8 message14                   empty                         spool        when it is to be attempted
//	nudge/ slice2 message14                         empty                         queue        an operator did something to the message, on another node
//	node/ number2                                   record                        lease        a node, and who works on its slice of due/
//	beat/ number2                                   micros8                       lease        that node was alive then, by its own clock
//	maildrop/ account*                              record                        mailbox      a POP3 session has the maildrop to itself
//	account/ domain* local*                         record                        directory    an account
//	alias/ domain* local*                           record                        directory    an alias; local-part "*": the domain's catch-all
//	domain/ name*                                   record                        directory    a domain that is not in the configuration
//	forward/ token                                  address                       directory    a reverse-path too long for SRS
//	password/ domain* local*                        PHC string                    directory    its password
//	scram/ domain* local*                           RFC 5803                      directory    its keys for SCRAM
//	secrets/ name                                   octets                        directory    a random secret of this store
//	banned/ network9 account8?                      time                          guard        it may not log in (there) at present; several nodes
//	known/ account8 network9                        time                          guard        it has logged in from there; several nodes
//	news/ topic* process8 number8                   record                        news         what one node tells the others
//	import/ account* key                            empty                         node         a message that was imported already
//	purge/ account* box4?                           empty                         mailbox      what the account, or one mailbox, had is being deleted
//	box/ account* name*                             record                        mailbox      a mailbox
//	boxes/ account*                                 counter                       mailbox      number of the newest mailbox
//	validity/ account*                              number4                       mailbox      newest UIDVALIDITY; stays when the account goes
//	octets/ account*                                counter                       mailbox      octets in all mailboxes
//	boxcount/ account* box4 'u'                     counter                       mailbox      newest UID
//	boxcount/ account* box4 'c'                     counter                       mailbox      newest change
//	boxcount/ account* box4 'n'                     counter                       mailbox      number of messages
//	mail/ account* box4 uid4                        record                        mailbox      a message in a mailbox
//	gone/ account* box4 change8 uid4                empty                         mailbox      a message was there until that change
//	trail/ day4 message14 micros8 seq4              events                        trail        a step of a message's delivery
//	trail/ day4 message14 0xff                      counter                       trail        events that were left out
//	session/ micros8 seq4                           events                        trail        sessions that came to no message
//	sessions                                        counter                       trail        octets under session/
//	layout                                          octet                         layout       in which form these keys are; none: 1
//	copying                                         record                        storecopy    the store is only a part of another one as yet
//	claiming                                        empty                         bodies       its name at the place of its objects may yet be overwritten
//	nobody/                                         -                             -            never written: its watcher hears of reopenings only
//
// Numbers are big-endian with as many octets as the digit says. A * marks text that ends in 0x00 0x01, in which
// 0x00 is written as 0x00 0xff: so no text is the beginning of another, and texts sort as they are. A holder is
// whatever keeps a body: "spool/" message14, or "mail/" account* box4 uid4. Days are counted in UTC since 1970. The slice of
// a message is the number of the node that took it in, which its id has. A network is the length of its prefix and the first
// 8 octets of an address, an account8 what the guard makes of its name.
package keys

import (
	"bytes"
	"encoding/binary"
	"strings"
	"time"

	"waybill/internal/mail"
)

// text appends s with its end, as the package comment says.
func text(b []byte, s string) []byte {
	for {
		i := strings.IndexByte(s, 0)
		if i < 0 {
			return append(append(b, s...), 0, 1)
		}
		b = append(append(b, s[:i]...), 0, 0xff)
		s = s[i+1:]
	}
}

// start returns the beginning of a key with room for size octets of fields.
func start(name string, size int) []byte {
	return append(make([]byte, 0, len(name)+size), name...)
}

// micros is an instant in microseconds since 1970; what is earlier counts as 1970.
func micros(t time.Time) uint64 { return uint64(max(t.UnixMicro(), 0)) }

// day counts the days from 1970 to t.
func day(t time.Time) uint32 { return uint32(max(t.Unix(), 0) / (24 * 60 * 60)) }

// Spool is the key of a message in custody.
func Spool(id mail.ID) []byte { return append(start("spool/", len(id)), id...) }

// Due is the key of a message's place in the due index, in the slice of the node that took it in.
func Due(at time.Time, id mail.ID) []byte {
	return append(binary.BigEndian.AppendUint64(DueSlice(id.Node()), micros(at)), id...)
}

// DueFrom is the first possible key of a slice at that time or later.
func DueFrom(slice uint16, at time.Time) []byte {
	return binary.BigEndian.AppendUint64(DueSlice(slice), micros(at))
}

// DueSlice begins the keys of a slice of the due index. Its capacity has room for the rest of one.
func DueSlice(slice uint16) []byte {
	return binary.BigEndian.AppendUint16(start("due/", 2+8+16), slice)
}

// DueAll begins all keys of the due index.
func DueAll() []byte { return []byte("due/") }

// ParseDue takes a key of the due index apart; ok is false if it is none.
func ParseDue(key []byte) (at time.Time, id mail.ID, ok bool) {
	rest, ok := strings.CutPrefix(string(key), "due/")
	if !ok || len(rest) < 2+8 {
		return time.Time{}, "", false
	}
	id = mail.ID(rest[10:])
	if slice := uint16(rest[0])<<8 | uint16(rest[1]); slice != id.Node() { // nobody finds it there
		return time.Time{}, "", false
	}
	return time.UnixMicro(int64(binary.BigEndian.Uint64([]byte(rest[2:10])))).UTC(), id, true
}

// ParseUnslicedDue takes a key of the due index apart that is of the form before there were slices, due/ micros8 message14; ok is
// false if it is none.
func ParseUnslicedDue(key []byte) (at time.Time, id mail.ID, ok bool) {
	rest, ok := strings.CutPrefix(string(key), "due/")
	if !ok || len(rest) != 8+14 {
		return time.Time{}, "", false
	}
	return time.UnixMicro(int64(binary.BigEndian.Uint64([]byte(rest[:8])))).UTC(), mail.ID(rest[8:]), true
}

// Layout is the key of the form of the keys.
func Layout() []byte { return []byte("layout") }

// ParseSlice returns the slice of a key of the due index; ok is false if it is none.
func ParseSlice(key []byte) (slice uint16, ok bool) { return parseNumber(key, "due/", -1) }

// Nudge is the key by which the node that works on a message's slice hears that somebody changed the message.
func Nudge(id mail.ID) []byte {
	return append(binary.BigEndian.AppendUint16(start("nudge/", 2+len(id)), id.Node()), id...)
}

// Nudges begins all such keys.
func Nudges() []byte { return []byte("nudge/") }

// ParseNudge returns the message of such a key; ok is false if it is none.
func ParseNudge(key []byte) (id mail.ID, ok bool) {
	rest, ok := bytes.CutPrefix(key, Nudges())
	if !ok || len(rest) < 2 {
		return "", false
	}
	return mail.ID(rest[2:]), true
}

// Node is the key of a node that uses the store, and of the lease of its slice.
func Node(number uint16) []byte { return binary.BigEndian.AppendUint16(start("node/", 2), number) }

// Nodes begins the keys of all nodes.
func Nodes() []byte { return []byte("node/") }

// ParseNode returns the number in the key of a node; ok is false if it is none.
func ParseNode(key []byte) (number uint16, ok bool) { return parseNumber(key, "node/", 2) }

// Beat is the key of what shows that a node is alive.
func Beat(number uint16) []byte { return binary.BigEndian.AppendUint16(start("beat/", 2), number) }

// Beats begins the keys of that of all nodes.
func Beats() []byte { return []byte("beat/") }

// ParseBeat returns the number in such a key; ok is false if it is none.
func ParseBeat(key []byte) (number uint16, ok bool) { return parseNumber(key, "beat/", 2) }

// parseNumber reads the two octets behind a name, where size follow (-1: at least two).
func parseNumber(key []byte, name string, size int) (number uint16, ok bool) {
	rest, ok := bytes.CutPrefix(key, []byte(name))
	if !ok || len(rest) < 2 || size >= 0 && len(rest) != size {
		return 0, false
	}
	return binary.BigEndian.Uint16(rest), true
}

// Account is the key of an account. The domain is in lower case, the local-part is put into it.
func Account(a mail.Address) []byte { return account("account/", a) }

// Password is the key of an account's password.
func Password(a mail.Address) []byte { return account("password/", a) }

// SCRAM is the key of an account's keys for SCRAM.
func SCRAM(a mail.Address) []byte { return account("scram/", a) }

// Secret is the key of a secret that the store makes for itself.
func Secret(name string) []byte { return append(start("secrets/", len(name)), name...) }

func account(name string, a mail.Address) []byte {
	b := text(start(name, len(a.Domain)+len(a.Local)+4), a.Domain)
	return text(b, strings.ToLower(a.Local))
}

// Accounts begins the keys of the accounts of a domain, or of all accounts if it is "".
func Accounts(domain string) []byte {
	b := start("account/", len(domain)+2)
	if domain == "" {
		return b
	}
	return text(b, domain)
}

// Alias is the key of an alias.
func Alias(a mail.Address) []byte { return account("alias/", a) }

// Aliases begins the keys of the aliases of a domain, or of all aliases if it is "".
func Aliases(domain string) []byte {
	b := start("alias/", len(domain)+2)
	if domain == "" {
		return b
	}
	return text(b, domain)
}

// Domain is the key of a domain, which is in lower case.
func Domain(name string) []byte { return text(start("domain/", len(name)+2), name) }

// ParseDomain returns the name in the key of a domain; "" if it is none.
func ParseDomain(key []byte) string {
	rest, ok := bytes.CutPrefix(key, Domains())
	rest, ended := bytes.CutSuffix(rest, []byte{0, 1})
	if !ok || !ended {
		return ""
	}
	return string(bytes.ReplaceAll(rest, []byte{0, 0xff}, []byte{0}))
}

// Domains begins the keys of all domains.
func Domains() []byte { return []byte("domain/") }

// Forward is the key under which a reverse-path is kept that a token of package srs stands for.
func Forward(token string) []byte { return append(start("forward/", len(token)), token...) }

// Copying is the key of a store that is only a part of another one as yet.
func Copying() []byte { return []byte("copying") }

// OfNodes begins the keys by which nodes speak of themselves, and to each other, while they are at work. They mean nothing in a copy of
// the store: the values of some hold versions, and a node alone would never delete the others.
func OfNodes() [][]byte {
	return [][]byte{Nodes(), Beats(), []byte("maildrop/"), NewsAll(), BannedAll(), KnownAll()}
}
