package trail

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"waybill/internal/dialogue"
	"waybill/internal/mail"
	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/pebble/pebbletest"
	"waybill/internal/store/record"
)

var (
	began = time.Date(2026, 11, 23, 12, 0, 1, 123456789, time.UTC)
	id    = mail.NewIDs(1).New(began)
)

func newTrail(t testing.TB, o Options) *Trail {
	t.Helper()
	tr := New(pebbletest.Open(t), o)
	t.Cleanup(func() { tr.Close(context.Background()) })
	return tr
}

// appendStep commits a step.
func appendStep(t testing.TB, tr *Trail, id mail.ID, events ...Event) {
	t.Helper()
	var b store.Batch
	tr.Append(&b, id, events)
	if _, err := tr.st.Commit(context.Background(), &b); err != nil {
		t.Fatal("commit:", err)
	}
}

func eventsOf(t testing.TB, tr *Trail, id mail.ID) []Event {
	t.Helper()
	events, err := tr.Events(context.Background(), id)
	if err != nil {
		t.Fatal("events:", err)
	}
	return events
}

func kinds(events []Event) (list []Kind) {
	for _, e := range events {
		list = append(list, e.Kind)
	}
	return list
}

// dialogueOf returns a session of n lines.
func dialogueOf(n int) (lines []dialogue.Line) {
	for i := range n {
		side, text := dialogue.Client, fmt.Sprintf("RCPT TO:<user%d@receivingemail.com>", i)
		if i%2 == 1 {
			side, text = dialogue.Server, fmt.Sprintf("250 2.1.5 user%d@receivingemail.com... Recipient ok", i)
		}
		lines = append(lines, dialogue.Line{At: began.Add(time.Duration(i) * time.Millisecond), Side: side, Text: text})
	}
	return lines
}

// accept is the events of an accepted message, as the receiver makes them.
func accept(id mail.ID) []Event {
	status := mail.NewStatus(250, "2.0.0", string(id)+" Message accepted for delivery")
	base := Event{At: began, Actor: "mail.sendingemail.com", Role: "MTA", Message: id, Session: "5f3a9c0012"}
	reverse, decided, received, accepted := base, base, base, base
	reverse.Kind, reverse.Took = ReverseLookup, 3*time.Millisecond
	reverse.Peer = &Peer{Addr: "127.0.0.24:40312", Name: "sender.sendingemail.com", Hello: "sender.sendingemail.com"}
	reverse.DNS = []DNS{
		{Name: "24.0.0.127.in-addr.arpa.", Type: "PTR", Server: "127.0.0.11:53", Code: "NOERROR", TTL: 3600, Took: time.Millisecond,
			Answers: []string{"24.0.0.127.in-addr.arpa.\t3600\tIN\tPTR\tsender.sendingemail.com."}},
		{Name: "sender.sendingemail.com.", Type: "A", Server: "127.0.0.11:53", Code: "NOERROR", TTL: 3600, Cached: true,
			Answers: []string{"sender.sendingemail.com.\t3600\tIN\tA\t127.0.0.24"}},
	}
	decided.Kind, decided.Recipient = Decided, "you@receivingemail.com"
	decided.Decision = &Decision{Question: "may this client relay?", Outcome: "allowed", Rule: "[relay] trusted: 127.0.0.24/32"}
	received.Kind, received.Took, received.Status = Received, 20*time.Millisecond, &status
	received.Peer, received.Dialogue = reverse.Peer, dialogueOf(10)
	received.TLS = &TLS{Version: "TLS 1.3", Cipher: "TLS_AES_128_GCM_SHA256"}
	received.Header = []string{"From: me@sendingemail.com", "To: you@receivingemail.com", "Subject: Hello"}
	received.Facts = []Fact{{"reverse-path", "<me@sendingemail.com>"}, {"size", "812 octets"}}
	accepted.Kind, accepted.Header = Accepted, []string{"Received: from sender.sendingemail.com (sender.sendingemail.com [127.0.0.24])\r\n\tby mail.sendingemail.com with ESMTP id " + string(id) + ";\r\n\tMon, 23 Nov 2026 12:00:00 +0000\r\n"}
	accepted.Facts = []Fact{{"queue id", string(id)}}
	return []Event{reverse, decided, received, accepted}
}

