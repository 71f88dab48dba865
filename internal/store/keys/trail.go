package keys

import (
	"bytes"
	"encoding/binary"
	"time"

	"waybill/internal/mail"
)

// Trail begins the keys of a message's steps. They stand under the day in which its id was drawn.
func Trail(id mail.ID) []byte {
	return append(binary.BigEndian.AppendUint32(start("trail/", 4+len(id)+12), day(id.Time())), id...)
}

// Step is the key of one step, written at that time; seq tells apart what is written in one microsecond.
func Step(id mail.ID, at time.Time, seq uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(Trail(id), micros(at)), seq)
}

// Omitted is the counter of events of a message that were left out. It follows the steps.
func Omitted(id mail.ID) []byte { return append(Trail(id), 0xff) }

// TrailDays are the bounds of the steps of all messages whose id was drawn before the day of t.
func TrailDays(t time.Time) (from, before []byte) {
	return []byte("trail/"), binary.BigEndian.AppendUint32(start("trail/", 4), day(t))
}

// TrailFrom is the first possible key of a step of a message whose id was drawn in the second of t or later; TrailAll
// begins all steps.
func TrailFrom(t time.Time) []byte {
	return append(binary.BigEndian.AppendUint32(start("trail/", 4+7), day(t)), mail.IDsFrom(t)...)
}

// TrailAll begins the keys of all steps.
func TrailAll() []byte { return []byte("trail/") }

// Sessions is the key of events of sessions that came to no message, written at that time.
func Sessions(at time.Time, seq uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(start("session/", 12), micros(at)), seq)
}

// SessionsFrom is the first possible such key at that time or later; SessionsAll begins all.
func SessionsFrom(at time.Time) []byte {
	return binary.BigEndian.AppendUint64(start("session/", 8), micros(at))
}

// SessionsAll begins the keys of all events of sessions.
func SessionsAll() []byte { return []byte("session/") }

// SessionOctets is the counter of the octets that those events take.
func SessionOctets() []byte { return []byte("sessions") }

// ParseTold returns the message, "" for none, of a key of Step or Sessions, and when it was written; ok is false for others.
func ParseTold(key []byte) (id mail.ID, at time.Time, ok bool) {
	const idLength = 14
	if rest, is := bytes.CutPrefix(key, SessionsAll()); is && len(rest) == 12 {
		return "", time.UnixMicro(int64(binary.BigEndian.Uint64(rest))).UTC(), true
	}
	rest, is := bytes.CutPrefix(key, TrailAll())
	if !is || len(rest) != 4+idLength+12 {
		return "", time.Time{}, false
	}
	return mail.ID(rest[4 : 4+idLength]), time.UnixMicro(int64(binary.BigEndian.Uint64(rest[4+idLength:]))).UTC(), true
}
