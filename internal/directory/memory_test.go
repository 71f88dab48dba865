package directory

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"waybill/internal/mail"
	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/pebble/pebbletest"
)

// occupy takes every turn to hash, so that whoever needs one must wait until release.
func occupy(d *Directory) (release func()) {
	for range maxHashing {
		d.hashing <- struct{}{}
	}
	return func() {
		for range maxHashing {
			<-d.hashing
		}
	}
}

// TestRightPasswordIsRemembered: it needs no hash, unless the password changes.
func TestRightPasswordIsRemembered(t *testing.T) {
	t.Parallel()
	d := New(pebbletest.Open(t), configured("a.test"), cheap)
	add(t, d, "alice@a.test", "secret")
	add(t, d, "bob@a.test", "other")
	done, cancel := context.WithCancel(t.Context())
	cancel()
	remembered := func(login, password string) bool {
		defer occupy(d)()
		_, err := d.Authenticate(done, login, password)
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", login, err)
		}
		return err == nil
	}
	authenticate := func(password string) error {
		_, err := d.Authenticate(t.Context(), "alice@a.test", password)
		return err
	}
	if remembered("alice@a.test", "secret") {
		t.Error("remembered before the first login")
	}
	if err := authenticate("secret"); err != nil {
		t.Fatal(err)
	}
	if err := authenticate("wrong"); !errors.Is(err, ErrCredentials) {
		t.Errorf("a wrong password: %v", err)
	}
	for login, want := range map[[2]string]bool{
		{"alice@a.test", "secret"}: true, {"ALICE@a.test", "secret"}: true, {"alice@a.test", "wrong"}: false,
		{"bob@a.test", "secret"}: false, {"nobody@a.test", "secret"}: false,
	} {
		if remembered(login[0], login[1]) != want {
			t.Errorf("%v: remembered %v", login, !want)
		}
	}
	var b store.Batch
	if err := d.SetPassword(t.Context(), &b, address(t, "alice@a.test"), "new"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.st.Commit(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	if err := authenticate("secret"); !errors.Is(err, ErrCredentials) {
		t.Errorf("the old password: %v", err)
	}
	if err := authenticate("new"); err != nil {
		t.Fatal(err)
	}
}

func TestRememberedExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRemembered()
		r.add("alice@a.test", "secret", 7)
		time.Sleep(rememberFor - time.Second)
		if !r.has("alice@a.test", "secret", 7) {
			t.Error("forgotten early")
		}
		time.Sleep(time.Second)
		if r.has("alice@a.test", "secret", 7) || len(r.known) > 0 {
			t.Error("remembered for longer than it may")
		}
		r.add("alice@a.test", "secret", 7)
		if r.has("alice@a.test", "secret", 8) {
			t.Error("remembered for another version of the password")
		}
	})
}

func TestRememberedIsBounded(t *testing.T) {
	t.Parallel()
	r := newRemembered()
	for i := range maxRemembered + 10 {
		r.add("alice@a.test", fmt.Sprint(i), 1)
	}
	if len(r.known) != maxRemembered || !r.has("alice@a.test", fmt.Sprint(maxRemembered+9), 1) {
		t.Errorf("%d are remembered, or not the newest", len(r.known))
	}
	for name := range r.known {
		if strings.Contains(string(name[:]), "alice") {
			t.Error("a name in the clear")
		}
	}
}

// TestTooManyWait: whoever would wait too long is told at once.
func TestTooManyWait(t *testing.T) {
	t.Parallel()
	st := pebbletest.Open(t)
	synctest.Test(t, func(t *testing.T) {
		d := New(st, configured("a.test"), cheap)
		release := occupy(d)
		d.waiting.Add(maxHashing)
		var running sync.WaitGroup
		for range maxWaiting {
			running.Go(func() {
				if _, err := d.Authenticate(t.Context(), "x@a.test", "y"); !errors.Is(err, ErrCredentials) {
					t.Errorf("one that waits: %v", err)
				}
			})
		}
		synctest.Wait()
		if _, err := d.Authenticate(t.Context(), "x@a.test", "y"); !errors.Is(err, ErrBusy) {
			t.Errorf("one too many: %v", err)
		}
		d.waiting.Add(-maxHashing)
		release()
		running.Wait()
		if _, err := d.Authenticate(t.Context(), "x@a.test", "y"); !errors.Is(err, ErrCredentials) {
			t.Errorf("afterwards: %v", err)
		}
	})
}

func TestSetPassword(t *testing.T) {
	t.Parallel()
	d := New(pebbletest.Open(t), configured("a.test"), cheap)
	add(t, d, "alice@a.test", "secret")
	var b store.Batch
	if err := d.SetPassword(t.Context(), &b, address(t, "bob@a.test"), "x"); !errors.Is(err, ErrNoAccount) {
		t.Errorf("of nobody: %v", err)
	}
	if err := d.SetPassword(t.Context(), &b, address(t, "alice@a.test"), ""); err == nil || !strings.Contains(err.Error(), "empty") {
		t.Errorf("an empty one: %v", err)
	}
	if err := d.SetPassword(t.Context(), &b, address(t, "Alice@a.test"), "x"); err != nil {
		t.Fatal(err)
	}
	remove(t, d, "alice@a.test")
	if _, err := d.st.Commit(t.Context(), &b); !errors.Is(err, store.ErrConflict) {
		t.Errorf("of an account that went meanwhile: %v", err)
	}
}