// attempt is the events of one attempt that did not succeed.
func attempt(id mail.ID, n int) []Event {
	at := began.Add(time.Duration(n) * time.Hour)
	status := mail.NewStatus(451, "4.4.1", "no answer")
	return []Event{
		{Kind: Attempted, At: at, Message: id, Attempt: n, Dialogue: dialogueOf(6), Recipient: "you@receivingemail.com"},
		{Kind: Deferred, At: at.Add(time.Second), Message: id, Attempt: n, Status: &status, NextAt: at.Add(time.Hour)},
	}
}

func TestAppendAndEvents(t *testing.T) {
	t.Parallel()
	tr := newTrail(t, Options{})
	first, second := accept(id), attempt(id, 1)
	appendStep(t, tr, id, second...)
	appendStep(t, tr, id, first...)
	other := mail.NewIDs(2).New(began)
	appendStep(t, tr, other, Event{Kind: Done, At: began, Message: other})
	if got, want := eventsOf(t, tr, id), append(slices.Clone(first), second...); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v, want\n%+v", got, want)
	}
	if got := eventsOf(t, tr, "00000000000000"); len(got) != 0 {
		t.Errorf("events of an unknown message: %+v", got)
	}
	var b store.Batch
	tr.Append(&b, id, nil)
	if len(b.Puts) != 0 {
		t.Error("no events are written as some")
	}
}

func TestEncoding(t *testing.T) {
	t.Parallel()
	full := Event{
		Kind: "a.new.kind", At: began, Took: -5, Actor: "actor", Role: "role", Message: "ANOTHER", Session: "s", Recipient: "r",
		Attempt: 7, Ref: "REF", Text: "text", Peer: &Peer{"addr", "", "hello", "account"},
		DNS: []DNS{{}, {Name: "n", Type: "t", Server: "s", Code: "c", Answers: []string{"", "a"}, TTL: 1<<32 - 1, Cached: true, Took: 1}},
		TLS: &TLS{"TLS 1.3", "cipher", true, "subject"}, Decision: &Decision{"q", "o", "r", "reason"},
		Dialogue: []dialogue.Line{{At: began.Add(time.Hour), Side: "X", Text: "t"}, {At: began, Side: dialogue.Note, Text: ""}},
		Status:   &mail.Status{Code: 599, Enhanced: mail.Enhanced{5, 65535, 1}, Text: "a\nb"},
		Header:   []string{"H: 1", ""}, Facts: []Fact{{"", ""}, {"n", "v"}}, NextAt: began.Add(-time.Hour),
	}
	events := append(accept(id), full, Event{Kind: Done, Message: id}, full, Event{Message: id})
	got, err := decode(id, encode(id, events))
	if err != nil || !reflect.DeepEqual(got, events) {
		t.Errorf("got\n%+v, want\n%+v, %v", got, events, err)
	}
	attempt, count, err := decodeHead(encode(id, events))
	if attempt != 7 || count != len(events) || err != nil {
		t.Errorf("head: attempt %d, %d events, %v", attempt, count, err)
	}
	many := make([]Event, 4*maxWords) // more words than the table takes
	for i := range many {
		many[i] = Event{Kind: Lookup, Message: id, Session: fmt.Sprint(i % (2 * maxWords))}
	}
	if got, err := decode(id, encode(id, many)); err != nil || !reflect.DeepEqual(got, many) {
		t.Errorf("many words: %v", err)
	}
}

