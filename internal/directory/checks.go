package directory

import (
	"fmt"

	"waybill/internal/store/record"
)

// CheckForward says whether the record of a kept reverse-path can be read. Errors: record.ErrCorrupt.
func CheckForward(value []byte) error {
	_, _, err := decodeForward(value)
	return err
}

// CheckSecret says whether a secret is one. Errors: record.ErrCorrupt.
func CheckSecret(value []byte) error {
	if len(value) != secretSize {
		return fmt.Errorf("%w: a secret has %d octets, and this one %d", record.ErrCorrupt, secretSize, len(value))
	}
	return nil
}

// ForwardSecret is the name of the secret without which no kept reverse-path is found.
const ForwardSecret = "srs"