// remove deletes an account as another writer of the store may.
func remove(t *testing.T, d *Directory, addr string) {
	t.Helper()
	var b store.Batch
	b.Delete(keys.Account(address(t, addr)))
	if _, err := d.st.Commit(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
}

// TestLookupSeesEveryCommit: what was looked up before a commit is not told after it.
func TestLookupSeesEveryCommit(t *testing.T) {
	t.Parallel()
	d := New(pebbletest.Open(t), configured("a.test"), cheap)
	lookup := func(addr string) string {
		a, err := d.Lookup(t.Context(), address(t, addr))
		if err != nil && !errors.Is(err, ErrNoAccount) {
			t.Fatal(err)
		}
		return a.Address.String()
	}
	add(t, d, "alice@a.test", "secret")
	for range 100 {
		for range 2 {
			if got := lookup("alice+x@a.test"); got != "alice@a.test" {
				t.Fatalf("%q, want the account without the tag", got)
			}
		}
		add(t, d, "alice+x@a.test", "secret")
		for range 2 {
			if got := lookup("alice+x@a.test"); got != "alice+x@a.test" {
				t.Fatalf("%q, want the account that was created", got)
			}
		}
		remove(t, d, "alice+x@a.test")
	}
	if len(d.accounts.known) > 1 {
		t.Errorf("%d addresses are remembered", len(d.accounts.known))
	}
}

// TestLateLookupIsNotRemembered: one that read before a commit must not remember it after others forgot.
func TestLateLookupIsNotRemembered(t *testing.T) {
	t.Parallel()
	d := New(pebbletest.Open(t), configured("a.test"), cheap)
	addr := address(t, "alice@a.test")
	_, generation, _ := d.accounts.get(addr)
	add(t, d, "bob@a.test", "secret")
	d.accounts.get(addr) // another finds the commit
	d.accounts.put(addr, Account{Address: addr}, generation)
	if _, _, ok := d.accounts.get(addr); ok {
		t.Error("an old account is remembered")
	}
	_, generation, _ = d.accounts.get(addr)
	add(t, d, "carol@a.test", "secret")
	d.accounts.put(addr, Account{Address: addr}, generation) // before anybody finds the commit
	if _, _, ok := d.accounts.get(addr); ok {
		t.Error("an old account is remembered until the next commit")
	}
}

func TestLookupsAreBounded(t *testing.T) {
	t.Parallel()
	d := New(pebbletest.Open(t), configured("a.test"), cheap)
	add(t, d, "alice@a.test", "secret")
	for i := range maxLookups + 10 {
		if _, err := d.Lookup(t.Context(), mail.Address{Local: fmt.Sprintf("alice+%d", i), Domain: "a.test"}); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Lookup(t.Context(), mail.Address{Local: fmt.Sprintf("x%d", i), Domain: "a.test"}); !errors.Is(err, ErrNoAccount) {
			t.Fatal(err)
		}
	}
	if len(d.accounts.known) != maxLookups {
		t.Errorf("%d addresses are remembered", len(d.accounts.known))
	}
}

// TestTagsDoNotFillMemory: what is remembered is bounded by what it leads to, not only by the number of addresses, of which a
// stranger can make any number with tags.
func TestTagsDoNotFillMemory(t *testing.T) {
	t.Parallel()
	d := New(pebbletest.Open(t), configured("a.test"), cheap)
	mustPut(t, d, "all@a.test", strangers("somebody", maxTargets)...)
	mustPut(t, d, "one@a.test", "somebody@c.test")
	held := func() (n int) {
		for _, found := range d.targets.known {
			n += len(found.Targets)
		}
		return n
	}
	for i := range 3 * maxHeld / maxTargets {
		for _, local := range []string{"all+%d", "one+%d", "all+%d"} { // the second time from memory
			if _, err := d.Resolve(t.Context(), mail.Address{Local: fmt.Sprintf(local, i), Domain: "a.test"}); err != nil {
				t.Fatal(err)
			}
		}
		if n := held(); n > maxHeld || n != d.targets.held {
			t.Fatalf("%d targets are remembered, counted as %d", n, d.targets.held)
		}
	}
	if len(d.targets.known) < maxHeld/maxTargets {
		t.Errorf("%d addresses are remembered", len(d.targets.known))
	}
	mustPut(t, d, "two@a.test", "somebody@c.test")
	if d.targets.get(mail.Address{}); d.targets.held != 0 || len(d.targets.known) != 0 {
		t.Errorf("after a change %d are counted", d.targets.held)
	}
}
