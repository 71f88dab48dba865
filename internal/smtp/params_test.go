package smtp

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"waybill/internal/dialogue"
	"waybill/internal/mail"
)

func TestParseCommand(t *testing.T) {
	for in, want := range map[string]string{
		"noop":                  "NOOP|",
		"mail from:<A@b.test> ": "MAIL|from:<A@b.test>",
		"Rcpt   TO: a b":        "RCPT|TO: a b",
		"":                      "|",
		" NOOP":                 "|NOOP",
		"NOOP\tx":               "NOOP\tX|",
		"ABCDEFGHIJK x":         "|x",
	} {
		verb, argument := ParseCommand([]byte(in))
		if got := verb + "|" + argument; got != want {
			t.Errorf("ParseCommand(%q) = %s, want %s", in, got, want)
		}
	}
}

// TestParams has what is refused and what comes of what is taken. A case begins with MAIL or RCPT; "8" stands for SMTPUTF8
// in force at RCPT.
func TestParams(t *testing.T) {
	long := strings.Repeat("x", 500)
	for in, want := range map[string]string{
		"MAIL RET=full ENVID=a+2Bb+20c":         "{FULL a+b c}",
		"MAIL RET=HDRS":                         "{HDRS }",
		"MAIL ENVID=" + long[:100]:              "{ " + long[:100] + "}",
		"MAIL ENVID=" + long[:101]:              "501 5.5.4",
		"MAIL ENVID=":                           "501 5.5.4",
		"MAIL ENVID":                            "501 5.5.4",
		"MAIL ENVID=a+0Db":                      "501 5.5.4",
		"MAIL ENVID=a+C3+B1":                    "501 5.5.4",
		"MAIL ENVID=ñ":                          "501 5.5.4",
		"MAIL ENVID=a+2b":                       "501 5.5.4",
		"MAIL RET=":                             "501 5.5.4",
		"MAIL RET":                              "501 5.5.4",
		"MAIL RET=BODY":                         "501 5.5.4",
		"MAIL RET=FULL RET=FULL":                "501 5.5.4",
		"MAIL RET=FULL ret=HDRS":                "501 5.5.4",
		"MAIL SMTPUTF8=yes":                     "501 5.5.4",
		"MAIL SMTPUTF8 SMTPUTF8":                "501 5.5.4",
		"MAIL BODY=BINARYMIME":                  "501 5.5.4",
		"MAIL REQUIRETLS":                       "555 5.5.4",
		"MAIL NOTIFY=NEVER":                     "555 5.5.4",
		"MAIL HOLDFOR=5":                        "555 5.5.4",
		"RCPT NOTIFY=NEVER":                     "1 { }",
		"RCPT notify=failure,Success":           "6 { }",
		"RCPT NOTIFY=SUCCESS,FAILURE,DELAY":     "14 { }",
		"RCPT NOTIFY=":                          "501 5.5.4",
		"RCPT NOTIFY":                           "501 5.5.4",
		"RCPT NOTIFY=NEVER,SUCCESS":             "501 5.5.4",
		"RCPT NOTIFY=SUCCESS,NEVER":             "501 5.5.4",
		"RCPT NOTIFY=SUCCESS,SUCCESS":           "501 5.5.4",
		"RCPT NOTIFY=SUCCESS,":                  "501 5.5.4",
		"RCPT NOTIFY=ALWAYS":                    "501 5.5.4",
		"RCPT NOTIFY=DELAY NOTIFY=DELAY":        "501 5.5.4",
		"RCPT ORCPT=rfc822;a+2Bb@c.test":        "0 {rfc822 a+b@c.test}",
		"RCPT ORCPT=x400;/c=de/":                "501 5.5.4",
		"RCPT ORCPT=x400;/c+3Dde/":              "0 {x400 /c=de/}",
		"RCPT ORCPT=" + "a;" + long[:498]:       "0 {a " + long[:498] + "}",
		"RCPT ORCPT=" + "a;" + long[:499]:       "501 5.5.4",
		"RCPT ORCPT=rfc822":                     "501 5.5.4",
		"RCPT ORCPT=rfc822;":                    "501 5.5.4",
		"RCPT ORCPT=;a@b.test":                  "501 5.5.4",
		"RCPT ORCPT=a(b;a@b.test":               "501 5.5.4",
		"RCPT ORCPT=rfc822;a+0A":                "501 5.5.4",
		"RCPT ORCPT=rfc822;a+C3+B1":             "501 5.5.4",
		"RCPT ORCPT=rfc822;ñ@b.test":            "553 5.6.7",
		"8 ORCPT=rfc822;ñ@b.test":               "501 5.5.4",
		"8 ORCPT=utf-8;ñ@b.test":                "0 {utf-8 ñ@b.test}",
		"RCPT ORCPT=utf-8;ñ@b.test":             "553 5.6.7",
		`RCPT ORCPT=utf-8;\x{F1}@b.test`:        "0 {utf-8 ñ@b.test}",
		`8 ORCPT=UTF-8;\x{1F4E7}\x{2B}a@b.test`: "0 {UTF-8 📧+a@b.test}",
		`RCPT ORCPT=utf-8;\x{f1}@b.test`:        "501 5.5.4",
		`RCPT ORCPT=utf-8;\x{0F1}@b.test`:       "501 5.5.4",
		`RCPT ORCPT=utf-8;\x{D800}@b.test`:      "501 5.5.4",
		`RCPT ORCPT=utf-8;\x{202E}@b.test`:      "501 5.5.4",
		`RCPT ORCPT=utf-8;\x{0A}@b.test`:        "501 5.5.4",
		`RCPT ORCPT=utf-8;\y@b.test`:            "501 5.5.4",
		"RCPT ORCPT=utf-8;a+2Bb@b.test":         "501 5.5.4",
		"RCPT SIZE=5":                           "555 5.5.4",
	} {
		which, params, _ := strings.Cut(in, " ")
		got, err := "", error(nil)
		if which == "MAIL" {
			var p MailParams
			_, p, err = ParseMail("FROM:<a@b.test> "+params, true)
			got = fmt.Sprint(p.DSN)
		} else {
			var p RcptParams
			_, p, err = ParseRcpt("TO:<a@b.test> "+params, true, which == "8")
			got = fmt.Sprint(p.Report.Notify, " ", p.Report.Original)
		}
		if err != nil {
			s := mail.StatusOf(err)
			got = fmt.Sprint(s.Code, " ", s.Enhanced)
		}
		if got != want {
			t.Errorf("%s: got %s (%v), want %s", in, got, err, want)
		}
	}
}

