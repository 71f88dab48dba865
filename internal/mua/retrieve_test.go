package mua

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// popPeer has three messages with the UIDLs a, b and c. It answers a line as the answers say that begin with its beginning, and
// otherwise as it should.
func popPeer(t *testing.T, answers ...string) *peer {
	t.Helper()
	p := &peer{greeting: "+OK ready"}
	p.answer = func(line string) string {
		for _, a := range answers {
			begin, answer, _ := strings.Cut(a, "=")
			if strings.HasPrefix(line, begin) {
				return answer
			}
		}
		verb, arg, _ := strings.Cut(line, " ")
		switch verb {
		case "CAPA":
			return "-ERR what\r\n"
		case "LIST":
			return "+OK\r\n1 20\r\n2 20\r\n3 20\r\n.\r\n"
		case "UIDL":
			return "+OK\r\n1 a\r\n2 b\r\n3 c\r\n.\r\n"
		case "RETR":
			return "+OK\r\nSubject: " + arg + "\r\n\r\ntext\r\n.\r\n"
		}
		return "+OK\r\n"
	}
	return p.start(t)
}

// book is a sink and a memory. It fails to keep the message of that number.
type book struct {
	t         *testing.T
	from      *peer
	kept      []string
	discarded int
	fails     int
	times     map[string]int
	synced    bool
}

type page struct {
	bytes.Buffer
	b *book
}

func (b *book) Begin(string, int64) (Keeper, error) { return &page{b: b}, nil }

func (p *page) Keep() error {
	if len(p.b.kept)+1 == p.b.fails {
		return errors.New("the disk is full")
	}
	if n := len(p.b.from.heard("DELE")); n > len(p.b.kept) {
		p.b.t.Errorf("%d messages are to be deleted, %d are kept", n, len(p.b.kept))
	}
	p.b.kept = append(p.b.kept, p.String())
	return nil
}

func (p *page) Discard() error {
	p.b.discarded++
	return nil
}

func (b *book) Times(uidl string) int { return b.times[uidl] }

func (b *book) Add(uidl string) error {
	b.times[uidl]++
	return nil
}

func (b *book) Sync() error {
	if len(b.from.heard("QUIT")) > 0 {
		b.t.Error("the memory is synced after QUIT")
	}
	b.synced = true
	return nil
}

func (b *book) Only(there map[string]bool) error {
	for uidl := range b.times {
		if !there[uidl] {
			delete(b.times, uidl)
		}
	}
	return nil
}

func retrieve(t *testing.T, p *peer, b *book, remove bool) (Haul, error) {
	t.Helper()
	b.t, b.from = t, p
	c := &Client{Name: "me.test", Dial: network(map[string]*peer{"192.0.2.1:110": p})}
	s := Settings{User: "me", Password: "secret", POP3: []Server{address("192.0.2.1:110")}}
	return c.Retrieve(t.Context(), s, Retrieval{Sink: b, Remove: remove, Memory: b})
}

