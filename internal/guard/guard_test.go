package guard

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

var rules = Options{BanAfter: 3, BanTime: 10 * time.Minute}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// fail fails n times, and returns the last ban.
func fail(g *Guard, n int, from, login string) (ban Ban, banned bool) {
	for range n {
		ban, banned = g.Failed(context.Background(), addr(from), login)
	}
	return ban, banned
}

func TestBan(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2100, 1, 1, 12, 0, 0, 0, time.UTC)))
		g := New(rules)
		if _, banned := fail(g, 2, "192.0.2.1", "alice@a.test"); banned {
			t.Error("banned early")
		}
		ban, banned := fail(g, 1, "::ffff:192.0.2.1", "bob@a.test") // another account, the same client
		const rule = "[auth] ban_after: 3 failed logins from 192.0.2.1, until 12:10:03 UTC"
		if want := time.Now().Add(-3 * time.Second).Add(rules.BanTime); !banned || !ban.Until.Equal(want) || ban.Rule != rule {
			t.Errorf("%+v, %v; want one until %v, %s", ban, banned, want, rule)
		}
		for _, c := range []struct {
			from string
			want bool
		}{{"192.0.2.1", true}, {"::ffff:192.0.2.1", true}, {"192.0.2.2", false}} {
			if got, banned := g.Banned(addr(c.from), "carol@a.test"); banned != c.want || banned && got != ban {
				t.Errorf("%s: %+v, %v", c.from, got, banned)
			}
		}
		if got := ban.After(); got != "10 minutes" {
			t.Errorf("after %s", got)
		}
		time.Sleep(time.Until(ban.Until) - time.Second)
		if _, banned := g.Banned(addr("192.0.2.1"), "carol@a.test"); !banned || ban.After() != "1 minute" {
			t.Errorf("a second before the end: %v, after %s", banned, ban.After())
		}
		time.Sleep(time.Second)
		if _, banned := g.Banned(addr("192.0.2.1"), "carol@a.test"); banned {
			t.Error("banned for ever")
		}
		if _, banned := fail(g, 2, "192.0.2.1", "carol@a.test"); banned {
			t.Error("old failures count again")
		}
	})
}

func TestIPv6ClientHasNetwork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := New(rules)
		for i := range rules.BanAfter {
			fail(g, 1, fmt.Sprintf("2001:db8:0:1::%d", i), "alice@a.test")
		}
		ban, banned := g.Banned(addr("2001:db8:0:1:ffff::"), "alice@a.test")
		if want := "[auth] ban_after: 3 failed logins from 2001:db8:0:1::/64, until "; !banned || len(ban.Rule) < len(want) || ban.Rule[:len(want)] != want {
			t.Errorf("%+v, %v", ban, banned)
		}
		if _, banned := g.Banned(addr("2001:db8:0:2::"), "alice@a.test"); banned {
			t.Error("the next network is banned too")
		}
	})
}

func TestFailuresAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := New(rules)
		fail(g, 2, "192.0.2.1", "alice@a.test")
		time.Sleep(window)
		if _, banned := fail(g, 2, "192.0.2.1", "alice@a.test"); banned {
			t.Error("failures of more than 15 minutes add up")
		}
	})
}

func TestNoBan(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{BanTime: time.Hour})
		if _, banned := fail(g, 100, "192.0.2.1", "alice@a.test"); banned {
			t.Error("banned with ban_after = 0")
		}
	})
}

// TestKnownNetwork: failures of an account that logged in there are its own; the others at the address, and the account
// at other addresses, go on.
func TestKnownNetwork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := New(rules)
		office := addr("192.0.2.1")
		g.Succeeded(office, "Alice@a.test")
		g.Succeeded(office, "bob@a.test")
		ban, banned := fail(g, 3, "192.0.2.1", "ALICE@A.test")
		if want := "[auth] ban_after: 3 failed logins as ALICE@A.test from 192.0.2.1, until "; !banned || ban.Rule[:len(want)] != want {
			t.Errorf("%+v, %v", ban, banned)
		}
		if _, banned := g.Banned(office, "alice@a.test"); !banned {
			t.Error("alice goes on guessing")
		}
		for _, login := range []string{"bob@a.test", "carol@a.test"} {
			if _, banned := g.Banned(office, login); banned {
				t.Errorf("%s is banned for alice's telephone", login)
			}
		}
		if _, banned := g.Banned(addr("192.0.2.2"), "alice@a.test"); banned {
			t.Error("alice is banned elsewhere")
		}
		fail(g, 3, "192.0.2.1", "carol@a.test")
		if _, banned := g.Banned(office, "dave@a.test"); !banned {
			t.Error("a network of guesses is not banned for strangers")
		}
		if _, banned := g.Banned(office, "bob@a.test"); banned {
			t.Error("bob is banned for carol's guesses")
		}
		time.Sleep(knownFor)
		fail(g, 3, "192.0.2.1", "carol@a.test")
		if _, banned := g.Banned(office, "bob@a.test"); !banned {
			t.Error("bob is known for ever")
		}
	})
}

// TestDelay: replies to failures come later and later, up to 5 s. A crowd that guesses at one account is slowed down
// wherever it is, but the account's own networks are not.
func TestDelay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{})
		took := func(from, login string) time.Duration {
			began := time.Now()
			fail(g, 1, from, login)
			return time.Since(began)
		}
		for i, want := range []time.Duration{1, 2, 3, 4, 5, 5} {
			if got := took("192.0.2.1", fmt.Sprintf("%d@a.test", i)); got != want*time.Second {
				t.Errorf("failure %d: %v", i+1, got)
			}
		}
		g.Succeeded(addr("198.51.100.1"), "alice@a.test")
		for i := range 5 {
			if got := took(fmt.Sprintf("203.0.113.%d", i), "alice@a.test"); got != time.Duration(i+1)*time.Second {
				t.Errorf("stranger %d: %v", i+1, got)
			}
		}
		if got := took("198.51.100.1", "alice@a.test"); got != time.Second {
			t.Errorf("the account's own network: %v", got)
		}
		if _, banned := g.Banned(addr("198.51.100.2"), "alice@a.test"); banned {
			t.Error("strangers locked the account out")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		began := time.Now()
		if g.Failed(ctx, addr("192.0.2.1"), "alice@a.test"); time.Since(began) != 0 {
			t.Error("a delay outlasts its context")
		}
		time.AfterFunc(time.Second/2, g.Hurry)
		if got := took("192.0.2.1", "alice@a.test"); got != time.Second/2 {
			t.Errorf("a delay holds up the shutdown: %v", got)
		}
		g.Hurry()
	})
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	tab := newTable[int, tally](3)
	for _, key := range []int{1, 2, 3, 1, 4} {
		tab.touch(key).failures++
	}
	for key, want := range map[int]int{1: 2, 2: 0, 3: 1, 4: 1} {
		got := 0
		if v := tab.get(key); v != nil {
			got = v.failures
		}
		if got != want {
			t.Errorf("key %d: %d failures, want %d", key, got, want)
		}
	}
	if len(tab.entries) != 3 || tab.order.Len() != 3 {
		t.Errorf("%d entries, %d in order", len(tab.entries), tab.order.Len())
	}
}

// BenchmarkLogin is what a login costs here whose password is right.
func BenchmarkLogin(b *testing.B) {
	g := New(rules)
	client := addr("192.0.2.1")
	for b.Loop() {
		g.Banned(client, "alice@a.test")
		g.Succeeded(client, "alice@a.test")
	}
}
