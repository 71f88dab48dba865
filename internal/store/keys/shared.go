package keys

import (
	"bytes"
	"encoding/binary"
	"net/netip"
)

// NetworkSize is how many octets a network takes: the length of its prefix, and the address as far as it can be told.
const NetworkSize = 9

// AppendNetwork adds an IPv4 network, or an IPv6 network of 64 bits or fewer.
func AppendNetwork(b []byte, p netip.Prefix) []byte {
	var octets [NetworkSize]byte
	octets[0] = byte(p.Bits())
	copy(octets[1:], p.Addr().AsSlice())
	if p.Addr().Is6() {
		octets[0] |= ipv6
	}
	return append(b, octets[:]...)
}

// ipv6 is set in the first octet of an IPv6 network.
const ipv6 = 0x80

// ReadNetwork reads what AppendNetwork wrote; ok is false if it is none.
func ReadNetwork(b []byte) (p netip.Prefix, ok bool) {
	if len(b) != NetworkSize {
		return p, false
	}
	addr := netip.AddrFrom4([4]byte(b[1:5]))
	if b[0]&ipv6 != 0 {
		var octets [16]byte
		copy(octets[:], b[1:])
		addr = netip.AddrFrom16(octets)
	}
	p, err := addr.Prefix(int(b[0] &^ ipv6))
	return p, err == nil && bytes.Equal(AppendNetwork(nil, p), b)
}

// Banned is the key of the ban of a network.
func Banned(network netip.Prefix) []byte {
	return AppendNetwork(start("banned/", NetworkSize), network)
}

// BannedAs is the key of the ban of an account in a network.
func BannedAs(account uint64, network netip.Prefix) []byte {
	return binary.BigEndian.AppendUint64(AppendNetwork(start("banned/", NetworkSize+8), network), account)
}

// BannedAll begins the keys of all bans.
func BannedAll() []byte { return []byte("banned/") }

// ParseBanned takes the key of a ban apart; all says that it is that of a network, whatever the account; ok is false if it is none.
func ParseBanned(key []byte) (network netip.Prefix, account uint64, all, ok bool) {
	rest, ok := bytes.CutPrefix(key, BannedAll())
	if !ok || len(rest) != NetworkSize && len(rest) != NetworkSize+8 {
		return network, 0, false, false
	}
	network, ok = ReadNetwork(rest[:NetworkSize])
	if rest = rest[NetworkSize:]; len(rest) == 0 {
		return network, 0, true, ok
	}
	return network, binary.BigEndian.Uint64(rest), false, ok
}

// Known is the key of the mark that an account has logged in from a network.
func Known(account uint64, network netip.Prefix) []byte {
	return AppendNetwork(binary.BigEndian.AppendUint64(start("known/", 8+NetworkSize), account), network)
}

// KnownAll begins the keys of all such marks.
func KnownAll() []byte { return []byte("known/") }

// ParseKnown takes such a key apart; ok is false if it is none.
func ParseKnown(key []byte) (account uint64, network netip.Prefix, ok bool) {
	rest, ok := bytes.CutPrefix(key, KnownAll())
	if !ok || len(rest) != 8+NetworkSize {
		return 0, network, false
	}
	network, ok = ReadNetwork(rest[8:])
	return binary.BigEndian.Uint64(rest), network, ok
}

// Process names a process among those that use the store.
type Process [8]byte

// News is the key of the n-th thing that a process tells the others on a topic.
func News(topic string, p Process, n uint64) []byte {
	return binary.BigEndian.AppendUint64(NewsOf(topic, p), n)
}

// NewsOf begins the keys of all that a process tells on a topic.
func NewsOf(topic string, p Process) []byte { return append(NewsOn(topic), p[:]...) }

// NewsOn begins the keys of all that is told on a topic.
func NewsOn(topic string) []byte { return text(start("news/", len(topic)+18), topic) }

// NewsAll begins the keys of all that is told.
func NewsAll() []byte { return []byte("news/") }

// ParseNews takes the key of something told on a topic apart; ok is false if it is none.
func ParseNews(topic string, key []byte) (p Process, n uint64, ok bool) {
	rest, ok := bytes.CutPrefix(key, NewsOn(topic))
	if !ok || len(rest) != len(p)+8 {
		return p, 0, false
	}
	copy(p[:], rest)
	return p, binary.BigEndian.Uint64(rest[len(p):]), true
}