// TestDictionary: what is written must be readable for ever, so words keep their places.
func TestDictionary(t *testing.T) {
	t.Parallel()
	if len(dictionaryPlaces) != len(dictionary) {
		t.Error("a word stands in the dictionary twice")
	}
	for place, word := range map[int]string{1: "C", 4: "dns.lookup", 11: "spool.durable", 27: "pop3.closed", 28: "MTA", 54: ""} {
		if dictionary[place-1] != word {
			t.Errorf("place %d has %q, not %q", place, dictionary[place-1], word)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encode(id, accept(id)))
	f.Add(encode(id, attempt(id, 3)))
	f.Add(encode("", []Event{{Kind: Refused, Peer: &Peer{Addr: "x"}}}))
	f.Fuzz(func(t *testing.T, value []byte) {
		decodeHead(value)
		events, err := decode(id, value)
		if err != nil {
			if !errors.Is(err, record.ErrCorrupt) {
				t.Errorf("%v is not ErrCorrupt", err)
			}
			return
		}
		again, err := decode(id, encode(id, events))
		if err != nil || len(again) != len(events) {
			t.Errorf("%d events encoded and decoded are %d, %v", len(events), len(again), err)
		}
	})
}

// octets is what a message has in the trail.
func octets(t testing.TB, tr *Trail, id mail.ID) (sum int) {
	t.Helper()
	snap, err := tr.st.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	for e, err := range snap.Scan(store.Prefix(keys.Trail(id))) {
		if err != nil {
			t.Fatal(err)
		}
		sum += len(e.Value)
	}
	return sum
}

// TestManyAttempts: the first and the last three are kept, the rest is counted; also over a restart.
func TestManyAttempts(t *testing.T) {
	t.Parallel()
	tr := newTrail(t, Options{})
	appendStep(t, tr, id, accept(id)...)
	const attempts = 50
	for n := 1; n <= attempts; n++ {
		if n%7 == 0 {
			tr = New(tr.st, Options{})
		}
		appendStep(t, tr, id, attempt(id, n)...)
	}
	seen := map[int]int{}
	events := eventsOf(t, tr, id)
	for _, e := range events {
		seen[e.Attempt]++
	}
	want := map[int]int{0: len(accept(id)) + 1, 1: 2, 2: 2, 3: 2, attempts - 2: 2, attempts - 1: 2, attempts: 2}
	if !reflect.DeepEqual(seen, want) {
		t.Errorf("events by attempt: %v, want %v", seen, want)
	}
	last := events[len(events)-1]
	if wantText := fmt.Sprintf("%d further events", 2*(attempts-6)); last.Kind != Omitted || !strings.Contains(last.Text, wantText) {
		t.Errorf("last event: %+v, want %q", last, wantText)
	}
}

// TestMessageIsBounded: whatever happens to a message, its waybill stays within the bound and says how it ended.
func TestMessageIsBounded(t *testing.T) {
	t.Parallel()
	tr := newTrail(t, Options{})
	told := 0
	step := func(events ...Event) {
		told += len(events)
		appendStep(t, tr, id, events...)
	}
	step(accept(id)...)
	for n := range 300 {
		var events []Event
		for range rand.IntN(20) {
			events = append(events, Event{Kind: Attempted, At: began, Message: id, Attempt: 1, Dialogue: dialogueOf(rand.IntN(100)),
				Text: strings.Repeat("x", rand.IntN(3000))})
		}
		step(append(events, Event{Kind: Relayed, At: began, Message: id, Attempt: 1, Recipient: fmt.Sprint(n)})...)
		if size := octets(t, tr, id); size > maxMessage {
			t.Fatalf("%d octets after %d steps", size, n)
		}
	}
	events := eventsOf(t, tr, id)
	last := events[len(events)-1]
	if wantText := fmt.Sprintf("%d further events", told-len(events)+1); last.Kind != Omitted || !strings.Contains(last.Text, wantText) {
		t.Errorf("last event: %+v, want %q", last, wantText)
	}
	relayed := 0
	for _, e := range events {
		if e.Kind == Relayed {
			relayed++
		}
	}
	if relayed != 300 {
		t.Errorf("%d of 300 essential events are kept", relayed)
	}
}

// TestEndsAreBoundedToo: also when there are more ends than a waybill has room for.
func TestEndsAreBoundedToo(t *testing.T) {
	t.Parallel()
	tr := newTrail(t, Options{})
	appendStep(t, tr, id, accept(id)...)
	const recipients = 2000
	for n := range recipients {
		appendStep(t, tr, id, Event{Kind: Relayed, At: began, Message: id, Attempt: 1, Recipient: fmt.Sprintf("%040d@example.test", n)})
	}
	events := eventsOf(t, tr, id)
	wantText := fmt.Sprintf("%d further events", len(accept(id))+recipients-(len(events)-1))
	if last := events[len(events)-1]; octets(t, tr, id) > maxMessage || last.Kind != Omitted || !strings.Contains(last.Text, wantText) {
		t.Errorf("%d octets, last event %+v, want %q", octets(t, tr, id), last, wantText)
	}
}

func TestLongStepIsShortened(t *testing.T) {
	t.Parallel()
	tr := newTrail(t, Options{})
	e := Event{Kind: Received, At: began, Message: id, Dialogue: dialogueOf(200), Header: []string{strings.Repeat("h", 30_000)}}
	for i := range e.Dialogue {
		e.Dialogue[i].Text += strings.Repeat(".", 300)
	}
	whole := slices.Clone(e.Dialogue)
	appendStep(t, tr, id, e)
	if !reflect.DeepEqual(e.Dialogue, whole) || len(e.Header[0]) != 30_000 {
		t.Error("the caller's event was changed")
	}
	got := eventsOf(t, tr, id)[0].Dialogue
	if len(got) != 2*endLines+1 || got[0] != whole[0] || got[2*endLines] != whole[199] || got[endLines].Text != "(180 lines are not kept)" {
		t.Errorf("dialogue: %+v", got)
	}
	if size := octets(t, tr, id); size > maxStep {
		t.Errorf("the step has %d octets", size)
	}
}

func TestCorruptStepDoesNotHideTheOthers(t *testing.T) {
	t.Parallel()
	tr := newTrail(t, Options{})
	appendStep(t, tr, id, accept(id)...)
	if _, err := tr.st.Commit(t.Context(), &store.Batch{Puts: []store.Put{{Key: keys.Step(id, began, 0), Value: []byte{format, 0, 5}}}}); err != nil {
		t.Fatal(err)
	}
	events, err := tr.Events(t.Context(), id)
	if !errors.Is(err, record.ErrCorrupt) || len(events) != len(accept(id)) {
		t.Errorf("%d events, %v", len(events), err)
	}
}

func TestPublishAndRecordTellTheObserver(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var seen []Kind
	var tr *Trail
	tr = New(pebbletest.Open(t), Options{Observe: func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, e.Kind)
		if e.Kind == Ended { // an observer may look at the trail, and tell it something
			if _, err := tr.Events(context.Background(), id); err != nil {
				t.Error(err)
			}
		}
	}})
	tr.Publish(accept(id))
	tr.Record(Event{Kind: Ended, At: began, Message: id})
	if want := append(kinds(accept(id)), Ended); !slices.Equal(seen, want) {
		t.Errorf("seen %v, want %v", seen, want)
	}
	if err := tr.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	New(tr.st, Options{}).Publish(accept(id)) // nobody observes
}

