package receiver

import (
	"net/netip"
	"testing"
	"time"
)

func TestRates(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		rate  float64
		burst int           // messages that may come at once
		wait  time.Duration // for the next
	}{
		{2, 120, 500 * time.Millisecond}, {0.5, 30, 2 * time.Second}, {0.05, 3, 20 * time.Second}, {0.01, 1, 100 * time.Second},
		{1e-300, 1, maxWait},
	} {
		r := newRates[string](test.rate)
		now := r.start
		for i := range test.burst {
			if _, ok := r.take(now, "a"); !ok {
				t.Errorf("rate %v: message %d of %d is refused", test.rate, i+1, test.burst)
			}
		}
		wait, ok := r.take(now, "a")
		if ok || (wait-test.wait).Abs() > time.Microsecond {
			t.Errorf("rate %v: after %d messages %v, wait %v; want %v", test.rate, test.burst, ok, wait, test.wait)
		}
		if _, ok := r.take(now, "b"); !ok {
			t.Errorf("rate %v: another key is held to the first one's rate", test.rate)
		}
		if test.wait == maxWait {
			continue
		}
		now = now.Add(wait + time.Millisecond)
		if _, ok := r.take(now, "a"); !ok {
			t.Errorf("rate %v: refused after the time that was told", test.rate)
		}
		if _, ok := r.take(now, "a"); ok {
			t.Errorf("rate %v: two taken after the time for one", test.rate)
		}
	}
	off := newRates[string](0)
	for range 1000 {
		if _, ok := off.take(off.start, "a"); !ok {
			t.Fatal("refused although the rate is off")
		}
	}
}

// TestRatesHeardAtTheStart: a node that begins hears of an hour of messages, and owes nothing for those that kept to the rate.
func TestRatesHeardAtTheStart(t *testing.T) {
	t.Parallel()
	for _, a := range []struct {
		every time.Duration
		ok    bool
	}{{time.Minute, true}, {25 * time.Second, true}, {10 * time.Second, false}} {
		r := newRates[string](0.05) // 3 a minute
		now := r.start
		for ago := time.Hour; ago > 0; ago -= a.every {
			r.hear(now.Add(-ago), "x", 1)
		}
		if wait, ok := r.take(now, "x"); ok != a.ok {
			t.Errorf("a message every %s: taken %t, wait %s", a.every, ok, wait)
		}
	}
}

// TestRatesAreBounded: many keys do not take more memory, and do not get in the way of a new one.
func TestRatesAreBounded(t *testing.T) {
	t.Parallel()
	r := newRates[int](0.01)
	for key := range maxRateKeys * 2 {
		if _, ok := r.take(r.start.Add(time.Duration(key)), key); !ok {
			t.Fatalf("key %d is refused", key)
		}
	}
	if len(r.paid) != maxRateKeys {
		t.Errorf("%d keys are kept", len(r.paid))
	}
	last := maxRateKeys*2 - 1
	if _, ok := r.take(r.start.Add(time.Duration(last)), last); ok {
		t.Error("the newest key is forgotten")
	}
}

func TestCounted(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"192.0.2.1": "192.0.2.1/32", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
	} {
		if got := counted(netip.MustParseAddr(addr)); got.String() != want {
			t.Errorf("%s is counted under %s, want %s", addr, got, want)
		}
	}
	if counted(netip.Addr{}).IsValid() {
		t.Error("no address is counted under a network")
	}
}
