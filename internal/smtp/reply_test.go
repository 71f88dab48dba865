package smtp

import (
	"errors"
	"strings"
	"testing"
	"time"

	"waybill/internal/dialogue"
	"waybill/internal/mail"
)

func TestAppendReply(t *testing.T) {
	for _, test := range []struct {
		status mail.Status
		want   string
	}{
		{mail.NewStatus(250, "2.1.0", "OK"), "250 2.1.0 OK\r\n"},
		{mail.Status{Code: 334}, "334 \r\n"},
		{mail.NewStatus(550, "5.7.123", "one\ntwo\r\n250 three\x00é"), "550-5.7.123 one\r\n550-5.7.123 two?\r\n550 5.7.123 250 three???\r\n"},
		{mail.Status{Code: 250, Text: strings.Repeat("x", 600)}, "250 " + strings.Repeat("x", 490) + "\r\n"},
	} {
		if got := string(appendReply(nil, test.status)); got != test.want {
			t.Errorf("appendReply(%v) = %q, want %q", test.status, got, test.want)
		}
		checkReply(t, test.status)
	}
}

// readReplies reads replies from text until an error.
func readReplies(text string) (replies []mail.Status, err error) {
	line := dialogue.NewConn(&chunked{in: []byte(text), size: func() int { return 700 }}, time.Second)
	for {
		code, lines, err := readReply(line, time.Time{})
		if err != nil {
			return replies, err
		}
		replies = append(replies, newStatus(code, lines))
	}
}

func TestReadReply(t *testing.T) {
	for in, want := range map[string]string{
		"250 OK\r\n":                        "250 OK",
		"250\r\n":                           "250",
		"250 \r\n":                          "250",
		"250 2.1.0 OK\r\n":                  "250 2.1.0 OK",
		"250 2.1.0\r\n":                     "250 2.1.0",
		"550 2.1.0 no class of mine\r\n":    "550 2.1.0 no class of mine",
		"550 5.1.1000 x\r\n":                "550 5.1.1000 x",
		"550 5.01.1 x\r\n":                  "550 5.01.1 x",
		"550-5.1.1 a\r\n550 5.1.1 b\r\n":    "550 5.1.1 a / b",
		"550-5.1.1 a\r\n550 5.1.2 b\r\n":    "550 5.1.1 a / 5.1.2 b",
		"550-a\r\n550 5.1.2 b\r\n":          "550 a / 5.1.2 b",
		"250 \x1b[31mred\r\n":               "250 ?[31mred",
		"250-a\r\n251 b\r\n":                "malformed",
		"250 a\n":                           "malformed",
		"25 a\r\n":                          "malformed",
		"250_a\r\n":                         "malformed",
		"150 a\r\n":                         "malformed",
		"650 a\r\n":                         "malformed",
		"\r\n":                              "malformed",
		"250 a\rb\r\n":                      "malformed",
		"250 a\x00b\r\n":                    "malformed",
		"250 " + strings.Repeat("x", 3000):  "error",
		"250 " + strings.Repeat("x\r\n", 2): "250 x",
		strings.Repeat("250-x\r\n", 200):    "error",
		strings.Repeat("250-x\r\n", 10000):  "malformed",
		"250-x\r\n":                         "error",
		"250 " + strings.Repeat("x", 2050) + "\r\n": "malformed",
	} {
		replies, err := readReplies(in)
		got := "error"
		switch {
		case len(replies) > 0:
			got = strings.TrimSpace(replies[0].String())
		case errors.Is(err, errMalformedReply):
			got = "malformed"
		}
		if got != want {
			t.Errorf("%.40q: got %q (%v), want %q", in, got, err, want)
		}
	}
}

func FuzzReply(f *testing.F) {
	for _, s := range []string{"250 OK\r\n", "250-a\r\n250 b\r\n", "550 5.1.1 no\r\n", "250-2.0.0 a\r\n250 2.0.0 b\r\n221 x\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		replies, err := readReplies(in)
		if err == nil {
			t.Fatal("no error at the end")
		}
		for _, r := range replies {
			if r.Code < 200 || r.Code > 599 || len(r.Text) > maxStatusText+600 || r.Enhanced[0] != 0 && int(r.Enhanced[0]) != r.Code/100 {
				t.Fatalf("%q gave %#v", in, r)
			}
			checkReply(t, r)
		}
	})
}
