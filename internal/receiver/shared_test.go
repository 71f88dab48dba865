package receiver

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"waybill/internal/store"
	"waybill/internal/store/news"
	"waybill/internal/store/pebble/pebbletest"
)

// sharing returns the receivers of two nodes that use one store, and what ends them.
func sharing(t *testing.T, o Options) (nodes []*Receiver, end func()) {
	t.Helper()
	o.Store = pebbletest.Open(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	for range 2 {
		r := New(o)
		nodes = append(nodes, r)
		go func() {
			r.Share(ctx)
			ended <- struct{}{}
		}()
	}
	time.Sleep(time.Second)
	return nodes, func() {
		cancel()
		for range nodes {
			<-ended
		}
	}
}

func (r *Receiver) takeOf(from netip.Prefix, account string) (ok bool) {
	if account != "" {
		_, ok = r.accounts.take(time.Now(), account)
	} else {
		_, ok = r.addresses.take(time.Now(), from)
	}
	if ok {
		r.took()
	}
	return ok
}

// TestNodesKeepOneRate: what a client sends to two nodes in turn keeps to the rate in the sum, at once and in the long run.
func TestNodesKeepOneRate(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ from, account string }{
		"IPv4": {"192.0.2.1/32", ""}, "IPv6": {"2001:db8:1:2::/64", ""}, "account": {"0.0.0.0/0", "alice@" + strings.Repeat("a", 250) + ".test"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const rate = 0.5
				nodes, end := sharing(t, Options{Shared: true, RatePerAddress: rate, RatePerAccount: rate})
				from := netip.MustParsePrefix(test.from)
				began, taken := time.Now(), [2]int{}
				for time.Since(began) < 10*time.Minute {
					for i, r := range nodes {
						if r.takeOf(from, test.account) {
							taken[i]++
						}
					}
					time.Sleep(500 * time.Millisecond)
				}
				sum, want := taken[0]+taken[1], int(rateBurst*rate+rate*time.Since(began).Seconds())
				if sum < want-2 || sum > want+2*2 { // what both take within the second
					t.Errorf("%d messages were taken (%v) in %v, want %d", sum, taken, time.Since(began), want)
				}
				if other := nodes[0].takeOf(netip.MustParsePrefix("192.0.2.2/32"), strings.TrimLeft(test.account, "a")); !other {
					t.Error("somebody else is held to the rate too")
				}
				end()
			})
		})
	}
}

// TestBurstAtTwoNodes: what comes at once at two nodes may be too much by what one of them takes within a second, which
// is then waited for.
func TestBurstAtTwoNodes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		nodes, end := sharing(t, Options{Shared: true, RatePerAddress: 1})
		from, taken := netip.MustParsePrefix("192.0.2.1/32"), 0
		send := func() {
			for range 100 {
				for _, r := range nodes {
					if r.takeOf(from, "") {
						taken++
					}
				}
			}
		}
		send()
		if taken != 120 {
			t.Errorf("%d at once", taken)
		}
		for range 60 {
			time.Sleep(time.Second)
			send()
		}
		if taken != 120 {
			t.Errorf("%d after a minute", taken)
		}
		time.Sleep(time.Second)
		if send(); taken < 121 || taken > 122 {
			t.Errorf("%d after that", taken)
		}
		end()
	})
}

// TestNothingIsWrittenAlone: without rates, and where nobody else uses the store, nothing is written, and Share has nothing to do.
func TestNothingIsWrittenAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, o := range []Options{{Shared: true}, {RatePerAddress: 10, RatePerAccount: 10}} {
			nodes, end := sharing(t, o)
			for range 10 {
				nodes[0].takeOf(netip.MustParsePrefix("192.0.2.1/32"), "")
				nodes[0].takeOf(netip.Prefix{}, "alice@a.test")
				time.Sleep(time.Second)
			}
			snap, err := nodes[0].Store.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			for e, err := range snap.Scan(store.Range{}) {
				t.Errorf("%+v: key %q is written, %v", o, e.Key, err)
			}
			snap.Close()
			end()
		}
	})
}

// TestManyKeysAreTold: what is said at once is bounded, and the rest follows.
func TestManyKeysAreTold(t *testing.T) {
	t.Parallel()
	r := New(Options{Shared: true, RatePerAddress: 1, RatePerAccount: 1})
	other := New(Options{Shared: true, RatePerAddress: 1, RatePerAccount: 1})
	const many = 5000
	for i := range many {
		r.takeOf(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32), "")
		r.takeOf(netip.Prefix{}, fmt.Sprintf("%d@%s.test", i, strings.Repeat("long", 60)))
	}
	s, hears := &shared{r.addresses, r.accounts}, &shared{other.addresses, other.accounts}
	times := 0
	for more := true; more; times++ {
		var said []byte
		if said, more = s.Say(nil); len(said) > news.MaxSaid {
			t.Fatalf("%d octets at once", len(said))
		}
		hears.Hear(append(said, 99), 0) // a newer release says something besides
	}
	if a, b := len(other.addresses.paid), len(other.accounts.paid); a != many || b != many || times < 10 {
		t.Errorf("%d and %d of %d are heard, in %d times", a, b, many, times)
	}
	if said, more := s.Say(nil); said != nil || more {
		t.Errorf("it goes on: %q", said)
	}
}
