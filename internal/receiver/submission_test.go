package receiver

import (
	"bytes"
	"context"
	"errors"
	netmail "net/mail"
	"strings"
	"testing"

	"waybill/internal/mail"
	"waybill/internal/message"
	"waybill/internal/store"
)

var alice = mail.Address{Local: "alice", Domain: "example.test"}

// onlyAlice says that alice's is alice's address, and nothing else.
type onlyAlice struct{ err error }

func (o onlyAlice) Owns(_ context.Context, account, addr mail.Address) (bool, error) {
	return account == alice && addr.Key() == alice.Key(), o.err
}

// submittedBy returns what becomes of a header that alice submits.
func submittedBy(t *testing.T, owners Owners, octets string) (string, error) {
	r := New(Options{Owners: owners})
	h := &header{ctx: t.Context(), session: &session{r: r, kind: MSA, account: alice}}
	kept, err := h.submitted([]byte(octets))
	return string(kept), err
}

func TestLoneLineEndsAreRefused(t *testing.T) {
	t.Parallel()
	for octets, good := range map[string]bool{
		"": true, "Subject: x\r\n": true, "Subject: x": true, "Subject: x\n": false, "Subject: x\r": false, "Subject: x\r\r\n": false,
		"Subject: x\n\r\n": false, "Subject: x\n\nFrom: y@z.test\r\n": false, "Subject: x\rBcc: y@z.test\r\n": false, "A: \n\r\r\n": false,
	} {
		if kept, err := submittedBy(t, onlyAlice{}, octets); (err == nil) != good || good && kept != octets {
			t.Errorf("%q gives %q, %v", octets, kept, err)
		}
	}
}

// TestUnknownOwnerIsTemporary: a directory that fails does not make a message bad.
func TestUnknownOwnerIsTemporary(t *testing.T) {
	t.Parallel()
	for _, octets := range []string{"From: alice@example.test\r\n", "Sender: alice@example.test\r\n"} {
		if _, err := submittedBy(t, onlyAlice{store.ErrUnavailable}, octets); !errors.Is(err, store.ErrUnavailable) || !mail.StatusOf(err).Temporary() {
			t.Errorf("%q: %v", octets, err)
		}
	}
}

// FuzzSubmittedHeader: whoever reads what is let through, by our parser or by Go's, finds nobody but alice in From and
// Sender, and no blind copies.
func FuzzSubmittedHeader(f *testing.F) {
	for _, s := range []string{
		"From: alice@example.test\r\nBcc: x@y.test\r\n\tz@y.test\r\n", "From: a <alice@example.test>\r\nFrom: x@y.test\r\n", "Sender: x@y.test\r\n",
		"from : \"x@y.test\" (x) <alice@example.test>\r\n", "x\r\nFrom: y\r\n", "From: Team: alice@example.test,\r\n (x) ALICE@example.test;\r\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, octets string) {
		if strings.HasPrefix(octets, "\r\n") || strings.Contains(octets, "\r\n\r\n") {
			return // the header has ended there
		}
		kept, err := submittedBy(t, onlyAlice{}, octets)
		if err != nil {
			return
		}
		for _, field := range message.Fields([]byte(kept)) {
			if secret[strings.ToLower(field.Name)] {
				t.Fatalf("%q keeps %s", octets, field.Name)
			}
		}
		m, err := netmail.ReadMessage(bytes.NewReader([]byte(kept + "\r\n\r\n")))
		if err != nil {
			return
		}
		for _, name := range []string{"From", "Sender"} {
			if len(m.Header[name]) > 1 {
				t.Fatalf("%q keeps several %s", octets, name)
			}
			list, err := m.Header.AddressList(name)
			for _, addr := range list {
				if err == nil && !strings.EqualFold(addr.Address, alice.String()) {
					t.Fatalf("%q lets %s through as %s", octets, addr.Address, name)
				}
			}
		}
	})
}