// TestRetrieve: what is kept, deleted and remembered, however the server behaves.
func TestRetrieve(t *testing.T) {
	t.Parallel()
	const lost = ""
	for name, test := range map[string]struct {
		answers []string
		keep    bool
		fails   int
		known   string
		haul    Haul
		err     string
		deles   string
		after   string // in the memory
	}{
		"deletes":         {haul: Haul{Kept: 3, Deleted: 3}, deles: "1 2 3"},
		"keeps":           {keep: true, haul: Haul{Kept: 3}, after: "a b c"},
		"keeps, knows":    {keep: true, known: "a c x", haul: Haul{Kept: 1, Known: 2}, after: "a b c"},
		"deletes known":   {known: "a b c", haul: Haul{Known: 3, Deleted: 3}, deles: "1 2 3"},
		"QUIT refused":    {answers: []string{"QUIT=-ERR some stay\r\n"}, haul: Haul{Kept: 3, Doubt: 3}, err: "some stay", deles: "1 2 3", after: "a b c"},
		"QUIT lost":       {answers: []string{"QUIT=" + lost}, haul: Haul{Kept: 3, Doubt: 3}, err: "the end of the session", deles: "1 2 3", after: "a b c"},
		"one refused":     {answers: []string{"RETR 2=-ERR damaged\r\n"}, haul: Haul{Kept: 2, Failed: 1, Deleted: 2}, err: "message 2: the POP3 server refused RETR: damaged", deles: "1 3", after: "a c"},
		"broken off":      {answers: []string{"RETR 2=" + hangUp + "+OK\r\nSubject: half"}, haul: Haul{Kept: 1, Doubt: 1}, err: "message 2: ", deles: "1", after: "a"},
		"DELE refused":    {answers: []string{"DELE 1=-ERR no\r\n"}, haul: Haul{Kept: 3, Failed: 1, Deleted: 2}, err: "message 1 was fetched and stays", deles: "1 2 3", after: "a b c"},
		"disk full":       {fails: 2, haul: Haul{Kept: 1, Deleted: 1}, err: "keep message 2: the disk is full", deles: "1", after: "a"},
		"huge":            {answers: []string{"LIST=+OK\r\n1 9000000000000000000\r\n2 20\r\n.\r\n"}, haul: Haul{Kept: 1, Failed: 1, Deleted: 1}, err: "message 1 stays on the server", deles: "2", after: "b"},
		"copies":          {answers: []string{"UIDL=+OK\r\n1 a\r\n2 a\r\n3 a\r\n.\r\n"}, keep: true, haul: Haul{Kept: 3}, after: "a a a"},
		"copies known":    {answers: []string{"UIDL=+OK\r\n1 a\r\n2 a\r\n3 a\r\n.\r\n"}, known: "a a a", haul: Haul{Known: 3, Deleted: 3}, deles: "1 2 3"},
		"another copy":    {answers: []string{"UIDL=+OK\r\n1 a\r\n2 a\r\n3 a\r\n.\r\n"}, known: "a a", haul: Haul{Kept: 3, Deleted: 3}, deles: "1 2 3"},
		"one without id":  {answers: []string{"UIDL=+OK\r\n1 a\r\n3 c\r\n7 x\r\n.\r\n"}, keep: true, known: "a c x", haul: Haul{Kept: 1, Known: 2}, after: "a c x"},
		"no UIDL, keeps":  {answers: []string{"UIDL=-ERR what\r\n"}, keep: true, err: ErrNoUIDL.Error()},
		"no UIDL":         {answers: []string{"UIDL=-ERR what\r\n"}, haul: Haul{Kept: 3, Deleted: 3}, deles: "1 2 3"},
		"control in UIDL": {answers: []string{"UIDL=+OK\r\n1 a\x1bb\r\n.\r\n"}, err: "malformed"},
		"long UIDL":       {answers: []string{"UIDL=+OK\r\n1 " + strings.Repeat("a", 71) + "\r\n.\r\n"}, err: "malformed"},
		"UIDL twice":      {answers: []string{"UIDL=+OK\r\n1 a\r\n1 b\r\n.\r\n"}, err: "malformed"},
		"empty":           {answers: []string{"LIST=+OK\r\n.\r\n", "UIDL=+OK\r\n.\r\n"}, keep: true, known: "a b"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := popPeer(t, test.answers...)
			b := &book{times: map[string]int{}, fails: test.fails}
			for uidl := range strings.FieldsSeq(test.known) {
				b.times[uidl]++
			}
			haul, err := retrieve(t, p, b, !test.keep)
			if haul != test.haul || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("%+v, %v", haul, err)
			}
			if err != nil && strings.Count(err.Error(), "broke off") > 1 {
				t.Errorf("told twice: %v", err)
			}
			if got := strings.ReplaceAll(strings.Join(p.heard("DELE"), " "), "DELE ", ""); got != test.deles {
				t.Errorf("deleted %s", got)
			}
			if len(b.kept) != test.haul.Kept || len(b.kept)+b.discarded < len(p.heard("RETR"))-min(1, test.fails) {
				t.Errorf("%d kept, %d discarded of %d", len(b.kept), b.discarded, len(p.heard("RETR")))
			}
			want := map[string]int{}
			for uidl := range strings.FieldsSeq(test.after) {
				want[uidl]++
			}
			if fmt.Sprint(b.times) != fmt.Sprint(want) {
				t.Errorf("remembered %v, want %v", b.times, want)
			}
		})
	}
}

// TestRetrieveTriesServers: until one lets us in; a password that was refused is shown to no other.
func TestRetrieveTriesServers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		first  string
		second bool
	}{
		"hangs up": {"CAPA=", true}, "is busy": {"PASS=-ERR [SYS/TEMP] later\r\n", true},
		"refuses": {"PASS=-ERR [AUTH] wrong\r\n", false}, "in use": {"PASS=-ERR [IN-USE] wait\r\n", false}, "lets us in": {"x=", false},
		"fails after": {"LIST=", false},
	} {
		one, two := popPeer(t, test.first), popPeer(t)
		c := &Client{Name: "me.test", Dial: network(map[string]*peer{"192.0.2.1:110": one, "192.0.2.3:110": two})}
		b := &book{t: t, from: two, times: map[string]int{}}
		if !test.second {
			b.from = one
		}
		s := Settings{User: "me", Password: "secret", POP3: []Server{address("192.0.2.2:110"), address("192.0.2.1:110"), address("192.0.2.3:110")}}
		_, err := c.Retrieve(t.Context(), s, Retrieval{Sink: b})
		if tried := len(two.heard("")) > 0; tried != test.second || tried && err != nil {
			t.Errorf("%s: the second server heard %q; %v", name, two.heard(""), err)
		}
		if strings.HasPrefix(name, "in ") && !Temporary(err) || name == "refuses" && Temporary(err) {
			t.Errorf("%s: %v is temporary: %v", name, err, Temporary(err))
		}
	}
}
