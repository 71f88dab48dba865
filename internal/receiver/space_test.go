package receiver

import (
	"errors"
	"testing"
	"time"

	"waybill/internal/mail"
)

// TestBurstIsStoppedBeforeTheDiskIsFull: on a disk that every message makes fuller, mail is refused while at least half of
// the minimum is left, however fast it comes.
func TestBurstIsStoppedBeforeTheDiskIsFull(t *testing.T) {
	const minFree, message = 64 << 20, 1 << 20
	free := uint64(96 << 20)
	s := &space{minFree: minFree, diskFree: func() (uint64, error) { return free, nil }}
	now := time.Now() // the same moment for all
	taken := 0
	for ; !s.low(now, message); taken++ {
		s.spend(message)
		free -= writeFactor * message
		if free < minFree/2 {
			t.Fatalf("after %d messages only %d octets are free", taken, free)
		}
	}
	if taken == 0 {
		t.Error("nothing was taken although there was room")
	}
	if _, err := (meter{s}).Write(make([]byte, 1<<20)); err != nil && mail.StatusOf(err) != lowSpace {
		t.Errorf("the meter says %v", err)
	}
}

func TestLargeMessageIsStoppedOnItsWay(t *testing.T) {
	free := uint64(70 << 20)
	s := &space{minFree: 64 << 20, diskFree: func() (uint64, error) { return free, nil }}
	for written := 0; written < 50<<20; written += 256 << 10 {
		if _, err := (meter{s}).Write(make([]byte, 256<<10)); err != nil {
			if status := mail.StatusOf(err); status != lowSpace {
				t.Errorf("refused with %s", status)
			}
			return
		}
		free -= min(free, 3*256<<10)
	}
	t.Error("50 MiB went to a disk with 6 MiB of room")
}

func TestUnknownSpaceIsNotLow(t *testing.T) {
	s := &space{minFree: 1, diskFree: func() (uint64, error) { return 0, errors.New("cannot tell") }}
	if s.low(time.Now(), 0) {
		t.Error("mail is refused because the free space cannot be asked")
	}
}
