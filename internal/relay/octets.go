package relay

import (
	"context"
	"errors"
)

// octets says whether content has octets of 128 and above.
type octets uint8

const (
	notLookedAt octets = iota
	sevenBit
	eightBit
)

// eightBit looks through the message once in an attempt, as it streams from the spool.
func (d *delivery) eightBit(ctx context.Context) (bool, error) {
	if d.octet != notLookedAt {
		return d.octet == eightBit, nil
	}
	content, err := d.relay.Content(ctx, d.attempt)
	if err != nil {
		return false, err
	}
	defer content.Close()
	_, err = content.WriteTo(highOctets{})
	switch {
	case errors.Is(err, errHighOctet):
		d.octet = eightBit
	case err != nil:
		return false, err
	default:
		d.octet = sevenBit
	}
	return d.octet == eightBit, nil
}

var errHighOctet = errors.New("an octet of 128 or above")

// highOctets is a writer that stops at the first octet of 128 or above, with errHighOctet.
type highOctets struct{}

func (highOctets) Write(p []byte) (int, error) {
	for i, c := range p {
		if c >= 0x80 {
			return i, errHighOctet
		}
	}
	return len(p), nil
}
