package objects

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// TestLoan: when it is over nothing more is read.
func TestLoan(t *testing.T) {
	t.Parallel()
	memory := []byte("message of the first")
	l := &loan{r: bytes.NewReader(memory)}
	b := make([]byte, 7)
	if _, err := io.ReadFull(l, b); err != nil || string(b) != "message" {
		t.Errorf("%q, %v", b, err)
	}
	l.end()
	copy(memory, "message of the other")
	if rest, err := io.ReadAll(l); len(rest) > 0 || !errors.Is(err, errReturned) {
		t.Errorf("%q, %v", rest, err)
	}
}
