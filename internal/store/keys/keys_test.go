package keys

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"waybill/internal/mail"
)

var (
	now = time.Date(2026, 11, 23, 12, 0, 1, 123456000, time.UTC)
	id  = mail.NewIDs(1).New(now)
)

func TestParse(t *testing.T) {
	t.Parallel()
	if at, got, ok := ParseDue(Due(now, id)); !ok || at != now || got != id {
		t.Errorf("due: %v %v %v", at, got, ok)
	}
	body := [16]byte{1, 0, 255}
	if begun, got, ok := ParseDraft(Draft(now, body)); !ok || begun != now.Truncate(time.Millisecond) || got != body {
		t.Errorf("draft: %v %v %v", begun, got, ok)
	}
	if got, ok := ParseSweep(Sweep(body, "holder")); !ok || got != body {
		t.Errorf("sweep: %v %v", got, ok)
	}
	if uid := ParseUID(Box{"a@b.test", 3}.Message(1 << 31)); uid != 1<<31 {
		t.Errorf("uid: %d", uid)
	}
}

// TestTextsAreNoPrefixes: whatever account names there are, no mailbox's keys are among another's, and texts sort as
// they are.
func TestTextsAreNoPrefixes(t *testing.T) {
	t.Parallel()
	names := []string{"", "\x00", "\x00\x01", "\x00\xff", "\x01", "a", "a\x00", "a\x00\x00b", "a\x00\x01", "a\x01", "ab", "b", "\xff"}
	slices.Sort(names)
	var keys [][]byte
	for _, n := range names {
		keys = append(keys, text(nil, n))
	}
	if !slices.IsSortedFunc(keys, bytes.Compare) {
		t.Errorf("texts do not sort as they are: %q", keys)
	}
	for i, a := range keys {
		for k, b := range keys {
			if i != k && bytes.HasPrefix(b, a) {
				t.Errorf("%q of %q begins %q of %q", a, names[i], b, names[k])
			}
		}
	}
}

func TestKeysSort(t *testing.T) {
	t.Parallel()
	later := now.Add(time.Microsecond)
	x := Box{"a@b.test", 1}
	gone, _ := x.Gone(1, 2)
	for name, pair := range map[string][2][]byte{
		"due by time":          {Due(now, "ZZ"), Due(later, "AA")},
		"due by id":            {Due(now, "AA"), Due(now, "AB")},
		"due from":             {Due(now, "AA"), DueFrom(0, later)},
		"due by slice":         {Due(later, mail.NewIDs(1).New(now)), Due(now, mail.NewIDs(2).New(now))},
		"due within a slice":   {DueSlice(2), Due(now, mail.NewIDs(2).New(now))},
		"trail by day":         {Step(id, later, 0), Trail(mail.NewIDs(0).New(now.Add(24 * time.Hour)))},
		"steps by time":        {Step(id, now, 9), Step(id, later, 0)},
		"trail from a second":  {Step(mail.NewIDs(1023).New(now.Add(-time.Second)), later, 0), TrailFrom(now)},
		"trail of a second":    {TrailFrom(now), Step(mail.NewIDs(0).New(now), now, 0)},
		"omitted after steps":  {Step(id, later, 1), Omitted(id)},
		"messages by UID":      {x.Message(255), x.Message(256)},
		"tombstones by change": {gone, x.GoneAfter(1)},
		"sessions by time":     {Sessions(now, 9), SessionsFrom(later)},
		"drafts by time":       {Draft(now, [16]byte{255}), DraftsBefore(now.Add(time.Millisecond))},
		"chunks":               {Chunk([16]byte{1}, 255), Chunk([16]byte{1}, 256)},
	} {
		if bytes.Compare(pair[0], pair[1]) >= 0 {
			t.Errorf("%s: %q is not before %q", name, pair[0], pair[1])
		}
	}
}

// TestTrailDays: the range takes all ids of earlier days and none of the day itself.
func TestTrailDays(t *testing.T) {
	t.Parallel()
	from, before := TrailDays(now)
	for _, test := range []struct {
		at     time.Time
		within bool
	}{
		{time.Unix(0, 0), true}, {now.Add(-12*time.Hour - 2*time.Second), true}, {now.Add(-12 * time.Hour), false}, {now, false},
	} {
		key := Step(mail.NewIDs(0).New(test.at), now, 0)
		if within := bytes.Compare(from, key) <= 0 && bytes.Compare(key, before) < 0; within != test.within {
			t.Errorf("id of %v: in the range %v, want %v", test.at, within, test.within)
		}
	}
}

