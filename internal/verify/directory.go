package verify

import (
	"bytes"
	"fmt"

	"waybill/internal/directory"
	"waybill/internal/mailbox"
	"waybill/internal/scram"
	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/secret"
)

func (v *verifier) domain(e store.Entry) {
	what := fmt.Sprintf("the domain of key %q", e.Key)
	x, err := directory.DecodeDomain(e.Value)
	switch {
	case err != nil:
		v.found(Damage, what, "its record cannot be read: %v", err)
	case !bytes.Equal(keys.Domain(x.Name), e.Key):
		v.found(Damage, what, "its record is that of %s", x.Name)
	}
}

func (v *verifier) account(e store.Entry) {
	addr, ok := keys.ParseAddress(e.Key)
	if !ok {
		v.malformed(e)
		return
	}
	v.owner(addr.Key()).known = true
	what := "account " + addr.String()
	a, err := directory.DecodeAccount(e.Value)
	switch {
	case err != nil:
		v.found(Damage, fmt.Sprintf("the account of key %q", e.Key), "its record cannot be read: %v", err)
	case a.Key() != addr.Key():
		v.found(Damage, what, "its record is that of %s", a.Address)
	}
	if !v.has(keys.Password(addr)) {
		v.found(Damage, what, "it has no password; waybill account password gives it one")
	}
	if !v.has(keys.Mailbox(addr.Key(), mailbox.Inbox)) {
		v.found(Damage, what, "it has no INBOX, so mail for it is refused")
	}
}

func (v *verifier) alias(e store.Entry) {
	what := fmt.Sprintf("the alias of key %q", e.Key)
	a, err := directory.DecodeAlias(e.Value)
	switch {
	case err != nil:
		v.found(Damage, what, "its record cannot be read: %v", err)
	case !bytes.Equal(keys.Alias(a.Address), e.Key):
		v.found(Damage, what, "its record is that of %s", a.Address)
	case len(a.Targets) == 0:
		v.found(Damage, what, "it leads to nobody")
	}
}

func (v *verifier) password(e store.Entry) {
	v.credential(e, "the password", directory.CheckHash(e.Value))
}

func (v *verifier) scram(e store.Entry) {
	_, err := scram.Parse(string(e.Value))
	v.credential(e, "the keys for SCRAM", err)
}

// credential tells of what an account logs in by, with what is wrong with it.
func (v *verifier) credential(e store.Entry, what string, err error) {
	addr, ok := keys.ParseAddress(e.Key)
	switch {
	case !ok:
		v.malformed(e)
	case err != nil:
		v.found(Damage, what+" of "+addr.String(), "it cannot be read, so nobody can log in with it: %v", err)
	case v.accounts[addr.Key()] == nil: // accounts were read before
		v.found(Untidy, what+" of "+addr.String(), "there is no account of that name")
	}
}

func (v *verifier) secret(e store.Entry) {
	if err := secret.Check(e.Value); err != nil {
		v.found(Damage, fmt.Sprintf("the secret of key %q", e.Key), "it cannot be used: %v", err)
	}
}

func (v *verifier) forward(e store.Entry) {
	what := fmt.Sprintf("the reverse-path of key %q", e.Key)
	if err := directory.CheckForward(e.Value); err != nil {
		v.found(Damage, what, "its record cannot be read, and a bounce for it is lost: %v", err)
	}
	if !v.has(keys.Secret(directory.ForwardSecret)) {
		v.found(Damage, what, "the secret is lost by which a bounce for it is known")
	}
}
