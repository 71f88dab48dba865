package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"waybill/internal/config"
	"waybill/internal/mail"
	"waybill/internal/srs"
	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/pebble/pebbletest"
)

// put makes or changes an alias.
func put(t testing.TB, d *Directory, isNew bool, from string, to ...string) error {
	t.Helper()
	local, domain, _ := strings.Cut(from, "@")
	a := Alias{Address: mail.Address{Local: local, Domain: domain}}
	for _, text := range to {
		a.Targets = append(a.Targets, address(t, text))
	}
	var b store.Batch
	if err := d.PutAlias(t.Context(), &b, a, isNew); err != nil {
		return err
	}
	_, err := d.st.Commit(t.Context(), &b)
	return err
}

func mustPut(t testing.TB, d *Directory, from string, to ...string) {
	t.Helper()
	if err := put(t, d, true, from, to...); err != nil {
		t.Fatal(err)
	}
}

// resolved shows what an address leads to: "*" stands before what is forwarded.
func resolved(t testing.TB, d *Directory, addr string) string {
	t.Helper()
	found, err := d.Resolve(t.Context(), address(t, addr))
	if errors.Is(err, ErrNoAccount) {
		return "nobody"
	}
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, x := range found.Targets {
		text := x.Path.String()
		if x.Forwarded {
			text = "*" + text
		} else if x.Account.Address.IsNull() {
			t.Errorf("%s has no account and is not forwarded", text)
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, " ")
}

func TestResolve(t *testing.T) {
	t.Parallel()
	d := New(pebbletest.Open(t), configured("a.test", "b.test"), Options{Hash: cheap.Hash, Iterations: cheap.Iterations, Hostname: "mail.a.test"})
	for _, account := range []string{"alice@a.test", "bob@a.test", "info@a.test", "bob+x@b.test"} {
		add(t, d, account, "secret")
	}
	mustPut(t, d, "sales@a.test", "alice@a.test", "bob@a.test", "outside@c.test")
	mustPut(t, d, "team@b.test", "sales@a.test", "alice@a.test", "bob+x@b.test")
	mustPut(t, d, "info@a.test", "info@a.test", "copy@c.test") // an account and more
	mustPut(t, d, "*@b.test", "alice+all@a.test")
	for addr, want := range map[string]string{
		"alice@a.test": "alice@a.test", "alice+tag@a.test": "alice+tag@a.test", "nobody@a.test": "nobody",
		"Sales@A.test":     "alice@a.test bob@a.test *outside@c.test",
		"sales+tag@a.test": "alice@a.test bob@a.test *outside@c.test",
		"team@b.test":      "alice@a.test bob@a.test *outside@c.test bob+x@b.test",
		"info@a.test":      "info@a.test *copy@c.test",
		"any@b.test":       "alice+all@a.test", "bob+x@b.test": "bob+x@b.test", "bob+y@b.test": "alice+all@a.test",
		"postmaster@b.test": "postmaster@b.test", "postmaster": "postmaster", "mailer-daemon@mail.a.test": "mailer-daemon@mail.a.test",
		"alice@mail.a.test": "nobody", "alice@c.test": "nobody",
	} {
		for range 2 { // the second time from memory
			if got := resolved(t, d, addr); got != want {
				t.Errorf("%s leads to %s, want %s", addr, got, want)
			}
		}
	}
	if err := put(t, d, false, "sales@a.test", "bob@a.test"); err != nil {
		t.Fatal(err)
	}
	if got := resolved(t, d, "team@b.test"); got != "bob@a.test alice@a.test bob+x@b.test" {
		t.Errorf("after a change team@b.test leads to %s", got)
	}
}

func TestAliasMistakes(t *testing.T) {
	t.Parallel()
	d := New(pebbletest.Open(t), configured("a.test"), cheap)
	add(t, d, "alice@a.test", "secret")
	mustPut(t, d, "one@a.test", "alice@a.test")
	mustPut(t, d, "two@a.test", "one@a.test")
	for _, test := range []struct {
		isNew bool
		from  string
		to    []string
		want  string
	}{
		{true, "one@a.test", []string{"alice@a.test"}, "it is there already and leads to alice@a.test"},
		{false, "three@a.test", []string{"alice@a.test"}, "no such alias"},
		{true, "x@b.test", []string{"alice@a.test"}, "is no domain of this server; there are: a.test"},
		{true, "x@a.test", nil, "from 1 to 1000 targets"},
		{true, "x@a.test", []string{"nobody@a.test"}, "the target nobody@a.test is nobody's address here"},
		{true, "x@a.test", []string{"x@a.test"}, "it leads to itself"},
		{false, "one@a.test", []string{"alice@a.test", "two@a.test"}, "it would lead in a circle: two@a.test"},
	} {
		if err := put(t, d, test.isNew, test.from, test.to...); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s to %v: %v, want %q", test.from, test.to, err, test.want)
		}
	}
	var b store.Batch
	if err := d.Remove(t.Context(), &b, address(t, "alice@a.test")); err == nil || !strings.Contains(err.Error(), "the alias one@a.test leads to it") {
		t.Errorf("the account is removed under an alias: %v", err)
	}
}

