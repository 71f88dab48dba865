package verify

import (
	"fmt"

	"waybill/internal/mailbox"
	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/layout"
	"waybill/internal/store/lease"
)

// node looks at a node that uses the store.
func (v *verifier) node(e store.Entry) {
	number, ok := keys.ParseNode(e.Key)
	if !ok {
		v.malformed(e)
		return
	}
	if err := lease.Readable(e.Value); err != nil {
		v.found(Damage, fmt.Sprintf("node %d", number), "its record cannot be read, so no node can join: %v", err)
	}
}

// beat looks at what shows that a node is alive.
func (v *verifier) beat(e store.Entry) {
	if _, ok := keys.ParseBeat(e.Key); !ok {
		v.malformed(e)
	}
}

// nudge looks at a word from one node to another.
func (v *verifier) nudge(e store.Entry) {
	if _, ok := keys.ParseNudge(e.Key); !ok {
		v.malformed(e)
	}
}

// lock looks at the lock of a maildrop.
func (v *verifier) lock(e store.Entry) {
	account, _, ok := keys.ParseOwner(e.Key)
	if !ok {
		v.malformed(e)
		return
	}
	if err := mailbox.ReadableLock(e.Value); err != nil {
		v.found(Untidy, "the lock of the maildrop of "+account, "it cannot be read, and counts as none")
	}
}

// claiming looks at the mark that it is not yet sure whose the place of the objects is.
func (v *verifier) claiming(e store.Entry) {
	if len(e.Key) != len(keys.Claiming()) || len(e.Value) != 0 {
		v.malformed(e)
	}
}

// form looks at the form of the keys.
func (v *verifier) form(e store.Entry) {
	if len(e.Value) != 1 || e.Value[0] > layout.Current {
		v.found(Damage, fmt.Sprintf("key %q", e.Key), "the form of the store is none that this version of waybill knows")
	}
}
