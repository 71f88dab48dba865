package verify

import (
	"fmt"

	"waybill/internal/directory"
	"waybill/internal/mail"
	"waybill/internal/mailbox"
	"waybill/internal/spool"
	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/trail"
)

// directory looks at domains, accounts, aliases and passwords.
func (v *verifier) directory() error {
	err := v.each(keys.Domains(), func(e store.Entry) {
		if _, err := directory.DecodeDomain(e.Value); err != nil {
			v.found(Damage, fmt.Sprintf("the domain of key %q", e.Key), "its record cannot be read: %v", err)
		}
	})
	if err != nil {
		return err
	}
	if err = v.each(keys.Accounts(""), v.account); err != nil {
		return err
	}
	err = v.each(keys.Aliases(""), func(e store.Entry) {
		if _, err := directory.DecodeAlias(e.Value); err != nil {
			v.found(Damage, fmt.Sprintf("the alias of key %q", e.Key), "its record cannot be read: %v", err)
		}
	})
	if err != nil {
		return err
	}
	return v.each([]byte("password/"), func(e store.Entry) {
		if err := directory.CheckHash(e.Value); err != nil {
			v.found(Damage, fmt.Sprintf("the password of key %q", e.Key), "it cannot be read, so nobody can log in with it: %v", err)
		}
	})
}

func (v *verifier) account(e store.Entry) {
	a, err := directory.DecodeAccount(e.Value)
	if err != nil {
		v.found(Damage, fmt.Sprintf("the account of key %q", e.Key), "its record cannot be read: %v", err)
		return
	}
	v.accounts[a.Key()] = &holdings{known: true}
	if !v.has(keys.Password(a.Address)) {
		v.found(Damage, "account "+a.Address.String(), "it has no password; waybill account password gives it one")
	}
	if !v.has(keys.Mailbox(a.Key(), mailbox.Inbox)) {
		v.found(Damage, "account "+a.Address.String(), "it has no INBOX, so mail for it is refused")
	}
}

// mailboxes looks at the messages in mailboxes, and at what is counted there.
func (v *verifier) mailboxes() error {
	if err := v.each([]byte("mail/"), v.message); err != nil {
		return err
	}
	err := v.each([]byte("validity/"), func(e store.Entry) {
		if _, err := mailbox.DecodeUIDValidity(e.Value); err != nil {
			v.found(Damage, fmt.Sprintf("the mailboxes of key %q", e.Key), "no other can be created: %v", err)
		}
	})
	if err != nil {
		return err
	}
	for x, h := range v.boxes {
		what := fmt.Sprintf("mailbox %d of %s", x.Number, x.Account)
		if v.has(keys.Purge(x.Account)) || v.has(x.Purge()) {
			continue // it is being deleted
		}
		if n := v.counter(x.Count()); n != h.messages {
			v.found(Damage, what, "it has %d messages and is said to have %d", h.messages, n)
		}
		if n := v.counter(x.UIDs()); n < int64(h.maxUID) {
			v.found(Damage, what, "it has a message with UID %d, and the next one would get %d", h.maxUID, n+1)
		}
	}
	for account, h := range v.accounts {
		if n := v.counter(keys.Octets(account)); n != h.octets && !v.has(keys.Purge(account)) {
			v.found(Damage, "account "+account, "its mail has %d octets and is said to have %d, which its quota goes by", h.octets, n)
		}
	}
	return nil
}

func (v *verifier) message(e store.Entry) {
	x, uid, ok := keys.ParseMessage(e.Key)
	what := fmt.Sprintf("message %d of %s, mailbox %d", uid, x.Account, x.Number)
	if !ok {
		v.found(Damage, fmt.Sprintf("key %q", e.Key), "it is no key of a message")
		return
	}
	v.report.Messages++
	of := v.boxes[x]
	if of == nil {
		of = &holdings{}
		v.boxes[x] = of
	}
	of.messages++
	of.maxUID = max(of.maxUID, uid)
	entry, err := mailbox.DecodeEntry(e.Value)
	if err != nil {
		v.found(Damage, what, "its record cannot be read: %v", err)
		return
	}
	if h := v.accounts[x.Account]; h != nil {
		h.octets += entry.Size
	} else if !v.has(keys.Purge(x.Account)) {
		v.found(Untidy, what, "there is no account of that name")
	}
	if !v.has(keys.Ref(entry.Body.ID, x.Holder(uid))) {
		v.found(Damage, what, "it does not hold its content, which may be deleted under it")
	}
}

// spool looks at the messages in custody.
func (v *verifier) spool() error {
	prefix := keys.Spool("")
	return v.each(prefix, func(e store.Entry) {
		v.report.Queued++
		id := mail.ID(e.Key[len(prefix):])
		what := fmt.Sprintf("message %s in the queue", id)
		item, err := spool.Decode(e.Value)
		if err != nil {
			v.found(Damage, what, "its record cannot be read, and it is not delivered: %v", err)
			return
		}
		item.ID = id
		if !v.has(keys.Due(item.Due, id)) {
			v.found(Damage, what, "it has no place in the schedule, and is not attempted; waybill queue retry gives it one")
		}
		if !v.has(keys.Ref(item.Body.ID, string(item.Holder()))) {
			v.found(Damage, what, "it does not hold its content, which may be deleted under it")
		}
	})
}

// due looks at the schedule.
func (v *verifier) due() error {
	return v.each(keys.DueAll(), func(e store.Entry) {
		_, id, ok := keys.ParseDue(e.Key)
		if !ok || !v.has(keys.Spool(id)) {
			v.found(Untidy, fmt.Sprintf("the place %q in the schedule", e.Key), "it is for no message in the queue")
		}
	})
}

// trail looks at the waybills.
func (v *verifier) trail() error {
	return v.each(keys.TrailAll(), func(e store.Entry) {
		if id, _, ok := keys.ParseTold(e.Key); ok {
			if err := trail.Check(e.Value); err != nil {
				v.found(Damage, fmt.Sprintf("a step in the waybill of message %s", id), "it cannot be read: %v", err)
			}
		}
	})
}