// A chain of aliases ends somewhere, and so many targets are not forgotten in silence but bounded.
func TestAliasChainsAreBounded(t *testing.T) {
	t.Parallel()
	d := New(pebbletest.Open(t), configured("a.test"), cheap)
	add(t, d, "alice@a.test", "secret")
	mustPut(t, d, "n0@a.test", "alice@a.test")
	var err error
	for i := 1; err == nil && i < 50; i++ {
		err = put(t, d, true, fmt.Sprintf("n%d@a.test", i), fmt.Sprintf("n%d@a.test", i-1))
	}
	if err == nil || !strings.Contains(err.Error(), "aliases lead to aliases more than") {
		t.Errorf("an endless chain: %v", err)
	}
}

// An account that somebody else's mail comes to is not removed, be it under an address with a tag, or as a postmaster.
func TestRemoveAnAccountInUse(t *testing.T) {
	t.Parallel()
	d := New(pebbletest.Open(t), configured("a.test", "b.test Zoe+pm@a.test"), cheap)
	for _, name := range []string{"alice", "bob", "bob+own", "carol", "zoe", "dan"} {
		add(t, d, name+"@a.test", "secret")
	}
	mustPut(t, d, "carol+own@a.test", "dan@a.test")
	mustPut(t, d, "one@a.test", "Alice+x@a.test", "bob+own@a.test", "carol+own@a.test")
	for name, want := range map[string]string{
		"alice": "the alias one@a.test leads to it", "bob+own": "the alias one@a.test leads to it", "zoe": "the domain b.test has it as its postmaster",
		"dan": "the alias carol+own@a.test leads to it", "bob": "", "carol": "",
	} {
		var b store.Batch
		err := d.Remove(t.Context(), &b, address(t, name+"@a.test"))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || len(b.Deletes) > 0) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	if account, err := d.Lookup(t.Context(), address(t, "postmaster@b.test")); err != nil || account.Key() != "zoe@a.test" {
		t.Errorf("the postmaster with a tag is %s, %v", account.Address, err)
	}
}

// strangers returns that many addresses of another server.
func strangers(name string, n int) (to []string) {
	for i := range n {
		to = append(to, fmt.Sprintf("%s-%d@c.test", name, i))
	}
	return to
}

