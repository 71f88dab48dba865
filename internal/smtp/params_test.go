package smtp

import (
	"errors"
	"strings"
	"testing"

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

func TestXtext(t *testing.T) {
	for in, want := range map[string]bool{"<>": true, "a+2Bb@c.test": true, "a+2b": false, "a+2": false, "+": false, "": false, "a=b": false, "é": false} {
		if got := isXtext(in); got != want {
			t.Errorf("isXtext(%q) = %t, want %t", in, got, want)
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
		if r := redactAuth(words); !strings.HasSuffix(r, redacted) && len(words) > 0 && r != "AUTH "+strings.ToUpper(words[0]) {
			t.Fatalf("redactAuth(%q) = %q", argument, r)
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
	for _, s := range []string{"FROM:<a@b.test> SIZE=5 BODY=8BITMIME AUTH=<>", "from: <>", "TO:<@x:a@b>", "to:postmaster X=Y", `FROM:<"a b"@[IPv6:::1]>`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		reverse, p, err := ParseMail(s)
		if err != nil {
			checkSyntaxError(t, s, err)
		} else {
			again, _, err := ParseMail("FROM:" + reverse.Path())
			if err != nil || again != reverse || p.Size < 0 {
				t.Fatalf("ParseMail(%q) = %v, %v; its path gives %v, %v", s, reverse, p, again, err)
			}
		}
		forward, _, err := ParseRcpt(s)
		if err != nil {
			checkSyntaxError(t, s, err)
			return
		}
		if again, _, err := ParseRcpt("TO:" + forward.Path()); err != nil || again != forward || forward.IsNull() {
			t.Fatalf("ParseRcpt(%q) = %v; its path gives %v, %v", s, forward, again, err)
		}
	})
}