// TestRecord: an event is seen at once, and written within a second.
func TestRecord(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := pebbletest.Open(t)
		tr := New(st, Options{})
		appendStep(t, tr, id, accept(id)...)
		tr.Record(Event{Kind: Durable, At: began.Add(time.Second), Message: id})
		tr.Record(Event{Kind: Ended, At: began.Add(2 * time.Second), Message: id, Dialogue: dialogueOf(2)})
		want := append(kinds(accept(id)), Durable, Ended)
		if got := kinds(eventsOf(t, tr, id)); !slices.Equal(got, want) {
			t.Errorf("before it is written: %v", got)
		}
		if got := kinds(eventsOf(t, New(st, Options{}), id)); len(got) != len(want)-2 {
			t.Errorf("written at once: %v", got)
		}
		time.Sleep(flushInterval + time.Millisecond)
		synctest.Wait()
		if got := kinds(eventsOf(t, New(st, Options{}), id)); !slices.Equal(got, want) {
			t.Errorf("after a second: %v", got)
		}
		if got := kinds(eventsOf(t, tr, id)); !slices.Equal(got, want) {
			t.Errorf("seen twice or never: %v", got)
		}
		tr.Record(Event{Kind: Fetched, At: began.Add(3 * time.Second), Message: id})
		if err := tr.Close(context.Background()); err != nil {
			t.Error(err)
		}
		tr.Record(Event{Kind: Deleted, At: began, Message: id})
		if got := kinds(eventsOf(t, New(st, Options{}), id)); !slices.Equal(got, append(want, Fetched)) {
			t.Errorf("after Close: %v", got)
		}
	})
}

