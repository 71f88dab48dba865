package mailbox

import (
	"encoding/binary"

	"waybill/internal/mail"
	"waybill/internal/store"
	"waybill/internal/store/bodies"
	"waybill/internal/store/keys"
	"waybill/internal/store/record"
)

// Formats are the first octets of records. In both, a number that the store writes into its place comes first.
//
//	mailbox  1 · number, 4 octets · UIDVALIDITY, 4 octets
//	message  1 · change, 8 octets · id · body · received · flags · prefix
const (
	boxFormat   = 1
	entryFormat = 1

	numberAt = 1 // place of the number in the record of a mailbox
	changeAt = 1 // place of the change in the record of a message
)

// box is a mailbox's record.
type box struct {
	keys.Box
	uidValidity uint32
	version     store.Version
}

// encode returns the record, and where its number belongs.
func (x box) encode() (value []byte, at int) {
	value = binary.BigEndian.AppendUint32([]byte{boxFormat}, x.Number)
	return binary.BigEndian.AppendUint32(value, x.uidValidity), numberAt
}

func decodeBox(value []byte) (x box, err error) {
	r := record.NewReader(value, boxFormat)
	x.Number, x.uidValidity = r.Uint32(), r.Uint32()
	return x, r.End()
}

func (e *Entry) encode() []byte {
	b := make([]byte, 0, 80+len(e.Prefix))
	b = append(b, entryFormat)
	b = binary.BigEndian.AppendUint64(b, uint64(e.Change))
	b = record.AppendText(b, e.ID)
	b = e.Body.Append(b)
	b = record.AppendTime(b, e.Received)
	b = binary.AppendUvarint(b, uint64(e.Flags))
	return record.AppendText(b, e.Prefix)
}

// DecodeEntry reads the record of a message; what its key says is missing. Errors: record.ErrCorrupt.
func DecodeEntry(value []byte) (e Entry, err error) {
	r := record.NewReader(value, entryFormat)
	e.Change = int64(r.Uint64())
	e.ID = mail.ID(r.Text())
	e.Body = bodies.Read(r)
	e.Received = r.Time()
	e.Flags = Flags(r.Uint31())
	e.Prefix = append([]byte(nil), r.Bytes()...)
	e.Size = int64(len(e.Prefix)) + e.Body.Total()
	return e, r.End()
}
