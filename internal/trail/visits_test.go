package trail

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"waybill/internal/mail"
)

// visit records a session of a peer that was refused something, and returns its name.
func visit(tr *Trail, addr string, n int) string {
	session := fmt.Sprintf("SESSION%05d", n)
	peer := &Peer{Addr: addr}
	tr.Record(Event{Kind: Refused, At: time.Now(), Session: session, Peer: peer, Decision: &Decision{Rule: "a rule"}})
	tr.Record(Event{Kind: Ended, At: time.Now(), Session: session, Peer: peer, Dialogue: dialogueOf(4)})
	return session
}

func find(t *testing.T, tr *Trail, q Query) (found []string, from time.Time) {
	t.Helper()
	visits, err := tr.Visits(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range visits.Events {
		found = append(found, string(e.Kind)+" "+e.Session+string(e.Message))
	}
	return found, visits.From
}

// TestVisits finds what a peer did by its address and time: sessions without a message and messages, written or not.
func TestVisits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tr := newTrail(t, Options{PerAddress: 1000})
		start := time.Now()
		at := func() time.Duration { return time.Since(start) }
		visit(tr, "192.0.2.9:1", 1)
		time.Sleep(time.Hour)
		visit(tr, "192.0.2.9:2", 2)
		visit(tr, "192.0.2.10:1", 3)
		visit(tr, "[2001:db8::9]:1", 4)
		id := mail.NewIDs(1).New(time.Now())
		appendStep(t, tr, id,
			Event{Kind: Decided, At: time.Now(), Message: id, Recipient: "b@y.test", Decision: &Decision{Rule: "account b@y.test"}},
			Event{Kind: Received, At: time.Now(), Message: id, Peer: &Peer{Addr: "192.0.2.9:3"}, Dialogue: dialogueOf(4), Header: []string{"Subject: x"}},
			Event{Kind: Accepted, At: time.Now(), Message: id})
		other := mail.NewIDs(1).New(time.Now())
		appendStep(t, tr, other, Event{Kind: Received, At: time.Now(), Message: other, Peer: &Peer{Addr: "192.0.2.90:3"}})
		time.Sleep(time.Hour)
		visit(tr, "192.0.2.9:4", 5) // not written yet
		if at() != 2*time.Hour {
			t.Fatal(at())
		}

		one := netip.MustParsePrefix("192.0.2.9/32")
		all := Query{Network: one, Since: start.Add(-time.Minute), Until: time.Now()}
		got, from := find(t, tr, all)
		want := []string{
			"smtp.refused SESSION00001", "smtp.ended SESSION00001", "smtp.refused SESSION00002", "smtp.ended SESSION00002",
			"policy.decided " + string(id), "smtp.received " + string(id), "smtp.refused SESSION00005", "smtp.ended SESSION00005",
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) || !from.Equal(all.Since) {
			t.Errorf("of one address: %q from %v", got, from)
		}
		visits, _ := tr.Visits(t.Context(), all)
		for _, e := range visits.Events {
			if len(e.Dialogue)+len(e.Header) > 0 {
				t.Errorf("a list with the evidence of %s", e.Kind)
			}
		}
		between := Query{Network: netip.MustParsePrefix("192.0.2.8/29"), Since: start.Add(30 * time.Minute), Until: start.Add(90 * time.Minute)}
		if got, _ := find(t, tr, between); len(got) != 6 || strings.Contains(strings.Join(got, " "), "SESSION00001") {
			t.Errorf("of a network in a span: %q", got)
		}
		if got, _ := find(t, tr, Query{Network: netip.MustParsePrefix("2001:db8::/64"), Since: start, Until: time.Now()}); len(got) != 2 {
			t.Errorf("of an IPv6 network: %q", got)
		}
		if got, _ := find(t, tr, Query{Session: "SESSION00003", Since: start, Until: time.Now()}); len(got) != 2 {
			t.Errorf("of a session: %q", got)
		}
		if _, err := tr.Visits(t.Context(), Query{Since: start, Until: time.Now()}); err == nil {
			t.Error("a query for everything was answered")
		}
	})
}

// TestVisitsAreBounded: the newest are found, and since when they are complete is told.
func TestVisitsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tr := newTrail(t, Options{PerAddress: 1000})
		start := time.Now()
		for i := range 20 {
			visit(tr, "192.0.2.9:1", i)
			time.Sleep(time.Minute)
		}
		q := Query{Network: netip.MustParsePrefix("192.0.2.9/32"), Since: start, Until: time.Now(), Limit: 6}
		got, from := find(t, tr, q)
		if len(got) != 6 || got[5] != "smtp.ended SESSION00019" || got[0] != "smtp.refused SESSION00017" {
			t.Errorf("the newest: %q", got)
		}
		if from.Before(start.Add(16*time.Minute)) || from.After(start.Add(17*time.Minute)) {
			t.Errorf("complete from %v after the start", from.Sub(start))
		}
	})
}

// TestVisitsTellWhatWasNotKept: whoever came too often is known to have.
func TestVisitsTellWhatWasNotKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tr := newTrail(t, Options{PerAddress: 4})
		start := time.Now()
		for i := range 20 {
			visit(tr, "192.0.2.9:1", i)
		}
		time.Sleep(2 * rateSpan)
		visit(tr, "192.0.2.77:1", 99)
		got, _ := find(t, tr, Query{Network: netip.MustParsePrefix("192.0.2.9/32"), Since: start, Until: time.Now()})
		if len(got) != 5 || !slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, string(Omitted)) }) {
			t.Errorf("found %q", got)
		}
	})
}
