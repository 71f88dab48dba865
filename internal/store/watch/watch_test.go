package watch

import (
	"testing"

	"waybill/internal/store"
)

// TestMissed: whoever may have missed a change is woken, and not who only wants to hear that the store was reopened.
func TestMissed(t *testing.T) {
	t.Parallel()
	var s Set
	change, endChange := s.Add("mail/")
	defer endChange()
	reopened, endReopened := s.Add(string(store.Reopened()))
	defer endReopened()
	s.Missed()
	if len(change) != 1 || len(reopened) != 0 {
		t.Errorf("after a gap: %d, %d", len(change), len(reopened))
	}
	s.All()
	if len(change) != 1 || len(reopened) != 1 {
		t.Errorf("after a failure: %d, %d", len(change), len(reopened))
	}
}
