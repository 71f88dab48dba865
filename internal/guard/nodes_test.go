package guard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/news"
	"waybill/internal/store/pebble/pebbletest"
)

// share returns the guards of nodes that use st, and what ends them.
func share(t *testing.T, st store.Store, o Options, n int) (nodes []*Guard, end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	for range n {
		g, err := NewShared(ctx, o, st)
		if err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, g)
		go func() {
			g.Share(ctx)
			ended <- struct{}{}
		}()
	}
	time.Sleep(time.Second)
	synctest.Wait()
	return nodes, func() {
		cancel()
		for range n {
			<-ended
		}
	}
}

// settle lets the nodes tell each other what there is: a second is what that may take.
func settle() {
	time.Sleep(time.Second)
	synctest.Wait()
}

// fails lets n attempts fail, at the nodes in turn.
func fails(nodes []*Guard, n int, from, login string) (bans int) {
	for i := range n {
		if _, banned := nodes[i%len(nodes)].Failed(context.Background(), addr(from), login); banned {
			bans++
		}
	}
	return bans
}

// nodesTest runs a test in a bubble, with three nodes on one store.
func nodesTest(t *testing.T, o Options, do func(t *testing.T, st store.Store, nodes []*Guard)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := pebbletest.Open(t)
		nodes, end := share(t, st, o, 3)
		do(t, st, nodes)
		end()
	})
}

// TestNodesCountTogether: failures at all nodes come to one ban, which holds at all of them; and the reply to each comes as late as
// if they were one.
func TestNodesCountTogether(t *testing.T) {
	nodesTest(t, rules, func(t *testing.T, _ store.Store, nodes []*Guard) {
		began := time.Now()
		if bans := fails(nodes, 3, "192.0.2.1", "alice@a.test"); bans != 1 {
			t.Errorf("%d bans after three failures at three nodes", bans)
		}
		if took := time.Since(began); took != 6*time.Second {
			t.Errorf("the replies took %v", took)
		}
		settle()
		for i, g := range nodes {
			ban, banned := g.Banned(addr("192.0.2.1"), "bob@a.test")
			if left := time.Until(ban.Until); !banned || left < rules.BanTime-10*time.Second || left > rules.BanTime {
				t.Errorf("node %d: %v, for %v", i, banned, left)
			}
			if _, banned := g.Banned(addr("192.0.2.2"), "bob@a.test"); banned {
				t.Errorf("node %d bans somebody else", i)
			}
		}
		time.Sleep(rules.BanTime)
		if bans := fails(nodes, 2, "192.0.2.1", "alice@a.test"); bans > 0 {
			t.Error("old failures count again")
		}
	})
}

// TestNodesKnowNetworks: a good login at one node makes the network known to the account at all of them, and forgets its failures.
func TestNodesKnowNetworks(t *testing.T) {
	nodesTest(t, rules, func(t *testing.T, _ store.Store, nodes []*Guard) {
		office := addr("192.0.2.1")
		nodes[0].Succeeded(office, "Alice@a.test")
		nodes[1].Succeeded(office, "bob@a.test")
		settle()
		fails(nodes, 2, "192.0.2.1", "alice@a.test")
		nodes[2].Succeeded(office, "alice@a.test")
		settle()
		if bans := fails(nodes, 2, "192.0.2.1", "alice@a.test"); bans > 0 {
			t.Error("a good login at another node does not forget the failures")
		}
		if bans := fails(nodes[2:], 1, "192.0.2.1", "ALICE@A.test"); bans == 0 {
			t.Error("three failures at three nodes are no ban")
		}
		fails(nodes, 3, "192.0.2.1", "carol@a.test")
		settle()
		for i, g := range nodes {
			for login, want := range map[string]string{
				"alice@a.test": "3 failed logins as alice@a.test from 192.0.2.1,", "bob@a.test": "", "dave@a.test": "3 failed logins from 192.0.2.1,",
			} {
				ban, banned := g.Banned(office, login)
				if banned != (want != "") || !strings.Contains(ban.Rule, want) {
					t.Errorf("node %d, %s: %v, %s", i, login, banned, ban.Rule)
				}
			}
			if _, banned := g.Banned(addr("192.0.2.2"), "alice@a.test"); banned {
				t.Errorf("node %d bans alice elsewhere", i)
			}
		}
	})
}

// TestNodesDelayTogether: a crowd that guesses at one account is slowed down, whatever nodes it asks.
func TestNodesDelayTogether(t *testing.T) {
	nodesTest(t, Options{}, func(t *testing.T, _ store.Store, nodes []*Guard) {
		for i := range 5 {
			began := time.Now()
			nodes[i%3].Failed(context.Background(), addr(fmt.Sprintf("203.0.113.%d", i)), "alice@a.test")
			if took := time.Since(began); took != time.Duration(i+1)*time.Second {
				t.Errorf("stranger %d: %v", i+1, took)
			}
		}
	})
}