// Who stands behind more targets than are followed is never left out in silence: neither when the alias is made, nor
// when one below it grows, nor when mail comes.
func TestTooManyTargets(t *testing.T) {
	t.Parallel()
	d := New(pebbletest.Open(t), configured("a.test"), cheap)
	add(t, d, "alice@a.test", "secret")
	for _, name := range []string{"one", "two", "three"} {
		mustPut(t, d, name+"@a.test", strangers(name, 400)...)
	}
	err := put(t, d, true, "all@a.test", "one@a.test", "two@a.test", "three@a.test", "alice@a.test")
	if !errors.Is(err, ErrTooFar) || !strings.Contains(err.Error(), "more than 1000 addresses") {
		t.Errorf("1201 targets: %v", err)
	}
	mustPut(t, d, "some@a.test", "one@a.test", "two@a.test", "alice@a.test", "one@a.test")
	if found, err := d.Resolve(t.Context(), address(t, "some@a.test")); err != nil || len(found.Targets) != 801 {
		t.Errorf("801 targets: %d, %v", len(found.Targets), err)
	}
	err = put(t, d, false, "two@a.test", strangers("more", 600)...)
	if !errors.Is(err, ErrTooFar) || !strings.Contains(err.Error(), "the alias some@a.test leads to it") {
		t.Errorf("a list that grows below another: %v", err)
	}
	var b store.Batch
	if err := d.RemoveAlias(t.Context(), &b, address(t, "two@a.test")); err != nil {
		t.Fatal(err)
	}
	if _, err := d.st.Commit(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	if err = put(t, d, true, "two@a.test", strangers("more", 600)...); !errors.Is(err, ErrTooFar) {
		t.Errorf("a list that is made anew below another: %v", err)
	}
	// An older version's doing.
	force(t, d, "two@a.test", strangers("more", 600)...)
	if found, err := d.Resolve(t.Context(), address(t, "some@a.test")); !errors.Is(err, ErrTooFar) {
		t.Errorf("1001 targets: %d of them, %v", len(found.Targets), err)
	}
	if err := put(t, d, false, "one@a.test", strangers("one", 400)...); err != nil {
		t.Errorf("what is no worse than before: %v", err)
	}
}

// force writes an alias that PutAlias would refuse.
func force(t *testing.T, d *Directory, from string, to ...string) {
	t.Helper()
	a := Alias{Address: address(t, from), Created: time.Now()}
	for _, text := range to {
		a.Targets = append(a.Targets, address(t, text))
	}
	var b store.Batch
	b.Put(keys.Alias(a.Address), a.encode())
	if _, err := d.st.Commit(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
}

// A chain does not grow too long from below: be it by other targets of an alias, or by one in the place of an account.
func TestChainGrowsFromBelow(t *testing.T) {
	t.Parallel()
	d := New(pebbletest.Open(t), configured("a.test"), cheap)
	add(t, d, "alice@a.test", "secret")
	add(t, d, "bob@a.test", "secret")
	for name, end := range map[string]string{"x": "alice@a.test", "y": "bob@a.test"} {
		below := end
		for i := range 9 {
			next := fmt.Sprintf("%s%d@a.test", name, i)
			mustPut(t, d, next, below)
			below = next
		}
	}
	if err := put(t, d, false, "x0@a.test", "y8@a.test"); !errors.Is(err, ErrTooFar) || !strings.Contains(err.Error(), "@a.test leads to it") {
		t.Errorf("the lowest of nine over nine others: %v", err)
	}
	if err := put(t, d, true, "alice@a.test", "y8@a.test"); !errors.Is(err, ErrTooFar) {
		t.Errorf("an alias where an account was: %v", err)
	}
	if err := put(t, d, false, "x0@a.test", "bob@a.test"); err != nil {
		t.Error(err)
	}
	if got := resolved(t, d, "x8@a.test"); got != "bob@a.test" {
		t.Errorf("x8@a.test leads to %s", got)
	}
}

// Aliases that lead to the same ones over and over are followed once.
func TestAliasesThatMeetAgain(t *testing.T) {
	t.Parallel()
	d := New(pebbletest.Open(t), configured("a.test"), cheap)
	add(t, d, "alice@a.test", "secret")
	below := []string{"alice@a.test"}
	for level := range 9 {
		var names []string
		for i := range 8 {
			names = append(names, fmt.Sprintf("l%d-%d@a.test", level, i))
			mustPut(t, d, names[i], below...)
		}
		below = names
	}
	if got := resolved(t, d, "l8-0@a.test"); got != "alice@a.test" {
		t.Errorf("it leads to %s", got)
	}
}

func TestRemoveAlias(t *testing.T) {
	t.Parallel()
	d := New(pebbletest.Open(t), configured("a.test"), cheap)
	add(t, d, "alice@a.test", "secret")
	mustPut(t, d, "one@a.test", "alice@a.test")
	if owns, err := d.Owns(t.Context(), address(t, "alice@a.test"), address(t, "one@a.test")); !owns || err != nil {
		t.Errorf("alice may not write as her alias: %v", err)
	}
	remove := func() error {
		var b store.Batch
		if err := d.RemoveAlias(t.Context(), &b, address(t, "one@a.test")); err != nil {
			return err
		}
		_, err := d.st.Commit(t.Context(), &b)
		return err
	}
	if err := remove(); err != nil {
		t.Fatal(err)
	}
	if got := resolved(t, d, "one@a.test"); got != "nobody" {
		t.Error(got)
	}
	if err := remove(); !errors.Is(err, ErrNoAlias) {
		t.Error(err)
	}
}

// A disabled account knows no password; its address still stands, so that mail is refused with the reason.
func TestDisabled(t *testing.T) {
	t.Parallel()
	d := New(pebbletest.Open(t), configured("a.test"), cheap)
	add(t, d, "alice@a.test", "secret")
	alice := address(t, "alice@a.test")
	set := func(c Change) {
		var b store.Batch
		if err := d.Update(t.Context(), &b, alice, c); err != nil {
			t.Fatal(err)
		}
		if _, err := d.st.Commit(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.Authenticate(t.Context(), "alice@a.test", "secret"); err != nil {
		t.Fatal(err)
	}
	yes, no, quota := true, false, int64(1<<20)
	set(Change{Disabled: &yes, Quota: &quota})
	if _, err := d.Authenticate(t.Context(), "alice@a.test", "secret"); !errors.Is(err, ErrCredentials) {
		t.Errorf("login: %v", err)
	}
	if _, _, known, err := d.SCRAM(t.Context(), "alice@a.test"); known || err != nil {
		t.Errorf("SCRAM: known %v, %v", known, err)
	}
	if a, err := d.Lookup(t.Context(), alice); err != nil || !a.Disabled || a.Quota != quota {
		t.Errorf("%+v, %v", a, err)
	}
	set(Change{Disabled: &no})
	if a, err := d.Authenticate(t.Context(), "alice@a.test", "secret"); err != nil || a.Disabled || a.Quota != quota {
		t.Errorf("enabled again: %+v, %v", a, err)
	}
	var b store.Batch
	if err := d.Update(t.Context(), &b, address(t, "bob@a.test"), Change{Disabled: &yes}); !errors.Is(err, ErrNoAccount) {
		t.Error(err)
	}
}

// Domains come from the configuration and from the store; what is committed counts at once.
func TestDomains(t *testing.T) {
	t.Parallel()
	d := New(pebbletest.Open(t), configured("a.test"), cheap)
	do := func(change func(b *store.Batch) error) error {
		var b store.Batch
		if err := change(&b); err != nil {
			return err
		}
		_, err := d.st.Commit(t.Context(), &b)
		return err
	}
	put := func(x config.Domain, isNew bool) error {
		return do(func(b *store.Batch) error { return d.PutDomain(b, x, isNew) })
	}
	remove := func(name string) error {
		return do(func(b *store.Batch) error { return d.RemoveDomain(t.Context(), b, name) })
	}
	if err := put(config.Domain{Name: "c.test", NoSCRAM: true}, true); err != nil {
		t.Fatal(err)
	}
	add(t, d, "alice@c.test", "secret")
	if !d.IsLocal("C.test") || resolved(t, d, "alice@c.test") != "alice@c.test" {
		t.Error("the new domain is not local")
	}
	for _, test := range []struct {
		err  error
		want string
	}{
		{put(config.Domain{Name: "c.test"}, true), "it is there already"},
		{put(config.Domain{Name: "a.test"}, false), "it stands in the configuration"},
		{put(config.Domain{Name: "d.test"}, false), "no such domain"},
		{put(config.Domain{Name: "d.test", Postmaster: "x@e.test"}, true), "is in no domain of this server"},
		{remove("c.test"), "it has 1 accounts and 0 aliases"},
		{remove("a.test"), "remove it there"},
		{remove("d.test"), "no such domain"},
	} {
		if test.err == nil || !strings.Contains(test.err.Error(), test.want) {
			t.Errorf("%v, want %q", test.err, test.want)
		}
	}
	if err := do(func(b *store.Batch) error { return d.Remove(t.Context(), b, address(t, "alice@c.test")) }); err != nil {
		t.Fatal(err)
	}
	if err := put(config.Domain{Name: "c.test", Postmaster: "chief@a.test"}, false); err != nil {
		t.Fatal(err)
	}
	names := func() (names []string) {
		for _, x := range d.Domains() {
			names = append(names, x.Name+" "+x.Postmaster)
		}
		return names
	}
	if got := names(); !slices.Equal(got, []string{"a.test ", "c.test chief@a.test"}) {
		t.Errorf("domains: %q", got)
	}
	if err := remove("c.test"); err != nil || d.IsLocal("c.test") {
		t.Errorf("the domain is still local: %v", err)
	}
	d.SetConfigured(configured("z.test"))
	if d.IsLocal("a.test") || !d.IsLocal("z.test") {
		t.Errorf("domains after a change of the configuration: %q", names())
	}
}

// What an alias forwards has a reverse-path that leads back, be it however long, until nobody can ask any more.
func TestRewrite(t *testing.T) {
	t.Parallel()
	d := New(pebbletest.Open(t), configured("a.test", "b.test"), cheap)
	now := time.Now()
	long := mail.Address{Local: strings.Repeat("x", 64), Domain: "bounces.c.test"}
	for _, from := range []mail.Address{address(t, "me@c.test"), long, {}, address(t, "alice@b.test")} {
		var b store.Batch
		path, err := d.Rewrite(t.Context(), &b, from, "a.test", now)
		if err != nil {
			t.Fatal(err)
		}
		if from.IsNull() || from.Domain == "b.test" {
			if path != from {
				t.Errorf("%s became %s", from, path)
			}
			continue
		}
		if _, err := d.st.Commit(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		if to, err := d.Unwrap(t.Context(), path, now); err != nil || to != from || path.Domain != "a.test" {
			t.Errorf("%s became %s, which leads to %s, %v", from, path, to, err)
		}
		if err := d.ForgetForwards(context.Background(), now.Add(srs.Life)); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Unwrap(t.Context(), path, now); err != nil {
			t.Errorf("forgotten too soon: %v", err)
		}
		if err := d.ForgetForwards(context.Background(), now.Add(2*srs.Life)); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Unwrap(t.Context(), path, now); (err == nil) == (from == long) {
			t.Errorf("%s, long after: %v", path, err)
		}
	}
	if _, err := d.Unwrap(t.Context(), address(t, "SRS0=AAAAAA=AA=c.test=me@a.test"), now); !errors.Is(err, srs.ErrForged) {
		t.Errorf("a forged one: %v", err)
	}
}

func FuzzDecodeAlias(f *testing.F) {
	f.Add(Alias{Address: mail.Address{Local: "a", Domain: "b.test"}, Targets: []mail.Address{{Local: "c", Domain: "d.test"}}, Created: time.Unix(5, 0)}.encode())
	f.Fuzz(func(t *testing.T, value []byte) {
		a, err := DecodeAlias(value)
		if err != nil {
			return
		}
		if again, err := DecodeAlias(a.encode()); err != nil || !slices.Equal(again.Targets, a.Targets) || again.Address != a.Address {
			t.Errorf("%+v gives %+v, %v", a, again, err)
		}
	})
}

func FuzzDecodeDomain(f *testing.F) {
	f.Add(Domain{Domain: config.Domain{Name: "b.test", NoSCRAM: true}, Created: time.Unix(5, 0)}.encode())
	f.Fuzz(func(t *testing.T, value []byte) {
		x, err := DecodeDomain(value)
		if err != nil {
			return
		}
		if again, err := DecodeDomain(x.encode()); err != nil || again != x {
			t.Errorf("%+v gives %+v, %v", x, again, err)
		}
	})
}
