package mail

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestParsePath(t *testing.T) {
	for in, want := range map[string]string{
		"<a@b.test>":                 "a@b.test|",
		"<a@B.Test> SIZE=5":          "a@b.test| SIZE=5",
		"a@b.test":                   "a@b.test|",
		"a@b.test SIZE=5":            "a@b.test| SIZE=5",
		"<>":                         "|",
		"<postmaster>":               "postmaster|",
		"<Postmaster>":               "Postmaster|",
		"<@[IPv6:::1]:a@b.test>":     "a@b.test|",
		"<@x.test,@y.test:a@b.test>": "a@b.test|",
		`<"a b"@b.test>`:             `"a b"@b.test|`,
		`<"a>b"@b.test> X`:           `"a>b"@b.test| X`,
		`<"simple"@b.test>`:          "simple@b.test|",
		"<a@[192.0.2.1]>":            "a@[192.0.2.1]|",
		"<a@[ipv6:2001:DB8::1]>":     "a@[IPv6:2001:db8::1]|",
		"<a@bücher.test>":            "a@xn--bcher-kva.test|",
		"<a+b%c!d@b.test>":           "a+b%c!d@b.test|",
		"<δοκιμή@b.test>":            "δοκιμή@b.test|",
		"<e\u0301@b.test>":           "e\u0301@b.test|", // as it is, not composed
		"<\u00e9@b.test>":            "\u00e9@b.test|",
		"<ñ.ñ@παράδειγμα.δοκιμή>":                  "ñ.ñ@xn--hxajbheg2az3al.xn--jxalpdlp|",
		`<"ñ ñ"@b.test>`:                           `"ñ ñ"@b.test|`,
		`<"ñ"@b.test>`:                             "ñ@b.test|",
		`<"a@b"@c.test>`:                           `"a@b"@c.test|`,
		"<@x.test:\"a@b\"@c.test>":                 `"a@b"@c.test|`,
		"<a!b@c.test>":                             "a!b@c.test|",
		"<a%b.test@c.test>":                        "a%b.test@c.test|",
		`<"\ñ"@b.test>`:                            "error",
		"<ñ..ñ@b.test>":                            "error",
		"<\xff@b.test>":                            "error",
		"<a\u0085b@c.test>":                        "error",
		"<a\u202eb@c.test>":                        "error",
		"<a\u200fb@c.test>":                        "error",
		"<a\u2028b@c.test>":                        "error",
		"<a\ufeffb@c.test>":                        "error",
		"<\"a\u2066b\"@c.test>":                    "error",
		"<\"a\x7fb\"@c.test>":                      "error",
		"<\"a\tb\"@c.test>":                        "error",
		"<a@b.test@c.test>":                        "error",
		`<"a"b@c.test>`:                            "error",
		`<"a"@"b"@c.test>`:                         "error",
		"<@x.test:a>":                              "error",
		"<@x.test:>":                               "error",
		"<@x.test,y.test:a@b.test>":                "error",
		"<@x.test:@y.test:a@b.test>":               "error",
		"<a b@c.test>":                             "error",
		"<" + strings.Repeat("ñ", 32) + "@b.test>": strings.Repeat("ñ", 32) + "@b.test|",
		"<" + strings.Repeat("ñ", 33) + "@b.test>": "error",
		"<a@b.test":                                "error",
		"<a>":                                      "error",
		"<a@>":                                     "error",
		"<@b.test>":                                "error",
		"<a..b@c.test>":                            "error",
		"<.a@c.test>":                              "error",
		"<a@b@c.test>":                             "error",
		"<a@-b.test>":                              "error",
		"<a@[300.1.1.1]>":                          "error",
		"<a@[::1]>":                                "error",
		"<\x01@b.test>":                            "error",
		`<"a@b.test>`:                              "error",
		"":                                         "error",
		" <a@b.test>":                              "error",
		"<" + strings.Repeat("a", 65) + "@b.test>":                         "error",
		strings.Repeat("a", 60) + "@" + strings.Repeat("b.", 120) + "test": "error",
	} {
		a, rest, err := ParsePath(in)
		got := a.String() + "|" + rest
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("ParsePath(%q) = %s (%v), want %s", in, got, err, want)
		}
	}
}

