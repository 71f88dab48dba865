package s3test_test

import (
	"strings"
	"testing"

	"waybill/internal/store/objects/s3test"
)

// TestOnlyItself: a server whose port another one has is not taken for started, though somebody answers there.
func TestOnlyItself(t *testing.T) {
	t.Parallel()
	one, two := s3test.New(t, "mail"), s3test.New(t, "mail")
	two.Stop()
	free := two.Port
	two.Port = one.Port
	if err := two.Start(); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Error("at the port of another one:", err)
	}
	two.Port = free
	if err := two.Start(); err != nil {
		t.Error("at its own:", err)
	}
}

// TestSecondPort: a server that ends at its first port is started at another one.
func TestSecondPort(t *testing.T) {
	t.Parallel()
	program, err := s3test.Find()
	if err != nil {
		t.Skip("there is no S3 server:", err)
	}
	s, err := s3test.Create(program, func(dir string) []string {
		return []string{"sh", "-c", `test -e "$0"/once && exec "$@"; : > "$0"/once; exit 1`, dir}
	}, "mail")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Remove()
}
