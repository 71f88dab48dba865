package directory

// CheckForward says whether the record of a kept reverse-path can be read. Errors: record.ErrCorrupt.
func CheckForward(value []byte) error {
	_, _, err := decodeForward(value)
	return err
}

// ForwardSecret is the name of the secret without which no kept reverse-path is found.
const ForwardSecret = "srs"
