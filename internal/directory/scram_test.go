package directory

import (
	"context"
	"errors"
	"testing"

	"waybill/internal/scram"
	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/pebble/pebbletest"
	"waybill/internal/store/record"
)

// proves says whether somebody with that password gets through an exchange with those keys.
func proves(t *testing.T, k scram.Keys, password string) bool {
	t.Helper()
	c, err := scram.NewClient(scram.ClientOptions{Login: "x", Password: password})
	if err != nil {
		t.Fatal(err)
	}
	s, err := scram.NewServer(func(string) (scram.Keys, error) { return k, nil }, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	var answer []byte
	for range 2 {
		message, _, err := c.Next(answer)
		if err != nil {
			t.Fatal(err)
		}
		var done bool
		if answer, done, err = s.Next(message); err != nil {
			return false
		} else if done {
			return true
		}
	}
	return false
}

func (d *Directory) mustSCRAM(t *testing.T, login string) (string, scram.Keys, bool) {
	t.Helper()
	account, k, known, err := d.SCRAM(t.Context(), login)
	if err != nil {
		t.Fatal(err)
	}
	return account.Address.String(), k, known
}

func TestSCRAM(t *testing.T) {
	t.Parallel()
	st := pebbletest.Open(t)
	quick := cheap
	quick.Iterations = 4096
	list := configured("a.test", "plain.test")
	list[1].NoSCRAM = true
	d := New(st, list, quick)
	add(t, d, "Alice@a.test", "secret")
	add(t, d, "bob@plain.test", "secret")

	if account, k, known := d.mustSCRAM(t, "ALICE@a.test"); !known || account != "Alice@a.test" || !proves(t, k, "secret") || proves(t, k, "other") {
		t.Errorf("%s, known %v, keys %v", account, known, k)
	}
	other := New(st, list, quick) // as after a restart
	for _, unknown := range []string{"nobody@a.test", "NOBODY@A.test", "alice@elsewhere.test", "bob@plain.test", "alice", "", "a@b@c", "alice+tag@a.test"} {
		account, k, known := d.mustSCRAM(t, unknown)
		_, again, _ := other.mustSCRAM(t, unknown)
		if known || account != "<>" && account != "" || k.String() != again.String() || k.Iterations != quick.Iterations || proves(t, k, "secret") {
			t.Errorf("%s: %s, known %v, keys %v and after a restart %v", unknown, account, known, k, again)
		}
	}
	_, lower, _ := d.mustSCRAM(t, "nobody@a.test")
	if _, upper, _ := d.mustSCRAM(t, "Nobody@A.TEST"); upper.String() != lower.String() {
		t.Error("the case of a name that does not exist makes a difference")
	}
	if _, err := st.Snapshot(); err != nil || !d.OffersSCRAM() || New(st, list[1:], quick).OffersSCRAM() {
		t.Error("what is offered is not what the domains want")
	}
}

// TestSCRAMOfANewPassword: the keys change with the password, and go where the domain does without.
func TestSCRAMOfANewPassword(t *testing.T) {
	t.Parallel()
	st := pebbletest.Open(t)
	quick := cheap
	quick.Iterations = 4096
	d := New(st, configured("a.test"), quick)
	add(t, d, "alice@a.test", "old")
	set := func(d *Directory, password string) {
		var b store.Batch
		if err := d.SetPassword(t.Context(), &b, address(t, "alice@a.test"), password); err != nil {
			t.Fatal(err)
		}
		if _, err := st.Commit(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
	}
	set(d, "new")
	if _, k, known := d.mustSCRAM(t, "alice@a.test"); !known || proves(t, k, "old") || !proves(t, k, "new") {
		t.Errorf("known %v, keys %v", known, k)
	}
	without := configured("a.test")
	without[0].NoSCRAM = true
	set(New(st, without, quick), "newer")
	if _, k, known := d.mustSCRAM(t, "alice@a.test"); known || proves(t, k, "new") {
		t.Error("a domain that does without SCRAM has kept keys of an older password")
	}
}

func TestSCRAMOfACorruptStore(t *testing.T) {
	t.Parallel()
	st := pebbletest.Open(t)
	quick := cheap
	quick.Iterations = 4096
	d := New(st, configured("a.test"), quick)
	add(t, d, "alice@a.test", "secret")
	var b store.Batch
	b.Put(keys.SCRAM(address(t, "alice@a.test")), []byte("SCRAM-SHA-256$?"))
	if _, err := st.Commit(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	if _, _, known, err := d.SCRAM(t.Context(), "alice@a.test"); known || !errors.Is(err, record.ErrCorrupt) {
		t.Errorf("known %v, %v", known, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, _, err := New(st, nil, quick).SCRAM(ctx, "x"); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