// TestRecordWhileTheStoreIsDown: nothing is lost and nothing is written twice, and memory is bounded.
func TestRecordWhileTheStoreIsDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &downStore{Store: pebbletest.Open(t)}
		tr := New(st, Options{})
		for i, outcome := range []error{store.ErrUnavailable, store.ErrUnknown} {
			st.err.Store(&outcome)
			tr.Record(Event{Kind: Ended, At: began.Add(time.Duration(2*i) * time.Second), Message: id})
			tr.Record(Event{Kind: Ended, At: began, Session: "without a message"})
			time.Sleep(flushInterval + time.Millisecond)
			synctest.Wait()
			tr.Record(Event{Kind: Ended, At: began.Add(time.Duration(2*i+1) * time.Second), Message: id})
			time.Sleep(3 * flushInterval)
			synctest.Wait()
			st.err.Store(nil)
			time.Sleep(flushInterval)
			synctest.Wait()
			if got := eventsOf(t, New(st.Store, Options{}), id); len(got) != 2*i+2 {
				t.Errorf("after %v: %d events are written, want %d", outcome, len(got), 2*i+2)
			}
			if sum, counted := sessionOctets(t, st.Store); sum == 0 || sum != counted {
				t.Errorf("after %v: %d octets of sessions, %d counted", outcome, sum, counted)
			}
		}
		st.err.Store(&store.ErrUnavailable)
		for range 3 {
			for range 20_000 {
				tr.Record(Event{Kind: Ended, At: began, Text: strings.Repeat("x", 500)})
			}
			time.Sleep(flushInterval)
		}
		synctest.Wait()
		tr.mu.Lock()
		if tr.weight > maxRecorded || len(tr.recorded) > maxRecorded/500 || tr.dropped == 0 {
			t.Errorf("%d events in memory, %d dropped", len(tr.recorded), tr.dropped)
		}
		tr.mu.Unlock()
		if err := tr.Close(context.Background()); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("close: %v", err)
		}
	})
}

// downStore refuses batches with err, if there is one; it applies them all the same if that is ErrUnknown.
type downStore struct {
	store.Store
	err atomic.Pointer[error]
}

func (s *downStore) Commit(ctx context.Context, b *store.Batch) (store.Result, error) {
	down := s.err.Load()
	if down == nil {
		return s.Store.Commit(ctx, b)
	}
	if errors.Is(*down, store.ErrUnknown) {
		if _, err := s.Store.Commit(ctx, b); err != nil {
			return store.Result{}, err
		}
	}
	return store.Result{}, fmt.Errorf("%w: injected", *down)
}

