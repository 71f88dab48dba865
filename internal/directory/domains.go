package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"waybill/internal/config"
	"waybill/internal/mail"
	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/record"
)

// Domain is a domain whose mail we take.
type Domain struct {
	config.Domain
	Configured bool      // it stands in the configuration, which alone may change it
	Created    time.Time // zero if it is configured
}

// domains are those of the configuration and of the store.
type domains struct {
	st      store.Store
	changed <-chan struct{}

	mu         sync.Mutex
	configured []config.Domain
	current    *domainSet // nil: to be read
	last       *domainSet // stands in while the store cannot be read
}

// domainSet is the domains at one moment, those of the configuration first.
type domainSet struct {
	all    []Domain
	byName map[string]Domain
}

func newDomains(st store.Store, configured []config.Domain) *domains {
	changed, _ := st.Watch(keys.Domains())
	d := &domains{st: st, changed: changed, configured: configured}
	d.last = d.with(nil)
	return d
}

// get returns the domains as of the last commit.
func (d *domains) get() *domainSet {
	d.mu.Lock()
	defer d.mu.Unlock()
	select {
	case <-d.changed:
		d.current = nil
	default:
	}
	if d.current == nil {
		stored, err := d.read()
		if err != nil { // the next call tries again
			return d.last
		}
		d.current = d.with(stored)
		d.last = d.current
	}
	return d.current
}

// set replaces those of the configuration.
func (d *domains) set(configured []config.Domain) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.configured, d.current = configured, nil
}

// with returns the configured domains and those of the stored that are no others.
func (d *domains) with(stored []Domain) *domainSet {
	set := &domainSet{byName: map[string]Domain{}}
	add := func(x Domain) {
		if _, known := set.byName[x.Name]; !known {
			set.byName[x.Name] = x
			set.all = append(set.all, x)
		}
	}
	for _, c := range d.configured {
		add(Domain{Domain: c, Configured: true})
	}
	for _, x := range stored {
		add(x)
	}
	return set
}

func (d *domains) read() ([]Domain, error) {
	snap, err := d.st.Snapshot()
	if err != nil {
		return nil, err
	}
	defer snap.Close()
	var stored []Domain
	for e, err := range snap.Scan(store.Prefix(keys.Domains())) {
		if err != nil {
			return nil, err
		}
		x, err := DecodeDomain(e.Value)
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", e.Key, err)
		}
		stored = append(stored, x)
	}
	return stored, nil
}

// IsLocal says whether this node takes mail for a domain.
func (d *Directory) IsLocal(domain string) bool {
	domain = strings.ToLower(domain)
	_, ok := d.domain(domain)
	return ok || d.hostname != "" && domain == d.hostname
}

// Domains returns all domains, those of the configuration first.
func (d *Directory) Domains() []Domain { return slices.Clone(d.domains.get().all) }

// SetConfigured replaces the domains of the configuration.
func (d *Directory) SetConfigured(configured []config.Domain) {
	d.domains.set(configured)
	d.accounts.forget()
	d.targets.forget()
}

// domain returns the domain of that name, which is in lower case.
func (d *Directory) domain(name string) (Domain, bool) {
	x, ok := d.domains.get().byName[name]
	return x, ok
}

// ErrNoDomain: mail for that domain is not taken here.
var ErrNoDomain = errors.New("no such domain")

// PutDomain adds to the batch a domain, or what is changed of one, that does not stand in the configuration; name is in
// lower case. The commit fails with store.ErrConflict if it exists already when it is to be new.
func (d *Directory) PutDomain(b *store.Batch, x config.Domain, isNew bool) error {
	old, ok := d.domain(x.Name)
	switch {
	case ok && old.Configured:
		return fmt.Errorf("domain %s: it stands in the configuration, which has to be changed", x.Name)
	case ok && isNew:
		return fmt.Errorf("domain %s: it is there already", x.Name)
	case !ok && !isNew:
		return fmt.Errorf("domain %s: %w", x.Name, ErrNoDomain)
	case x.Name == d.hostname:
		return fmt.Errorf("domain %s: that is the server's own name, whose mail for postmaster is taken anyway", x.Name)
	}
	if err := d.checkPostmaster(x); err != nil {
		return err
	}
	record := Domain{Domain: x, Created: old.Created}
	if isNew {
		record.Created = time.Now()
		b.Create(keys.Domain(x.Name), record.encode())
		return nil
	}
	b.Put(keys.Domain(x.Name), record.encode())
	return nil
}

func (d *Directory) checkPostmaster(x config.Domain) error {
	if x.Postmaster == "" {
		return nil
	}
	named, err := mail.ParseAddress(x.Postmaster)
	if err != nil {
		return fmt.Errorf("domain %s: the postmaster: %w", x.Name, err)
	}
	if named.Domain != x.Name && !d.IsLocal(named.Domain) {
		return fmt.Errorf("domain %s: the postmaster %s is in no domain of this server", x.Name, named)
	}
	return nil
}

// RemoveDomain adds to the batch the end of a domain that has neither accounts nor aliases any more.
func (d *Directory) RemoveDomain(ctx context.Context, b *store.Batch, name string) error {
	switch x, ok := d.domain(name); {
	case !ok:
		return fmt.Errorf("domain %s: %w", name, ErrNoDomain)
	case x.Configured:
		return fmt.Errorf("domain %s: it stands in the configuration; remove it there", name)
	}
	accounts, err := d.Accounts(ctx, name)
	if err != nil {
		return err
	}
	aliases, err := d.Aliases(ctx, name)
	if err != nil {
		return err
	}
	if len(accounts)+len(aliases) > 0 {
		return fmt.Errorf("domain %s: it has %d accounts and %d aliases; remove these first", name, len(accounts), len(aliases))
	}
	b.Delete(keys.Domain(name))
	return nil
}

// names lists the domains, for people.
func (d *Directory) names() string {
	var names []string
	for _, x := range d.domains.get().all {
		names = append(names, x.Name)
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// domainFormat is the first octet of a domain's record: name · postmaster · flags (1: without SCRAM) · created.
const domainFormat = 1

func (x Domain) encode() []byte {
	b := record.AppendText([]byte{domainFormat}, x.Name)
	b = record.AppendText(b, x.Postmaster)
	flags := byte(0)
	if x.NoSCRAM {
		flags = 1
	}
	return record.AppendTime(append(b, flags), x.Created)
}

// DecodeDomain reads a record. Errors: record.ErrCorrupt.
func DecodeDomain(value []byte) (x Domain, err error) {
	r := record.NewReader(value, domainFormat)
	x.Name, x.Postmaster = r.Text(), r.Text()
	flags := r.Octet()
	if flags > 1 {
		r.Fail()
	}
	x.NoSCRAM = flags == 1
	x.Created = r.Time()
	return x, r.End()
}
