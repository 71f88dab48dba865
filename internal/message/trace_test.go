package message

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"waybill/internal/mail"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func TestReceived(t *testing.T) {
	t.Parallel()
	you := mail.Address{Local: "you", Domain: "receivingemail.com"}
	for name, test := range map[string]struct {
		field Received
		want  string
	}{
		"plain": {
			Received{From: "sender.test", Name: "host.test", Addr: netip.MustParseAddr("192.0.2.24"), By: "mail.test",
				With: "ESMTP", ID: "01ABCDEFGHJKMN", For: you, At: noon},
			"Received: from sender.test (host.test [192.0.2.24])\r\n\tby mail.test with ESMTP id 01ABCDEFGHJKMN\r\n" +
				"\tfor <you@receivingemail.com>;\r\n\tMon, 23 Nov 2026 12:00:00 +0000\r\n",
		},
		"no name, TLS, several recipients, IPv6": {
			Received{From: "sender.test", Addr: netip.MustParseAddr("2001:db8::1"), By: "mail.test",
				With: "ESMTPSA", ID: "01ABCDEFGHJKMN", TLS: "TLS 1.3 TLS_AES_128_GCM_SHA256", At: noon},
			"Received: from sender.test (unknown [IPv6:2001:db8::1])\r\n\tby mail.test with ESMTPSA id 01ABCDEFGHJKMN\r\n" +
				"\t(TLS 1.3 TLS_AES_128_GCM_SHA256);\r\n\tMon, 23 Nov 2026 12:00:00 +0000\r\n",
		},
		"hostile words": {
			Received{From: "x\r\nBcc: y (z) [1]\x00ü<>", Name: "a(b)\r\nc", Addr: netip.MustParseAddr("::ffff:192.0.2.1"), By: "mail.test",
				With: "SMTP", ID: "01ABCDEFGHJKMN", At: noon},
			"Received: from x?Bcc??y??z???1????? (a?b? c [192.0.2.1])\r\n\tby mail.test with SMTP id 01ABCDEFGHJKMN;\r\n" +
				"\tMon, 23 Nov 2026 12:00:00 +0000\r\n",
		},
		"a literal for a name": {
			Received{From: "[IPv6:2001:DB8::1]", Addr: netip.MustParseAddr("192.0.2.1"), By: "mail.test", With: "ESMTP", ID: "01ABCDEFGHJKMN", At: noon},
			"Received: from [IPv6:2001:db8::1] (unknown [192.0.2.1])\r\n\tby mail.test with ESMTP id 01ABCDEFGHJKMN;\r\n" +
				"\tMon, 23 Nov 2026 12:00:00 +0000\r\n",
		},
		"dots and brackets that make no name": {
			Received{From: ".a..b[1].", Addr: netip.MustParseAddr("192.0.2.1"), By: "mail.test", With: "ESMTP", ID: "01ABCDEFGHJKMN", At: noon},
			"Received: from ?a.?b?1?? (unknown [192.0.2.1])\r\n\tby mail.test with ESMTP id 01ABCDEFGHJKMN;\r\n" +
				"\tMon, 23 Nov 2026 12:00:00 +0000\r\n",
		},
		"nothing said": {
			Received{By: "mail.test", With: "SMTP", ID: "01ABCDEFGHJKMN", At: noon},
			"Received: from unknown (unknown)\r\n\tby mail.test with SMTP id 01ABCDEFGHJKMN;\r\n\tMon, 23 Nov 2026 12:00:00 +0000\r\n",
		},
	} {
		if got := test.field.String(); got != test.want {
			t.Errorf("%s:\n%q, want\n%q", name, got, test.want)
		}
	}
}

// FuzzReceived: no words of a peer break out of the field, and no line is longer than RFC 5322 allows.
func FuzzReceived(f *testing.F) {
	f.Add("sender.test", "host.test")
	f.Add("a\r\nb: c", "\r\n\r\n")
	f.Add(strings.Repeat("x", 2000), strings.Repeat("y ", 1000))
	f.Fuzz(func(t *testing.T, hello, name string) {
		field := Received{From: hello, Name: name, Addr: netip.MustParseAddr("192.0.2.1"), By: "mail.test", With: "SMTP", At: noon}.String()
		fields := Fields([]byte(field))
		if len(fields) != 1 || string(fields[0].Raw) != field || fields[0].Name != "Received" {
			t.Fatalf("%q is not one field", field)
		}
		for line := range strings.SplitSeq(strings.TrimSuffix(field, "\r\n"), "\r\n") {
			if len(line) > maxLine || strings.TrimSpace(line) == "" || strings.ContainsAny(line, "\r\n\x00") {
				t.Fatalf("line %q", line)
			}
		}
	})
}

func TestSmallFields(t *testing.T) {
	t.Parallel()
	got := ReturnPath(mail.Address{}) + DeliveredTo(mail.Address{Local: "a b", Domain: "c.test"}) +
		MessageID("01ABCDEFGHJKMN", "mail.test") + Date(noon) + Originator("From", mail.Address{Local: "a b", Domain: "c.test"})
	want := "Return-Path: <>\r\nDelivered-To: \"a b\"@c.test\r\nMessage-ID: <01ABCDEFGHJKMN@mail.test>\r\n" +
		"Date: Mon, 23 Nov 2026 12:00:00 +0000\r\nFrom: <\"a b\"@c.test>\r\n"
	if got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