func FuzzParsePath(f *testing.F) {
	for _, s := range []string{"<a@b.test>", `<"a\"b"@b.test>`, "<@x,@y:a@b>", "<a@[IPv6:::1]>", "<a@bücher.test>", "<ñ@b.test>", `<"ñ ñ"@b.test>`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, _, err := ParsePath(s)
		if err != nil {
			return
		}
		again, rest, err := ParsePath(a.Path())
		if err != nil || rest != "" || again != a || !IsText(a.Local) || a.IsASCII() != isASCII(a.Path()) {
			t.Fatalf("ParsePath(%q) = %#v, but its Path %q gives %#v, %q, %v", s, a, a.Path(), again, rest, err)
		}
	})
}

func TestAddressIsASCII(t *testing.T) {
	for in, want := range map[string]bool{"a@b.test": true, "a@bücher.test": true, "ñ@b.test": false, `"ñ ñ"@[192.0.2.1]`: false} {
		a, err := ParseAddress(in)
		if err != nil || a.IsASCII() != want {
			t.Errorf("%q: IsASCII is %t, %v, want %t", in, a.IsASCII(), err, want)
		}
	}
}

func TestID(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 1, 999, time.UTC)
	id := NewIDs(7).New(now)
	if got := id.Time(); !got.Equal(now.Truncate(time.Second)) {
		t.Errorf("Time() = %v", got)
	}
	typed := strings.NewReplacer("0", "o", "1", "l").Replace(strings.ToLower(string(id)))
	if got, err := ParseID(typed); err != nil || got != id {
		t.Errorf("ParseID(%q) = %q, %v, want %q", typed, got, err, id)
	}
	for _, bad := range []string{"", "ABC", strings.Repeat("U", 14), strings.Repeat("é", 7)} {
		if id, err := ParseID(bad); err == nil {
			t.Errorf("ParseID(%q) = %q, want an error", bad, id)
		}
	}
	if later := NewIDs(0).New(now.Add(time.Second)); !(id < later) {
		t.Errorf("%s does not sort before the later %s", id, later)
	}
}

// TestIDsAreGivenOnce: also when a second has used up all of its own, and when the clock goes back.
func TestIDsAreGivenOnce(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 1, 0, time.UTC)
	ids := NewIDs(1023)
	given := map[ID]bool{}
	for i := range 300_000 {
		id := ids.New(now.Add(time.Duration(i%3-1) * time.Hour))
		if given[id] {
			t.Fatalf("%s is given twice", id)
		}
		given[id] = true
	}
	ids = NewIDs(0)
	ids.New(now)
	ids.left = 0
	if id := ids.New(now); !id.Time().Equal(now.Add(time.Second)) {
		t.Errorf("after all IDs of a second comes %s of %s", id, id.Time())
	}
	walked := map[uint32]bool{}
	ids.begin(now.Unix())
	for range 1 << 16 { // an odd stride comes back to where it was only after all the others
		ids.place += ids.stride
		walked[ids.place%idsASecond] = true
	}
	if len(walked) != 1<<16 {
		t.Errorf("%d places in %d steps", len(walked), 1<<16)
	}
}

func TestStatusOf(t *testing.T) {
	refused := &Error{Status: NewStatus(550, "5.1.1", "no such user"), Err: errors.New("secret detail")}
	for _, test := range []struct {
		err  error
		want string
	}{
		{nil, "250 2.0.0 OK"},
		{errors.New("disk on fire"), "451 4.3.0 Local error, try again later"},
		{fmt.Errorf("rcpt: %w", refused), "550 5.1.1 no such user"},
	} {
		if got := StatusOf(test.err).String(); got != test.want {
			t.Errorf("StatusOf(%v) = %q, want %q", test.err, got, test.want)
		}
	}
}