// TestBansSurvive: a node that begins knows the bans and the known networks, and what failed of late.
func TestBansSurvive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := pebbletest.Open(t)
		nodes, end := share(t, st, rules, 1)
		office, elsewhere := addr("2001:db8::1"), addr("192.0.2.1")
		nodes[0].Succeeded(office, "alice@a.test")
		nodes[0].Succeeded(office, "bob@a.test")
		fails(nodes, 3, "2001:db8::1", "alice@a.test")
		fails(nodes, 3, "192.0.2.1", "alice@a.test")
		fails(nodes, 2, "192.0.2.2", "alice@a.test")
		fails(nodes, 3, "192.0.2.3", "alice@a.test")
		end()
		time.Sleep(time.Minute)
		nodes, end = share(t, st, rules, 1)
		g := nodes[0]
		for what, banned := range map[string]bool{
			"alice@a.test 2001:db8::2": true, "bob@a.test 2001:db8::2": false, "dave@a.test 192.0.2.1": true, "dave@a.test 192.0.2.2": false,
		} {
			login, from, _ := strings.Cut(what, " ")
			if _, got := g.Banned(addr(from), login); got != banned {
				t.Errorf("%s: %v", what, got)
			}
		}
		fails(nodes, 3, "2001:db8::1", "carol@a.test")
		if _, banned := g.Banned(office, "bob@a.test"); banned {
			t.Error("that bob logs in there is forgotten")
		}
		if bans := fails(nodes, 1, "192.0.2.2", "carol@a.test"); bans == 0 {
			t.Error("failures before the restart do not count")
		}
		end()
		time.Sleep(rules.BanTime)
		nodes, end = share(t, st, rules, 1)
		if _, banned := nodes[0].Banned(elsewhere, "dave@a.test"); banned {
			t.Error("banned for ever")
		}
		end()
	})
}

// content returns what the store has, under prefix.
func content(t *testing.T, st store.Store, prefix string) (found []store.Entry) {
	t.Helper()
	snap, err := st.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	for e, err := range snap.Scan(store.Prefix([]byte(prefix))) {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, store.Entry{Key: bytes.Clone(e.Key), Value: bytes.Clone(e.Value)})
	}
	return found
}

// counting counts the commits, and can be away.
type counting struct {
	store.Store
	commits atomic.Int64
	away    atomic.Bool
}

func (s *counting) Commit(ctx context.Context, b *store.Batch) (store.Result, error) {
	if s.away.Load() {
		return store.Result{}, store.ErrUnavailable
	}
	s.commits.Add(1)
	return s.Store.Commit(ctx, b)
}

// TestFewWrites: logins that go on as they did write nothing, and an attack writes four times a second, however large it is.
func TestFewWrites(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &counting{Store: pebbletest.Open(t)}
		nodes, end := share(t, st, rules, 2)
		g := nodes[0]
		g.Succeeded(addr("192.0.2.1"), "alice@a.test")
		settle()
		before := st.commits.Load()
		for range 1000 {
			g.Succeeded(addr("192.0.2.1"), "alice@a.test")
			time.Sleep(time.Second)
		}
		if n := st.commits.Load() - before; n > 1 { // a sweep
			t.Errorf("%d commits for logins as ever", n)
		}
		before = st.commits.Load()
		const attackers, span = 20_000, 10 * time.Second
		for i := range attackers {
			from, login := addr(fmt.Sprintf("2001:db8:%x::1", i)), strings.Repeat("my Secret passphrase", 50)+fmt.Sprint(i)
			ctx, cancel := context.WithCancel(t.Context())
			cancel() // who waits has nothing to do with it
			g.Failed(ctx, from, login)
			time.Sleep(span / attackers)
		}
		if n := st.commits.Load() - before; n > 41 || n < 30 {
			t.Errorf("%d commits in %v", n, span)
		}
		settle()
		told := content(t, st, "news/")
		if len(told) > 2*64 || len(told) < 30 {
			t.Errorf("%d keys are kept of what was told", len(told))
		}
		for _, e := range content(t, st, "") {
			if bytes.Contains(e.Key, []byte("Secret")) || bytes.Contains(e.Value, []byte("Secret")) || len(e.Value) > news.MaxSaid+100 {
				t.Fatalf("key %q, %d octets", e.Key, len(e.Value))
			}
		}
		if other := len(nodes[1].networks.entries); other < attackers*9/10 {
			t.Errorf("the other node has heard of %d attackers", other)
		}
		end()
	})
}