func TestXtext(t *testing.T) {
	for in, want := range map[string]bool{"<>": true, "a+2Bb@c.test": true, "a+2b": false, "a+2": false, "+": false, "": false, "a=b": false, "é": false} {
		if _, got := decodeXtext(in); got != want {
			t.Errorf("decodeXtext(%q): ok is %t, want %t", in, got, want)
		}
	}
}

// checkSyntaxError checks that an error of a parser carries a reply that refuses, and that the reply is one line.
func checkSyntaxError(t *testing.T, in string, err error) {
	t.Helper()
	e, ok := errors.AsType[*mail.Error](err)
	if !ok || !e.Status.Permanent() {
		t.Fatalf("%q: error %v carries no refusal", in, err)
	}
	checkReply(t, e.Status)
}

// checkReply checks that a status becomes well-formed reply lines, as many as its text has.
func checkReply(t *testing.T, s mail.Status) {
	t.Helper()
	reply := string(appendReply(nil, s))
	lines := strings.SplitAfter(reply, "\r\n")
	if n := len(lines) - 1; n != strings.Count(s.Text, "\n")+1 || lines[n] != "" {
		t.Fatalf("%v became %q", s, reply)
	}
	for i, line := range lines[:len(lines)-1] {
		code, _, more, err := ParseReplyLine([]byte(strings.TrimSuffix(line, "\r\n")))
		if err != nil || code != s.Code || more != (i < len(lines)-2) || len(line) > 512 {
			t.Fatalf("%v became %q: %v", s, reply, err)
		}
	}
}

func FuzzCommand(f *testing.F) {
	for _, s := range []string{"HELO x", "EHLO [192.0.2.1]", "MAIL FROM:<a@b.test> SIZE=5", "RCPT TO: a@b.test", "AUTH PLAIN AG1l", "  x"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		verb, argument := ParseCommand(line)
		if len(verb) > maxVerb || strings.Contains(verb, " ") || strings.HasPrefix(argument, " ") || strings.HasSuffix(argument, " ") {
			t.Fatalf("ParseCommand(%q) = %q, %q", line, verb, argument)
		}
		words := strings.Fields(argument)
		if r := dialogue.RedactAuth(words); !strings.HasSuffix(r, redacted) && len(words) > 0 && r != "AUTH "+strings.ToUpper(words[0]) {
			t.Fatalf("RedactAuth(%q) = %q", argument, r)
		}
		name, err := ParseHello(argument)
		if err != nil {
			checkSyntaxError(t, argument, err)
			return
		}
		checkReply(t, mail.Status{Code: 250, Text: name})
	})
}

