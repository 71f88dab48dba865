package directory

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"waybill/internal/config"
	"waybill/internal/mail"
	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/pebble/pebbletest"
	"waybill/internal/store/record"
)

// cheap makes hashes that cost next to nothing.
var cheap = Options{Hash: Cost{Memory: 8, Passes: 1, Threads: 1}}

func configured(names ...string) (list []config.Domain) {
	for _, n := range names {
		name, postmaster, _ := strings.Cut(n, " ")
		list = append(list, config.Domain{Name: name, Postmaster: postmaster})
	}
	return list
}

func address(t testing.TB, s string) mail.Address {
	t.Helper()
	a, _, err := mail.ParsePath("<" + s + ">")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func add(t testing.TB, d *Directory, addr, password string) {
	t.Helper()
	var b store.Batch
	if err := d.Add(t.Context(), &b, address(t, addr), password); err != nil {
		t.Fatal(err)
	}
	if _, err := d.st.Commit(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
}

func TestOwns(t *testing.T) {
	t.Parallel()
	d := New(pebbletest.Open(t), configured("a.test", "b.test"), cheap)
	for _, a := range []string{"zoe@a.test", "Alice@a.test", "alice+own@a.test", "alice@b.test"} {
		add(t, d, a, "secret")
	}
	for addr, want := range map[string]bool{
		"alice@a.test": true, "ALICE@A.test": true, "alice+x@a.test": true, "Alice+X+Y@a.test": true,
		"alice+own@a.test": false, "alice@b.test": false, "alice@c.test": false, "zoe@a.test": false, "nobody@a.test": false,
		"alicex@a.test": false, "postmaster@a.test": false, "x+alice@a.test": false,
	} {
		if got, err := d.Owns(t.Context(), address(t, "alice@a.test"), address(t, addr)); err != nil || got != want {
			t.Errorf("%s: %v, %v", addr, got, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if ok, err := d.Owns(ctx, address(t, "alice@a.test"), address(t, "alice@a.test")); ok || !errors.Is(err, context.Canceled) {
		t.Errorf("with a done context: %v, %v", ok, err)
	}
}

func TestIsLocal(t *testing.T) {
	t.Parallel()
	d := New(pebbletest.Open(t), configured("a.test", "b.test"), Options{Hostname: "mail.a.test"})
	for name, want := range map[string]bool{"Mail.a.test": true, "a.test": true, "B.TEST": true, "c.test": false, "": false, "[127.0.0.1]": false} {
		if d.IsLocal(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	named := cheap
	named.Hostname = "Mail.a.test"
	d := New(pebbletest.Open(t), configured("empty.test", "a.test", "b.test chief@b.test", "c.test gone@c.test", "d.test p@elsewhere.test"), named)
	for _, a := range []string{"Zoe@a.test", "alice@a.test", "bob@b.test", "chief@b.test", "first@c.test", "first@d.test",
		"alice+own@a.test", `"with space"@a.test`} {
		add(t, d, a, "secret")
	}
	for addr, want := range map[string]string{
		"alice@a.test":          "alice@a.test",
		"ALICE@A.Test":          "alice@a.test",
		"zoe@a.test":            "Zoe@a.test",
		`"With Space"@a.test`:   `"with space"@a.test`,
		`"alice"@a.test`:        "alice@a.test",
		"Alice+List@A.test":     "alice@a.test",
		"alice+@a.test":         "alice@a.test",
		"alice+own@a.test":      "alice+own@a.test",
		"+alice@a.test":         "",
		"nobody+alice@a.test":   "",
		"alice@b.test":          "",
		"alice@elsewhere.test":  "",
		"nobody@a.test":         "",
		"postmaster@a.test":     "Zoe@a.test", // the first, not the first by name
		"Postmaster@B.test":     "chief@b.test",
		"postmaster@c.test":     "first@c.test",
		"postmaster@d.test":     "first@d.test",
		"postmaster":            "Zoe@a.test", // of the first domain that has one
		"postmaster@empty.test": "Zoe@a.test", // nobody is nearer
		"postmaster@other.test": "",
		// Reports come from the host's own name; an answer to one must reach somebody.
		"MAILER-DAEMON@mail.a.test": "Zoe@a.test",
		"postmaster@mail.A.test":    "Zoe@a.test",
		"alice@mail.a.test":         "",
		"mailer-daemon@a.test":      "",
	} {
		got, err := d.Lookup(t.Context(), address(t, addr))
		if want == "" {
			if !errors.Is(err, ErrNoAccount) {
				t.Errorf("%s: %v, %v; want ErrNoAccount", addr, got, err)
			}
			continue
		}
		if err != nil || got.Address.String() != want {
			t.Errorf("%s: %v, %v; want %s", addr, got.Address, err, want)
		}
	}
	if _, err := d.Lookup(t.Context(), mail.Address{}); !errors.Is(err, ErrNoAccount) {
		t.Errorf("the null path has an account: %v", err)
	}
	add(t, d, "postmaster@a.test", "secret")
	if got, err := d.Lookup(t.Context(), address(t, "postmaster@a.test")); err != nil || got.Key() != "postmaster@a.test" {
		t.Errorf("postmaster's own account: %v, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Lookup(ctx, address(t, "alice@a.test")); !errors.Is(err, context.Canceled) {
		t.Errorf("with a done context: %v", err)
	}
}

func TestAdd(t *testing.T) {
	t.Parallel()
	d := New(pebbletest.Open(t), configured("a.test", "b.test"), cheap)
	add(t, d, "alice@a.test", "secret")
	var b store.Batch
	if err := d.Add(t.Context(), &b, address(t, "Alice@A.test"), "other"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.st.Commit(t.Context(), &b); !errors.Is(err, store.ErrConflict) {
		t.Errorf("an account is created twice: %v", err)
	}
	for _, test := range []struct{ addr, password, want string }{
		{"alice@c.test", "x", "a.test, b.test"},
		{"postmaster", "x", "without a domain"},
		{"carol@a.test", "", "empty"},
		{"carol@a.test", strings.Repeat("x", MaxPassword+1), "longer"},
		{"carol@a.test", "a\nb", "line end"},
		{"carol@a.test", "a\x00b", "NUL"},
		{"carol@a.test", "\xff\xfe", "UTF-8"},
	} {
		err := d.Add(t.Context(), &store.Batch{}, address(t, test.addr), test.password)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want it to say %q", test.addr, err, test.want)
		}
		if err != nil && test.password != "x" && test.password != "" && strings.Contains(err.Error(), test.password) {
			t.Errorf("%s: the error shows the password", test.addr)
		}
	}
	add(t, d, "carol@b.test", strings.Repeat("ü", MaxPassword/2))
	account, err := d.Lookup(t.Context(), address(t, "carol@b.test"))
	if err != nil || account.Created.IsZero() {
		t.Errorf("carol: %v, %v", account, err)
	}
	if _, err := New(d.st, configured("b.test"), cheap).Lookup(t.Context(), address(t, "alice@a.test")); !errors.Is(err, ErrNoAccount) {
		t.Errorf("an account of a domain that is not ours any more: %v", err)
	}
}

func TestAuthenticate(t *testing.T) {
	t.Parallel()
	d := New(pebbletest.Open(t), configured("a.test"), cheap)
	const password = "pass wörd: $with$ everything"
	add(t, d, "Alice@a.test", password)
	for _, login := range []string{"alice@a.test", "ALICE@A.TEST"} {
		if got, err := d.Authenticate(t.Context(), login, password); err != nil || got.Address.String() != "Alice@a.test" {
			t.Errorf("%s: %v, %v", login, got, err)
		}
	}
	var replies []string
	for _, test := range [][2]string{
		{"alice@a.test", "wrong"}, {"alice@a.test", ""}, {"alice@a.test", password + " "},
		{"nobody@a.test", password}, {"alice@b.test", password}, {"alice", password}, {"", ""}, {"\x00@", "x"},
		{"alice@a.test", strings.Repeat("x", 1<<20)}, {"postmaster@a.test", password}, {"nobody@a.test", ""},
	} {
		_, err := d.Authenticate(t.Context(), test[0], test[1])
		if !errors.Is(err, ErrCredentials) {
			t.Errorf("%q: %v, want ErrCredentials", test[0], err)
			continue
		}
		replies = append(replies, err.Error())
	}
	for _, r := range replies {
		if r != replies[0] {
			t.Errorf("replies tell more: %q and %q", r, replies[0])
		}
	}
}

// TestAuthenticateCostsTheSame: a login that nobody has costs a hash too, of the same parameters.
func TestAuthenticateCostsTheSame(t *testing.T) {
	t.Parallel()
	d := New(pebbletest.Open(t), configured("a.test"), cheap)
	add(t, d, "alice@a.test", "secret")
	for _, login := range []string{"alice@a.test", "nobody@a.test", "nobody@b.test", "no address"} {
		for range maxHashing { // every turn is taken: whoever hashes must wait
			d.hashing <- struct{}{}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := d.Authenticate(ctx, login, "secret"); !errors.Is(err, context.Canceled) {
			t.Errorf("%q: %v, but it should wait for its turn", login, err)
		}
		for range maxHashing {
			<-d.hashing
		}
	}
}

// TestHashingIsBounded: no more than maxHashing at once, and who waits can give up.
func TestHashingIsBounded(t *testing.T) {
	t.Parallel()
	st := pebbletest.Open(t)
	synctest.Test(t, func(t *testing.T) {
		d := New(st, configured("a.test"), cheap)
		for range maxHashing {
			d.hashing <- struct{}{}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var running sync.WaitGroup
		running.Go(func() {
			if _, err := d.Authenticate(ctx, "x@a.test", "y"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("waiting: %v", err)
			}
		})
		running.Wait()
		<-d.hashing
		if _, err := d.Authenticate(t.Context(), "x@a.test", "y"); !errors.Is(err, ErrCredentials) {
			t.Errorf("with a turn: %v", err)
		}
	})
}

func TestPasswordIsHashed(t *testing.T) {
	t.Parallel()
	d := New(pebbletest.Open(t), configured("a.test"), Options{})
	add(t, d, "alice@a.test", "secret")
	snap, err := d.st.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	value, _, err := snap.Get(keys.Password(address(t, "alice@a.test")))
	if err != nil || !strings.HasPrefix(string(value), "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("stored: %s, %v", value, err)
	}
	for e := range snap.Scan(store.Range{}) {
		if strings.Contains(string(e.Value), "secret") {
			t.Errorf("key %q holds the password", e.Key)
		}
	}
	if _, err := d.Authenticate(t.Context(), "alice@a.test", "secret"); err != nil {
		t.Error(err)
	}
}

// TestStoredHashCostIsItsOwn: accounts keep working when the cost of new ones changes.
func TestStoredHashCostIsItsOwn(t *testing.T) {
	t.Parallel()
	st := pebbletest.Open(t)
	add(t, New(st, configured("a.test"), cheap), "alice@a.test", "secret")
	d := New(st, configured("a.test"), Options{Hash: Cost{Memory: 16, Passes: 2, Threads: 1}})
	if _, err := d.Authenticate(t.Context(), "alice@a.test", "secret"); err != nil {
		t.Error(err)
	}
}

func TestCorruptHashIsNoWrongPassword(t *testing.T) {
	t.Parallel()
	d := New(pebbletest.Open(t), configured("a.test"), cheap)
	add(t, d, "alice@a.test", "secret")
	var b store.Batch
	b.Put(keys.Password(address(t, "alice@a.test")), []byte("$argon2id$v=19$m=4294967295,t=1,p=1$AAAAAAAAAAA$AAAA"))
	if _, err := d.st.Commit(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Authenticate(t.Context(), "alice@a.test", "secret"); !errors.Is(err, record.ErrCorrupt) || errors.Is(err, ErrCredentials) {
		t.Errorf("%v, want ErrCorrupt", err)
	}
}

func TestPHCRoundTrip(t *testing.T) {
	t.Parallel()
	d := New(pebbletest.Open(t), nil, Options{})
	salt := []byte("0123456789abcdef")
	hash, err := d.hash(t.Context(), cheap.Hash, salt, "secret")
	if err != nil {
		t.Fatal(err)
	}
	p, err := parsePHC(phc{cheap.Hash, salt, hash}.String())
	if err != nil || string(p.hash) != string(hash) || string(p.salt) != string(salt) || p.cost != cheap.Hash {
		t.Errorf("%+v, %v", p, err)
	}
}

func FuzzParsePHC(f *testing.F) {
	f.Add("$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$" + strings.Repeat("A", 43))
	f.Add("$argon2id$v=19$m=0,t=2,p=1$$")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parsePHC(s)
		if err != nil {
			return
		}
		if p.cost.Memory > maxMemory || p.cost.Passes > maxPasses || p.cost.Passes == 0 || p.cost.Threads == 0 {
			t.Errorf("%q: cost %+v", s, p.cost)
		}
		if again, err := parsePHC(p.String()); err != nil || again.String() != p.String() {
			t.Errorf("%q gives %q, %v", s, p, err)
		}
	})
}

func FuzzDecodeAccount(f *testing.F) {
	f.Add(Account{Address: mail.Address{Local: "a", Domain: "b.test"}, Created: time.Unix(5, 0)}.encode())
	f.Add(Account{Disabled: true, Quota: 1 << 40}.encode())
	f.Fuzz(func(t *testing.T, value []byte) {
		a, err := DecodeAccount(value)
		if err != nil {
			return
		}
		if again, err := DecodeAccount(a.encode()); err != nil || again != a {
			t.Errorf("%+v gives %+v, %v", a, again, err)
		}
	})
}

func BenchmarkLookup(b *testing.B) {
	d := New(pebbletest.Open(b), configured("a.test"), cheap)
	var batch store.Batch
	if err := d.Add(b.Context(), &batch, mail.Address{Local: "alice", Domain: "a.test"}, "secret"); err != nil {
		b.Fatal(err)
	}
	if _, err := d.st.Commit(b.Context(), &batch); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Lookup(b.Context(), mail.Address{Local: "alice", Domain: "a.test"}); err != nil {
			b.Fatal(err)
		}
	}
}