func TestParseTold(t *testing.T) {
	t.Parallel()
	at := now.Truncate(time.Microsecond)
	for _, test := range []struct {
		key []byte
		id  mail.ID
		ok  bool
	}{{Step(id, at, 3), id, true}, {Sessions(at, 3), "", true}, {Omitted(id), "", false}, {SessionOctets(), "", false}, {Due(at, id), "", false}} {
		if got, when, ok := ParseTold(test.key); got != test.id || ok != test.ok || ok && !when.Equal(at) {
			t.Errorf("%q: %s %v %v", test.key, got, when, ok)
		}
	}
}

// TestTableIsComplete: each name that keys begin with, by the source of this package, stands in its comment.
func TestTableIsComplete(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var doc string
	names := map[string]bool{}
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if file == "keys.go" {
			doc, _, _ = strings.Cut(string(source), "\npackage keys")
		}
		if !strings.HasSuffix(file, "_test.go") {
			for _, m := range regexp.MustCompile(`"([a-z]+/)"|\[\]byte\("([a-z]+)"\)`).FindAllStringSubmatch(string(source), -1) {
				names[m[1]+m[2]] = true
			}
		}
	}
	delete(names, "ucn") // letters of counters
	for name := range names {
		if !strings.Contains(doc, "\n//\t"+name+" ") {
			t.Errorf("the table in the package comment lacks %s", name)
		}
	}
	if len(names) < 24 {
		t.Errorf("only %v were found", names)
	}
}

// TestParseFields: keys are taken apart into what they were made of.
func TestParseFields(t *testing.T) {
	t.Parallel()
	x := Box{"a\x00b@c.test", 7}
	if account, rest, ok := ParseOwner(Mailbox(x.Account, "n")); !ok || account != x.Account || string(rest) != "n\x00\x01" {
		t.Errorf("owner: %q %q %v", account, rest, ok)
	}
	a := mail.Address{Local: "a\x00b", Domain: "c.test"}
	if got, ok := ParseAddress(SCRAM(a)); !ok || got != a {
		t.Errorf("address: %+v %v", got, ok)
	}
	for key, want := range map[string]byte{string(x.UIDs()): 'u', string(x.Changes()): 'c', string(x.Count()): 'n'} {
		if got, which, ok := ParseBoxCounter([]byte(key)); !ok || got != x || which != want {
			t.Errorf("counter %q: %+v %c %v", key, got, which, ok)
		}
	}
	key, _ := x.Gone(1<<40, 9)
	if got, change, uid, ok := ParseGone(key); !ok || got != x || change != 1<<40 || uid != 9 {
		t.Errorf("tombstone: %+v %d %d %v", got, change, uid, ok)
	}
	due := Due(now, id)
	if _, got, ok := ParseDue(due); !ok || got != id {
		t.Errorf("due: %s %v", got, ok)
	}
	due[len("due/")+1]++ // nobody finds it in another slice
	if _, got, ok := ParseDue(due); ok {
		t.Errorf("due in another slice: %s", got)
	}
	if got, ok := ParseOmitted(Omitted(id)); !ok || got != id {
		t.Errorf("omitted: %s %v", got, ok)
	}
	for _, key := range []string{"", "box", "box/", "box/a", "gone/a\x00\x01123", "boxcount/a\x00\x011234x", "boxcount/a\x00\x01", "account/a\x00\x01", "account/a\x00\x01b\x00\x01c"} {
		_, okA := ParseAddress([]byte(key))
		_, _, okC := ParseBoxCounter([]byte(key))
		_, _, _, okG := ParseGone([]byte(key))
		_, okO := ParseOmitted([]byte(key))
		if okA || okC || okG || okO {
			t.Errorf("%q: %v %v %v %v", key, okA, okC, okG, okO)
		}
	}
}

// FuzzParse: keys that others wrote are taken apart without harm, and what is taken apart is put together the same.
func FuzzParse(f *testing.F) {
	f.Add(Due(now, id))
	f.Add(Draft(now, [16]byte{1}))
	f.Add(Sweep([16]byte{1}, "h"))
	f.Fuzz(func(t *testing.T, key []byte) {
		if at, id, ok := ParseDue(key); ok && at.UnixMicro() >= 0 && !bytes.Equal(Due(at, id), key) {
			t.Errorf("due %q", key)
		}
		if _, body, ok := ParseDraft(key); ok && !bytes.HasSuffix(key, body[:]) {
			t.Errorf("draft %q", key)
		}
		if body, ok := ParseSweep(key); ok && !bytes.Contains(key, body[:]) {
			t.Errorf("sweep %q", key)
		}
		ParseUID(key)
		ParseOwner(key)
		ParseAddress(key)
		ParseBoxCounter(key)
		ParseGone(key)
		ParseOmitted(key)
	})
}