func FuzzParams(f *testing.F) {
	for _, s := range []string{"FROM:<a@b.test> SIZE=5 BODY=8BITMIME AUTH=<>", "from: <>", "TO:<@x:a@b>", "to:postmaster X=Y",
		`FROM:<"a b"@[IPv6:::1]>`, "FROM:<ñ@b.test> SMTPUTF8 RET=HDRS ENVID=a+2Bb", "TO:<ñ@b.test> NOTIFY=SUCCESS,DELAY ORCPT=utf-8;ñ@b.test",
		`TO:<a@b.test> NOTIFY=NEVER ORCPT=utf-8;\x{F1}@b.test`, "TO:<a@b.test> ORCPT=rfc822;a+2Bb@b.test"} {
		f.Add(s, true, true)
	}
	f.Fuzz(func(t *testing.T, s string, extended, utf8 bool) {
		reverse, p, err := ParseMail(s, extended)
		if err != nil {
			checkSyntaxError(t, s, err)
		} else {
			checkMail(t, s, reverse, p)
		}
		forward, r, err := ParseRcpt(s, extended, utf8)
		if err != nil {
			checkSyntaxError(t, s, err)
			return
		}
		line := "TO:" + forward.Path() + reportParams(r.Report, utf8)
		again, q, err := ParseRcpt(line, true, utf8)
		if err != nil || again != forward || q != r || forward.IsNull() || !utf8 && !isASCII(line) {
			t.Fatalf("ParseRcpt(%q) = %v, %v; %q gives %v, %v, %v", s, forward, r, line, again, q, err)
		}
	})
}

// checkMail checks that what the client would say of a MAIL that was read reads the same.
func checkMail(t *testing.T, s string, reverse mail.Address, p MailParams) {
	t.Helper()
	line := "FROM:" + reverse.Path() + dsnParams(p.DSN)
	if p.UTF8 {
		line += " SMTPUTF8"
	}
	again, q, err := ParseMail(line, true)
	q.Size, q.Body = p.Size, p.Body
	if err != nil || again != reverse || q != p || p.Size < 0 || !p.UTF8 && !isASCII(line) {
		t.Fatalf("ParseMail(%q) = %v, %v; %q gives %v, %v, %v", s, reverse, p, line, again, q, err)
	}
}

func FuzzBdat(f *testing.F) {
	for _, s := range []string{"0", "5 LAST", "5 last ", "5 X", "-1", "99999999999999999999", "+5", "0x5", "5LAST"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		size, last, err := ParseBdat(s)
		if err != nil {
			checkSyntaxError(t, s, err)
		}
		if size < -1 || err == nil && size < 0 || err != nil && last {
			t.Fatalf("ParseBdat(%q) = %d, %t, %v", s, size, last, err)
		}
	})
}

func FuzzXtext(f *testing.F) {
	for _, s := range []string{"a+2Bb", "+", "a=b c", `\x{F1}`, "ñ", "\x00", `\x{10FFFF}`, `\x{D800}`, `\x{0041}`, "+2b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if s == "" {
			return
		}
		encoded := string(appendXtext(nil, s))
		if got, ok := decodeXtext(encoded); !ok || got != s || !isASCIIValue(encoded) {
			t.Fatalf("%q became %q, which is %q, %t", s, encoded, got, ok)
		}
		if decoded, ok := decodeXtext(s); ok {
			if again, ok := decodeXtext(string(appendXtext(nil, decoded))); !ok || again != decoded {
				t.Fatalf("%q is %q, which comes back as %q, %t", s, decoded, again, ok)
			}
		}
		for _, allowed := range []bool{false, true} {
			decoded, ok := decodeUTF8Address(s, allowed)
			if !ok {
				continue
			}
			again, ok := decodeUTF8Address(string(appendUTF8Address(nil, decoded, allowed)), allowed)
			if !ok || again != decoded {
				t.Fatalf("%q is %q, which comes back as %q, %t", s, decoded, again, ok)
			}
		}
	})
}
