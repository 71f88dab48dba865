package verify

import (
	"bytes"
	"fmt"

	"waybill/internal/mail"
	"waybill/internal/spool"
	"waybill/internal/store"
	"waybill/internal/store/keys"
)

// custody looks at a message in the queue.
func (v *verifier) custody(e store.Entry) {
	v.report.Queued++
	id := mail.ID(e.Key[len(keys.Spool("")):])
	what := fmt.Sprintf("message %s in the queue", id)
	item, err := spool.Decode(e.Value)
	if err != nil {
		v.found(Damage, what, "its record cannot be read, and it is not delivered: %v", err)
		return
	}
	item.ID = id
	if !v.has(keys.Due(item.Due, id)) {
		v.found(Damage, what, "it has no place in the schedule, and is not attempted; waybill queue retry gives it one")
	}
	if !v.has(keys.Ref(item.Body.ID, string(item.Holder()))) {
		v.found(Damage, what, "it does not hold its content, which may be deleted under it")
	}
}

// due looks at a place in the schedule.
func (v *verifier) due(e store.Entry) {
	what := fmt.Sprintf("the place %q in the schedule", e.Key)
	_, id, ok := keys.ParseDue(e.Key)
	if !ok {
		v.malformed(e)
		return
	}
	record, ok := v.get(keys.Spool(id))
	if !ok {
		v.found(Untidy, what, "it is for no message in the queue")
		return
	}
	if item, err := spool.Decode(record); err == nil && !bytes.Equal(keys.Due(item.Due, id), e.Key) {
		v.found(Untidy, what, "message %s has another one", id)
	}
}
