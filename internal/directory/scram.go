package directory

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"waybill/internal/mail"
	"waybill/internal/scram"
	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/record"
)

// OffersSCRAM says whether any domain's accounts can log in by SCRAM.
func (d *Directory) OffersSCRAM() bool {
	for _, x := range d.domains.get().all {
		if !x.NoSCRAM {
			return true
		}
	}
	return false
}

// SCRAM returns the account that login names, the full address in any case, and the keys that tell whether somebody
// knows its password. A name that has none, because there is no such account, its domain does without SCRAM, or its
// password is older than the keys, is not told apart: it gets keys that fit nobody, the same each time. It is then not
// known. Errors: those of the store.
func (d *Directory) SCRAM(ctx context.Context, login string) (account Account, k scram.Keys, known bool, err error) {
	octets, err := d.fakes.Get(ctx)
	if err != nil {
		return Account{}, k, false, fmt.Errorf("check a login: %w", err)
	}
	addr, err := mail.ParseAddress(login)
	name := addr.Key()
	if err != nil {
		addr, name = mail.Address{}, strings.ToLower(login)
	}
	fake := scram.Fake(octets, name, d.iterations)
	account, k, err = d.keysOf(addr)
	switch {
	case errors.Is(err, ErrNoAccount):
		return Account{}, fake, false, nil
	case err != nil:
		return Account{}, fake, false, fmt.Errorf("check a login: %w", err)
	}
	return account, k, true, nil
}

// keysOf does as much for an account that does not exist as for one that does.
func (d *Directory) keysOf(addr mail.Address) (Account, scram.Keys, error) {
	snap, err := d.st.Snapshot()
	if err != nil {
		return Account{}, scram.Keys{}, err
	}
	defer snap.Close()
	account, err := get(snap, addr)
	value, _, err2 := snap.Get(keys.SCRAM(addr))
	domain, local, err3 := d.find(strings.ToLower(addr.Domain))
	switch {
	case err != nil:
		return Account{}, scram.Keys{}, err
	case err3 != nil:
		return Account{}, scram.Keys{}, err3
	case account.Disabled:
		return Account{}, scram.Keys{}, ErrNoAccount
	case errors.Is(err2, store.ErrNotFound) || !local || domain.NoSCRAM:
		return Account{}, scram.Keys{}, ErrNoAccount
	case err2 != nil:
		return Account{}, scram.Keys{}, err2
	}
	k, err := scram.Parse(string(value))
	if err != nil {
		return Account{}, scram.Keys{}, fmt.Errorf("keys of %s: %w: %w", addr, record.ErrCorrupt, err)
	}
	return account, k, nil
}

// putKeys adds to the batch the keys of a new password; or, where the domain does without, that there are none.
func (d *Directory) putKeys(ctx context.Context, b *store.Batch, addr mail.Address, password string) error {
	if domain, _ := d.domain(addr.Domain); domain.NoSCRAM {
		b.Delete(keys.SCRAM(addr))
		return nil
	}
	salt := make([]byte, saltSize)
	rand.Read(salt) // never fails, since Go 1.24
	var k scram.Keys
	err := d.inTurn(ctx, func() (err error) {
		k, err = scram.Derive(password, salt, d.iterations)
		return err
	})
	if err == nil {
		b.Put(keys.SCRAM(addr), []byte(k.String()))
	}
	return err
}