func TestSessions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := pebbletest.Open(t)
		tr := New(st, Options{})
		from := time.Now()
		want := []Event{
			{Kind: Refused, At: began, Session: "s1", Peer: &Peer{Addr: "192.0.2.1:5"}},
			{Kind: Ended, At: began, Session: "s1", Peer: &Peer{Addr: "192.0.2.1:5"}, Dialogue: dialogueOf(3)},
		}
		for _, e := range want {
			tr.Record(e)
		}
		if err := tr.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		got, err := tr.Sessions(t.Context(), from, from.Add(time.Minute), 0)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v", got, err)
		}
		if got, err := tr.Sessions(t.Context(), from, from.Add(time.Minute), 1); err != nil || len(got) != 1 {
			t.Errorf("limited: %+v, %v", got, err)
		}
		if got, err := tr.Sessions(t.Context(), from.Add(time.Second), from.Add(time.Minute), 0); err != nil || len(got) != 0 {
			t.Errorf("later: %+v, %v", got, err)
		}
	})
}

// sessionOctets returns what is under session/ and what the counter says.
func sessionOctets(t testing.TB, st store.Store) (sum, counted int64) {
	t.Helper()
	snap, err := st.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	for e := range snap.Scan(store.Prefix(keys.SessionsAll())) {
		sum += int64(len(e.Value))
	}
	value, _, _ := snap.Get(keys.SessionOctets())
	return sum, store.ReadCounter(value)
}

// TestSessionsAreBounded: the oldest go first, and the counter stays right.
func TestSessionsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := pebbletest.Open(t)
		const bound = 100_000
		tr := New(st, Options{SessionOctets: bound})
		began := time.Now()
		for i := range 60 {
			for range 10 {
				tr.Record(Event{Kind: Ended, At: time.Now(), Session: fmt.Sprint(i), Dialogue: dialogueOf(20)})
			}
			time.Sleep(flushInterval + time.Millisecond)
			synctest.Wait()
			if sum, counted := sessionOctets(t, st); sum > bound || sum != counted {
				t.Fatalf("%d octets, %d counted", sum, counted)
			}
		}
		events, err := tr.Sessions(t.Context(), began, time.Now().Add(time.Second), 0)
		if err != nil || len(events) == 0 || events[0].Session == "0" || events[len(events)-1].Session != "59" {
			t.Errorf("%d events, %v", len(events), err)
		}
		if err := tr.Expire(t.Context(), time.Now().Add(48*time.Hour)); err != nil {
			t.Fatal(err)
		}
		if sum, counted := sessionOctets(t, st); sum != 0 || counted != 0 {
			t.Errorf("after Expire: %d octets, %d counted", sum, counted)
		}
		tr.Close(t.Context())
	})
}

// TestRatePerAddress: one peer cannot fill the trail, but what it did is counted.
func TestRatePerAddress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := pebbletest.Open(t)
		observed := 0
		tr := New(st, Options{PerAddress: 5, Observe: func(Event) { observed++ }})
		from := time.Now()
		for i := range 20 {
			tr.Record(Event{Kind: Ended, At: time.Now(), Peer: &Peer{Addr: fmt.Sprintf("192.0.2.1:%d", 1000+i)}})
			tr.Record(Event{Kind: Ended, At: time.Now(), Peer: &Peer{Addr: fmt.Sprintf("[2001:db8::%d]:25", i+1)}})
			tr.Record(Event{Kind: Ended, At: time.Now(), Peer: &Peer{Addr: fmt.Sprintf("192.0.3.%d:25", i)}})
			tr.Record(Event{Kind: Fetched, At: time.Now(), Message: id, Peer: &Peer{Addr: "192.0.2.1:25"}})
			tr.Record(Event{Kind: Lookup, At: time.Now()})
		}
		time.Sleep(rateSpan)
		tr.Record(Event{Kind: Ended, At: time.Now(), Peer: &Peer{Addr: "192.0.2.1:2"}})
		if err := tr.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		kept := map[string]int{}
		var said []string
		events, err := tr.Sessions(t.Context(), from, time.Now().Add(time.Minute), 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			switch {
			case e.Kind == Omitted:
				said = append(said, e.Text)
			case e.Peer == nil:
				kept["ours"]++
			default:
				kept[network(e.Peer.Addr).Addr().String()]++
			}
		}
		if kept["192.0.2.1"] != 6 || kept["2001:db8::"] != 5 || kept["192.0.3.7"] != 1 || kept["ours"] != 20 || observed != 101 {
			t.Errorf("kept %v, observed %d", kept, observed)
		}
		slices.Sort(said)
		if len(said) != 2 || said[0] != "15 further events of sessions from 192.0.2.1/32 are not kept" {
			t.Errorf("said %q", said)
		}
		if got := eventsOf(t, tr, id); len(got) != 20 {
			t.Errorf("%d of 20 events of a message are kept", len(got))
		}
	})
}

