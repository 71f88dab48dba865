package message

import (
	netmail "net/mail"
	"slices"
	"strings"
	"testing"

	"waybill/internal/mail"
)

func TestParseAddressList(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"a@b.test":                                    "a@b.test",
		" a@B.Test ":                                  "a@b.test",
		"<a@b.test>":                                  "a@b.test",
		"A B <a@b.test>":                              "a@b.test",
		"J. R. Public <a@b.test>":                     "a@b.test",
		`"A, B" <a@b.test>, c@d.test`:                 "a@b.test c@d.test",
		`"x@evil.test" <a@b.test>`:                    "a@b.test",
		`"a \" <x@evil.test>" <a@b.test>`:             "a@b.test",
		"(x@evil.test (nested \\) ) ) a@b.test (z)":   "a@b.test",
		"a (one) @ (two) b.test":                      "a@b.test",
		"=?utf-8?q?x=40evil.test=2C?= <a@b.test>":     "a@b.test",
		"=?no-such-charset?q?x=0A?= <a@b.test>":       "a@b.test",
		"Friends: a@b.test, C <c@d.test>; , e@f.test": "a@b.test c@d.test e@f.test",
		"Undisclosed recipients:;":                    "",
		"Undisclosed recipients: (nobody) ; (really)": "",
		`"a b"@b.test`:                                `"a b"@b.test`,
		"a@[192.0.2.1]":                               "a@[192.0.2.1]",
		"grün <grün@bücher.test>":                     "error?", // filled in below
		"a+tag@b.test":                                "a+tag@b.test",

		"":                              "error",
		" ":                             "error",
		"a":                             "error",
		"A B":                           "error",
		"a@":                            "error",
		"@b.test":                       "error",
		"<>":                            "error",
		"<@x.test:a@b.test>":            "error", // a route
		"a@b.test x@evil.test":          "error",
		"a@b.test <x@evil.test>":        "error",
		"<a@b.test> <x@evil.test>":      "error",
		"a@b.test@evil.test":            "error",
		"<a@b.test":                     "error",
		"a@b.test>":                     "error",
		"a@b.test,":                     "error",
		",a@b.test":                     "error",
		"a@b.test,,c@d.test":            "error",
		"a@b.test; c@d.test":            "error",
		"G: a@b.test":                   "error",
		"G: a@b.test,;":                 "error",
		"G: H: a@b.test;;":              "error",
		": a@b.test;":                   "error",
		"a..b@c.test":                   "error",
		".a@b.test":                     "error",
		"a. b@c.test":                   "error",
		`"a".b@c.test`:                  "error",
		`""@b.test`:                     "error",
		`"a@b.test`:                     "error",
		"a@b.test (":                    "error",
		"a@b.test)":                     "error",
		`a@b.test (\`:                   "error",
		"a@[192.0.2.1":                  "error",
		"a@b..test":                     "error",
		"a\x00@b.test":                  "error",
		"a@b.test\r\nBcc: x@evil.test":  "error",
		"\xff <a@b.test>":               "error",
		"=?utf-8?q?a=40b.test?=@c.test": "error",
		"=?utf-8?q?x=40evil.test=0A?= <a@b.test>":  "error",
		"=?utf-8?b?eEBldmlsLnRlc3QA?= <a@b.test>":  "error",
		strings.Repeat("a", 65) + "@b.test":        "error",
		strings.Repeat("a@b.test,", 1000) + "a@b":  "error",
		strings.Repeat("(", 100000) + "a@b.test":   "error",
		strings.Repeat("a:", 100000) + "a@b.test;": "error",
	} {
		list, err := ParseAddressList(in)
		words := make([]string, len(list))
		for i, a := range list {
			words[i] = a.String()
		}
		got := strings.Join(words, " ")
		if err != nil {
			got = "error"
		}
		if want == "error?" { // how such an address is written is package mail's business
			if !slices.Equal(list, []mail.Address{{Local: "grün", Domain: "xn--bcher-kva.test"}}) {
				t.Errorf("%q gives %#v, %v", in, list, err)
			}
			continue
		}
		if got != want {
			t.Errorf("%.60q gives %q (%v), want %q", in, got, err, want)
		}
	}
}

// FuzzParseAddressList: what is taken is taken in the same way when it is written plainly, and wherever net/mail reads it
// too it reads the same.
func FuzzParseAddressList(f *testing.F) {
	for _, s := range []string{
		"a@b.test", `"A, B" <a@b.test>, c@d.test`, "G: a@b.test, C <c@d.test>;", "(x (y)) a@b.test", "grün <grün@bücher.test>",
		"=?utf-8?q?x=40y?= <a@b.test>", "a@[IPv6:::1]", `"a \" b"@c.test`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		list, err := ParseAddressList(value)
		if err != nil || len(list) == 0 {
			return
		}
		plain := make([]string, len(list))
		for i, a := range list {
			plain[i] = a.Path()
		}
		again, err := ParseAddressList(strings.Join(plain, ","))
		if err != nil || !slices.Equal(again, list) {
			t.Fatalf("%q gives %q, which gives %q, %v", value, list, again, err)
		}
		others, err := netmail.ParseAddressList(value)
		if err != nil {
			return
		}
		for i, other := range others {
			at := strings.LastIndexByte(other.Address, '@')
			if len(others) != len(list) || other.Address[:at] != list[i].Local {
				t.Fatalf("%q gives %q, and net/mail finds %q", value, list, other.Address)
			}
		}
	})
}
