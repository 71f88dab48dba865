package directory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	logger  *slog.Logger

	mu         sync.Mutex
	configured []config.Domain
	current    *domainSet // nil: to be read
	found      stored     // when it was last read
	last       *domainSet // made of that; stands in while the store cannot be read
	failing    bool       // the last reading failed, which is told once
}

// domainSet is the domains at one moment, those of the configuration first.
type domainSet struct {
	all    []Domain
	byName map[string]Domain
	bad    map[string]bool // keys of records that cannot be read
	unread map[string]bool // names of domains whose records cannot be read
	none   bool            // those of the store have never been read: any name may be one
}

func newDomains(st store.Store, configured []config.Domain, logger *slog.Logger) *domains {
	changed, _ := st.Watch(keys.Domains())
	d := &domains{st: st, changed: changed, configured: configured, logger: logger}
	d.last = d.with(stored{})
	d.last.none = true
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
		found, err := d.read()
		if err != nil { // the next call tries again
			if !d.failing {
				d.logger.Error("domains could not be read; as far as they are known, they stay as they were", "error", err)
			}
			d.failing = true
			return d.last
		}
		for key, err := range found.bad {
			if !d.last.bad[key] {
				d.logger.Error("the record of a domain cannot be read; its mail is refused for now", "key", key, "error", err)
			}
		}
		d.failing, d.found = false, found
		d.current = d.with(found)
		d.last = d.current
	}
	return d.current
}

// set replaces those of the configuration.
func (d *domains) set(configured []config.Domain) {
	d.mu.Lock()
	defer d.mu.Unlock()
	none := d.last.none
	d.configured, d.current = configured, nil
	d.last = d.with(d.found)
	d.last.none = none
}

// stored is what the store has of domains.
type stored struct {
	domains []Domain
	unread  []string         // names of those that cannot be read
	bad     map[string]error // what is wrong with their records, by key
}

// with returns the configured domains and those of the stored that are no others.
func (d *domains) with(found stored) *domainSet {
	set := &domainSet{byName: map[string]Domain{}, bad: map[string]bool{}, unread: map[string]bool{}}
	add := func(x Domain) {
		if _, known := set.byName[x.Name]; !known {
			set.byName[x.Name] = x
			set.all = append(set.all, x)
		}
	}
	for _, c := range d.configured {
		add(Domain{Domain: c, Configured: true})
	}
	for _, x := range found.domains {
		add(x)
	}
	for _, name := range found.unread {
		if _, known := set.byName[name]; !known {
			set.unread[name] = true
		}
	}
	for key := range found.bad {
		set.bad[key] = true
	}
	return set
}

// read returns what the store has. A record that cannot be read is no reason to be without the others.
func (d *domains) read() (found stored, err error) {
	snap, err := d.st.Snapshot()
	if err != nil {
		return found, err
	}
	defer snap.Close()
	found.bad = map[string]error{}
	for e, err := range snap.Scan(store.Prefix(keys.Domains())) {
		if err != nil {
			return found, err
		}
		name := keys.ParseDomain(e.Key)
		x, err := DecodeDomain(e.Value)
		if err == nil && x.Name != name {
			err = fmt.Errorf("it is that of %q", x.Name)
		}
		if err == nil {
			found.domains = append(found.domains, x)
			continue
		}
		found.bad[string(e.Key)] = err
		found.unread = append(found.unread, name)
	}
	return found, nil
}

// mayBe says whether a name that is none of the domains may be one all the same.
func (s *domainSet) mayBe(name string) bool { return s.none || s.unread[name] }

// IsLocal says whether this node takes mail for a domain. Where that cannot be read it says so too: what it means for an
// address is then an error (ErrUnreadable), and nothing goes astray meanwhile.
func (d *Directory) IsLocal(domain string) bool {
	domain = strings.ToLower(domain)
	set := d.domains.get()
	_, ok := set.byName[domain]
	return ok || d.hostname != "" && domain == d.hostname || set.mayBe(domain)
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

// find returns the domain of that name, which is in lower case, if it is one. Errors: ErrUnreadable.
func (d *Directory) find(name string) (x Domain, local bool, err error) {
	set := d.domains.get()
	x, local = set.byName[name]
	if !local && set.mayBe(name) {
		return x, false, fmt.Errorf("%s: %w", quoted(name), ErrUnreadable)
	}
	return x, local, nil
}

// ErrNoDomain: mail for that domain is not taken here.
var ErrNoDomain = errors.New("no such domain")

// PutDomain adds to the batch a domain, or what is changed of one, that does not stand in the configuration; name is in
// lower case. The commit fails with store.ErrConflict if it exists already when it is to be new.
func (d *Directory) PutDomain(b *store.Batch, x config.Domain, isNew bool) error {
	old, ok, err := d.find(x.Name)
	switch {
	case err != nil && isNew:
		return fmt.Errorf("domain %w; waybill domain set writes it anew", err)
	case err != nil: // mends it
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
	switch x, ok, err := d.find(name); {
	case err != nil: // it may go all the same
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