// TestStoreAway: while the store is away a node bans alone, and what it has to say is said when the store is back.
func TestStoreAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &counting{Store: pebbletest.Open(t)}
		nodes, end := share(t, st, rules, 2)
		st.away.Store(true)
		if bans := fails(nodes[:1], 3, "192.0.2.1", "alice@a.test"); bans != 1 {
			t.Errorf("%d bans", bans)
		}
		nodes[0].Succeeded(addr("192.0.2.9"), "alice@a.test")
		time.Sleep(time.Minute)
		if _, banned := nodes[1].Banned(addr("192.0.2.1"), "bob@a.test"); banned {
			t.Error("the other node knows: the store was not away")
		}
		for i := range 3 * maxUntold {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			nodes[0].Failed(ctx, addr(fmt.Sprintf("2001:db8:%x::1", i)), "nobody")
		}
		if n := len(nodes[0].untold); n > maxUntold {
			t.Errorf("%d notices wait", n)
		}
		st.away.Store(false)
		settle()
		settle()
		ban, banned := nodes[1].Banned(addr("192.0.2.1"), "bob@a.test")
		if left := time.Until(ban.Until); !banned || left > rules.BanTime-time.Minute {
			t.Errorf("afterwards: %v, for %v", banned, left)
		}
		if k := nodes[1].known.get(pair{nodes[1].name("alice@a.test"), Network(addr("192.0.2.9"))}); k == nil {
			t.Error("a login while the store was away is not known")
		}
		end()
	})
}

// TestSweep: bans that are over and networks of long ago go, and of too many the oldest.
func TestSweep(t *testing.T) {
	nodesTest(t, rules, func(t *testing.T, st store.Store, nodes []*Guard) {
		nodes[0].Succeeded(addr("192.0.2.9"), "alice@a.test")
		fails(nodes, 3, "192.0.2.1", "alice@a.test")
		fails(nodes, 3, "192.0.2.9", "alice@a.test")
		settle()
		if bans, known := len(content(t, st, "banned/")), len(content(t, st, "known/")); bans != 2 || known != 1 {
			t.Errorf("kept: %d bans, %d known", bans, known)
		}
		time.Sleep(rules.BanTime + 25*time.Minute)
		if bans, known := len(content(t, st, "banned/")), len(content(t, st, "known/")); bans != 0 || known != 1 {
			t.Errorf("after the bans: %d bans, %d known", bans, known)
		}
		time.Sleep(2 * time.Hour)
		if told := content(t, st, "news/"); len(told) != 0 {
			t.Errorf("%d keys of what was told long ago", len(told))
		}
		b := &store.Batch{Lazy: true}
		const beyond = 1000
		for i := range maxKeys + beyond {
			key := keys.Known(uint64(i), Network(addr("192.0.2.1")))
			b.Put(key, markAt(time.Now().Add(-time.Duration(i)*time.Second)))
		}
		if _, err := st.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		sweep := &store.Batch{}
		snap, err := st.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		defer snap.Close()
		if more, err := (*member)(nodes[0]).Sweep(snap, sweep); err != nil || more || len(sweep.Deletes) != beyond+1 || len(sweep.Checks) != beyond+1 {
			t.Errorf("of too many %d go, %v, %v", len(sweep.Deletes), more, err)
		}
		for _, key := range sweep.Deletes {
			if account, _, ok := keys.ParseKnown(key); !ok || account < maxKeys-1 {
				t.Fatalf("%q goes", key)
			}
		}
	})
}

// TestHearNonsense: what cannot be read is passed over, up to there.
func TestHearNonsense(t *testing.T) {
	nodesTest(t, rules, func(t *testing.T, st store.Store, nodes []*Guard) {
		b := &store.Batch{}
		good := append([]byte{format}, byte(banned))
		good = append(keys.AppendNetwork(good, Network(addr("192.0.2.1"))), make([]byte, 8)...)
		good = append(good, 0x90, 0x4e) // 10 s
		for i, value := range [][]byte{nil, {9}, {1, 2}, []byte("\x01nonsense")} {
			b.Put(keys.News("guard", keys.Process{byte(i)}, 1), value)
		}
		b.Put(keys.NewsOn("guard"), nil)
		if _, err := st.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		m := (*member)(nodes[0])
		for _, said := range [][]byte{nil, {2}, {format, 99}, {format, byte(banned)}, append(bytes.Clone(good), 99)} {
			m.Hear(said, 0)
		}
		if _, is := nodes[0].Banned(addr("192.0.2.1"), "x"); !is {
			t.Error("what stands before the nonsense is not heard")
		}
		if bans := fails(nodes, 3, "192.0.2.2", "alice@a.test"); bans != 1 {
			t.Error("nonsense stops the others from being heard")
		}
	})
}

// TestSecretIsNeeded: a guard that cannot know under which names the others count says so.
func TestSecretIsNeeded(t *testing.T) {
	t.Parallel()
	st := &counting{Store: pebbletest.Open(t)}
	st.away.Store(true)
	if _, err := NewShared(t.Context(), rules, st); !errors.Is(err, store.ErrUnavailable) {
		t.Error(err)
	}
}
