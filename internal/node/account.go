package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"waybill/internal/control"
	"waybill/internal/directory"
	"waybill/internal/mail"
	"waybill/internal/mailbox"
	"waybill/internal/store"
)

// change commits what fill puts into a batch; conflict says what it means if somebody else was faster.
func (k *core) change(ctx context.Context, conflict string, fill func(b *store.Batch) error) error {
	var b store.Batch
	if err := fill(&b); err != nil {
		return err
	}
	_, err := k.engine.Commit(ctx, &b)
	if errors.Is(err, store.ErrConflict) {
		return errors.New(conflict)
	}
	return err
}

// changedMeanwhile is the conflict of most changes.
const changedMeanwhile = "it was changed at the same moment; try again"

// AddAccount creates an account and its INBOX in one batch.
func (k *core) AddAccount(ctx context.Context, addr mail.Address, password string) error {
	conflict := fmt.Sprintf("account %s exists already, or its old mail is still being deleted", addr)
	return k.change(ctx, conflict, func(b *store.Batch) error {
		if err := k.mailboxes.Create(ctx, b, addr.Key(), mailbox.Inbox, time.Now()); err != nil {
			return err
		}
		return k.directory.Add(ctx, b, addr, password)
	})
}

// SetPassword gives an account another password. One that was right before is wrong as soon as it returns.
func (k *core) SetPassword(ctx context.Context, addr mail.Address, password string) error {
	return k.change(ctx, "account "+addr.String()+": "+changedMeanwhile, func(b *store.Batch) error {
		return k.directory.SetPassword(ctx, b, addr, password)
	})
}

// Accounts returns the accounts of a domain, or all if it is "".
func (k *core) Accounts(ctx context.Context, domain string) ([]control.Account, error) {
	found, err := k.directory.Accounts(ctx, domain)
	accounts := make([]control.Account, 0, len(found))
	for _, a := range found {
		used, err := k.mailboxes.Usage(ctx, a.Key())
		if err != nil {
			return nil, err
		}
		accounts = append(accounts, control.Account{
			Address: a.Address, Created: a.Created, Disabled: a.Disabled, Used: used, Quota: a.Limit(k.config.Limits.MailboxSize), OwnQuota: a.Quota != 0,
		})
	}
	return accounts, err
}

// Mailboxes returns those of an account.
func (k *core) Mailboxes(ctx context.Context, account mail.Address) ([]mailbox.Info, error) {
	return k.mailboxes.Boxes(ctx, account.Key())
}

// UpdateAccount changes an account.
func (k *core) UpdateAccount(ctx context.Context, addr mail.Address, c directory.Change) error {
	return k.change(ctx, "account "+addr.String()+": "+changedMeanwhile, func(b *store.Batch) error {
		return k.directory.Update(ctx, b, addr, c)
	})
}

// RemoveAccount ends an account. Its mail is deleted then, which may take a while and goes on after a stop.
func (k *core) RemoveAccount(ctx context.Context, addr mail.Address) error {
	err := k.change(ctx, "account "+addr.String()+": "+changedMeanwhile, func(b *store.Batch) error {
		k.mailboxes.Abandon(b, addr.Key())
		return k.directory.Remove(ctx, b, addr)
	})
	if err == nil {
		_, err = k.mailboxes.Purge(ctx)
	}
	return err
}

// Aliases returns the aliases of a domain, or all if it is "".
func (k *core) Aliases(ctx context.Context, domain string) ([]directory.Alias, error) {
	return k.directory.Aliases(ctx, domain)
}

// PutAlias makes an alias, or gives one other targets.
func (k *core) PutAlias(ctx context.Context, a directory.Alias, isNew bool) error {
	return k.change(ctx, "alias "+a.Address.String()+": "+changedMeanwhile, func(b *store.Batch) error {
		return k.directory.PutAlias(ctx, b, a, isNew)
	})
}

// RemoveAlias ends an alias.
func (k *core) RemoveAlias(ctx context.Context, addr mail.Address) error {
	return k.change(ctx, "alias "+addr.String()+": "+changedMeanwhile, func(b *store.Batch) error {
		return k.directory.RemoveAlias(ctx, b, addr)
	})
}

// Domains returns all domains.
func (k *core) Domains(ctx context.Context) ([]control.Domain, error) {
	all := k.directory.Domains()
	domains := make([]control.Domain, 0, len(all))
	for _, x := range all {
		accounts, err := k.directory.Accounts(ctx, x.Name)
		if err != nil {
			return nil, err
		}
		aliases, err := k.directory.Aliases(ctx, x.Name)
		if err != nil {
			return nil, err
		}
		domains = append(domains, control.Domain{
			Name: x.Name, Postmaster: x.Postmaster, SCRAM: !x.NoSCRAM, Configured: x.Configured, Accounts: len(accounts), Aliases: len(aliases),
		})
	}
	return domains, nil
}

// PutDomain takes mail for a further domain, or changes one.
func (k *core) PutDomain(ctx context.Context, c control.DomainChange) error {
	return k.change(ctx, "domain "+c.Name+": "+changedMeanwhile, func(b *store.Batch) error {
		x, err := k.changed(c)
		if err != nil {
			return err
		}
		return k.directory.PutDomain(b, x, c.New)
	})
}

// RemoveDomain takes no mail for a domain any more.
func (k *core) RemoveDomain(ctx context.Context, name string) error {
	return k.change(ctx, "domain "+name+": "+changedMeanwhile, func(b *store.Batch) error {
		return k.directory.RemoveDomain(ctx, b, name)
	})
}
