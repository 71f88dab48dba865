package directory

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"waybill/internal/config"
	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/pebble/pebbletest"
	"waybill/internal/store/record"
)

// putDomain makes or changes a domain of the store.
func putDomain(t testing.TB, d *Directory, isNew bool, name string) {
	t.Helper()
	var b store.Batch
	if err := d.PutDomain(&b, config.Domain{Name: name}, isNew); err != nil {
		t.Fatal(err)
	}
	if _, err := d.st.Commit(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
}

// A domain whose record cannot be read takes the others with it neither while the server runs nor after a start; nobody
// learns that it is none of ours; and it can be mended.
func TestUnreadableDomain(t *testing.T) {
	t.Parallel()
	st := pebbletest.Open(t)
	d := New(st, nil, cheap)
	for _, name := range []string{"a.test", "b.test", "c.test"} {
		putDomain(t, d, true, name)
		add(t, d, "alice@"+name, "secret")
	}
	var b store.Batch
	b.Put(keys.Domain("b.test"), []byte{1, 2, 3})
	b.Put(keys.Domain("d.test"), Domain{Domain: config.Domain{Name: "e.test"}}.encode())
	if _, err := st.Commit(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	o := cheap
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	started := New(st, nil, o)
	for name, d := range map[string]*Directory{"running": d, "after a start": started} {
		for _, domain := range []string{"a.test", "c.test"} {
			if got := resolved(t, d, "alice@"+domain); got != "alice@"+domain {
				t.Errorf("%s: alice@%s leads to %s", name, domain, got)
			}
		}
		for _, domain := range []string{"b.test", "d.test"} {
			_, err := d.Resolve(t.Context(), address(t, "alice@"+domain))
			_, err2 := d.Lookup(t.Context(), address(t, "alice@"+domain))
			if !d.IsLocal(domain) || !errors.Is(err, ErrUnreadable) || !errors.Is(err2, ErrUnreadable) {
				t.Errorf("%s: %s local %v, %v, %v", name, domain, d.IsLocal(domain), err, err2)
			}
		}
		if d.IsLocal("e.test") || d.IsLocal("f.test") {
			t.Errorf("%s: somebody else's domain is ours", name)
		}
	}
	if n := strings.Count(log.String(), "the record of a domain cannot be read"); n != 2 {
		t.Errorf("told %d times:\n%s", n, log.String())
	}
	putDomain(t, started, true, "f.test") // everything is read anew
	started.IsLocal("f.test")
	if n := strings.Count(log.String(), "cannot be read"); n != 2 {
		t.Errorf("told again:\n%s", log.String())
	}
	putDomain(t, started, false, "b.test")
	if got := resolved(t, started, "alice@b.test"); got != "alice@b.test" {
		t.Errorf("once it is mended: %s", got)
	}
	var gone store.Batch
	if err := started.RemoveDomain(t.Context(), &gone, "d.test"); err != nil || len(gone.Deletes) != 1 {
		t.Errorf("it cannot be removed: %v", err)
	}
}

// blind is a store that cannot be read for a while.
type blind struct {
	store.Store
	down atomic.Bool
}

func (s *blind) Snapshot() (store.Snapshot, error) {
	if s.down.Load() {
		return nil, store.ErrUnavailable
	}
	return s.Store.Snapshot()
}

// While the domains of the store cannot be read, those that were known stay; where none were, any name may be one.
func TestDomainsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	st := &blind{Store: pebbletest.Open(t)}
	d := New(st, configured("a.test"), cheap)
	putDomain(t, d, true, "b.test")
	add(t, d, "alice@b.test", "secret")
	st.down.Store(true)
	var log bytes.Buffer
	o := cheap
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	started := New(st, configured("a.test"), o)
	for _, domain := range []string{"a.test", "b.test", "c.test"} {
		if !started.IsLocal(domain) {
			t.Errorf("%s is none of ours, which nobody can know", domain)
		}
		_, err := started.Resolve(t.Context(), address(t, "alice@"+domain))
		if err == nil || errors.Is(err, ErrNoAccount) {
			t.Errorf("alice@%s: %v", domain, err)
		}
	}
	if n := strings.Count(log.String(), "domains could not be read"); n != 1 {
		t.Errorf("told %d times:\n%s", n, log.String())
	}
	if !d.IsLocal("b.test") || d.IsLocal("c.test") {
		t.Error("what was known is forgotten")
	}
	d.SetConfigured(configured("x.test"))
	if !d.IsLocal("b.test") || !d.IsLocal("x.test") || d.IsLocal("a.test") {
		t.Error("a new configuration is not heard of")
	}
	st.down.Store(false)
	if got := resolved(t, started, "alice@b.test"); got != "alice@b.test" || started.IsLocal("c.test") {
		t.Errorf("once the store is well: %s, c.test local %v", got, started.IsLocal("c.test"))
	}
}

// Names come back from their keys.
func TestDomainKeys(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a.test", "a\x00b", ""} {
		if got := keys.ParseDomain(keys.Domain(name)); got != name {
			t.Errorf("%q: %q", name, got)
		}
	}
	if got := keys.ParseDomain(keys.Domains()); got != "" {
		t.Errorf("%q", got)
	}
	if _, err := DecodeDomain(nil); !errors.Is(err, record.ErrCorrupt) {
		t.Error(err)
	}
}