func TestRatesAreBounded(t *testing.T) {
	t.Parallel()
	r := rates{limit: 3}
	for i := range 3 * maxAddresses {
		r.allow(&Peer{Addr: fmt.Sprintf("10.%d.%d.%d:25", i>>16, i>>8&255, i&255)})
	}
	r.allow(&Peer{Addr: "nonsense"})
	if len(r.events) > maxAddresses+1 {
		t.Errorf("%d addresses are told apart", len(r.events))
	}
	if counts := r.counts(); len(counts) != 1 || !strings.Contains(counts[0].Text, "other addresses") {
		t.Errorf("counts: %+v", counts)
	}
}

func TestExpire(t *testing.T) {
	t.Parallel()
	tr := newTrail(t, Options{})
	yesterday := mail.NewIDs(1).New(began.Add(-24 * time.Hour))
	appendStep(t, tr, id, accept(id)...)
	appendStep(t, tr, yesterday, accept(yesterday)...)
	if err := tr.Expire(t.Context(), began); err != nil {
		t.Fatal(err)
	}
	if got := eventsOf(t, tr, yesterday); len(got) != 0 {
		t.Errorf("%d events of yesterday are left", len(got))
	}
	if got := eventsOf(t, tr, id); len(got) != len(accept(id)) {
		t.Errorf("%d events of today are left", len(got))
	}
}

// TestConcurrentUse is for the race detector, and holds that each event is there once.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	tr := newTrail(t, Options{})
	const workers, each = 4, 50
	var running sync.WaitGroup
	for w := range workers {
		running.Go(func() {
			id := mail.NewIDs(uint16(w)).New(began)
			for n := range each {
				appendStep(t, tr, id, Event{Kind: Filed, At: began.Add(time.Duration(2*n) * time.Millisecond), Message: id})
				tr.Record(Event{Kind: Ended, At: began.Add(time.Duration(2*n+1) * time.Millisecond), Message: id})
				if n%10 == 0 {
					if err := tr.flush(context.Background()); err != nil {
						t.Error(err)
					}
				}
				if got := eventsOf(t, tr, id); len(got) != 2*n+2 {
					t.Errorf("%d events, want %d", len(got), 2*n+2)
					return
				}
			}
		})
	}
	running.Wait()
}

func BenchmarkEncode(b *testing.B) {
	for name, events := range map[string][]Event{"accept": accept(id), "attempt": attempt(id, 1)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			size := 0
			for b.Loop() {
				size = len(encode(id, events))
			}
			b.ReportMetric(float64(size), "octets")
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	value := encode(id, accept(id))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decode(id, value); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMessage is what the trail costs for one message that is accepted and filed, without the store's part.
func BenchmarkMessage(b *testing.B) {
	tr := newTrail(b, Options{})
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		id := mail.NewIDs(1).New(began.Add(time.Duration(n) * time.Second))
		var batch store.Batch
		tr.Append(&batch, id, accept(id))
		tr.Append(&batch, id, []Event{{Kind: Routed, At: began, Message: id}, {Kind: Filed, At: began, Message: id}, {Kind: Done, At: began, Message: id}})
	}
}
