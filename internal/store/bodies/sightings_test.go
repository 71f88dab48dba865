package bodies

import (
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"
)

// TestSightingsAreBounded: however many marks there are, so many are remembered, and those that are keep their time.
func TestSightingsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		key := func(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }
		var s sightings
		for range 2 {
			next := sightings{}
			for n := range maxSightings + 10 {
				s.see(next, key(n), 1)
			}
			if s = next; len(s) != maxSightings {
				t.Fatalf("%d marks are remembered", len(s))
			}
			time.Sleep(time.Millisecond)
		}
		if age := s.see(sightings{}, key(0), 1); age != 2*time.Millisecond {
			t.Errorf("the first one is %v old", age)
		}
		if age := s.see(sightings{}, key(0), 2); age != 0 {
			t.Errorf("the first one, changed, is %v old", age)
		}
	})
}
