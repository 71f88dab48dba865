package verify

import (
	"bytes"
	"fmt"

	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/trail"
)

// step looks at a step of a waybill.
func (v *verifier) step(e store.Entry) {
	if _, ok := keys.ParseOmitted(e.Key); ok {
		v.counter(e)
		return
	}
	id, _, ok := keys.ParseTold(e.Key)
	if !ok {
		v.malformed(e)
		return
	}
	if err := trail.Check(e.Value); err != nil {
		v.found(Damage, fmt.Sprintf("a step in the waybill of message %s", id), "it cannot be read: %v", err)
	}
}

// session looks at events of sessions that came to no message.
func (v *verifier) session(e store.Entry) {
	_, at, ok := keys.ParseTold(e.Key)
	if !ok {
		v.malformed(e)
		return
	}
	v.sessions += int64(len(e.Value))
	if err := trail.Check(e.Value); err != nil {
		v.found(Damage, fmt.Sprintf("what is told of the sessions of %s", at), "it cannot be read: %v", err)
	}
}

func (v *verifier) sessionOctets(e store.Entry) {
	if !bytes.Equal(e.Key, keys.SessionOctets()) {
		v.stranger(e)
		return
	}
	if n := v.counter(e); n != v.sessions {
		v.found(Untidy, "what is told of sessions", "it has %d octets and is said to have %d, by which the oldest is deleted", v.sessions, n)
	}
}
