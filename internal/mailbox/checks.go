package mailbox

// DecodeBox reads the record of a mailbox: its number (keys.Box), and its UIDVALIDITY. Errors: record.ErrCorrupt.
func DecodeBox(value []byte) (number, uidValidity uint32, err error) {
	x, err := decodeBox(value)
	return x.Number, x.uidValidity, err
}
