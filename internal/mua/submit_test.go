package mua

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"waybill/internal/mail"
)

var letter = Letter{
	ReversePath:  mail.Address{Local: "me", Domain: "a.test"},
	ForwardPaths: []mail.Address{{Local: "you", Domain: "b.test"}, {Local: "too", Domain: "b.test"}},
	Content:      InMemory([]byte("Subject: x\r\n\r\ntext\r\n")),
}

// TestSubmitTriesServers: a letter goes to the first server that answers for good, and to one only.
func TestSubmitTriesServers(t *testing.T) {
	t.Parallel()
	const good = "220 good ESMTP"
	for name, test := range map[string]struct {
		first  []string // greeting and answers of the server before the good one
		second bool     // the good one is tried
		want   string   // in the error, or the status
	}{
		"busy at once":      {[]string{"421 busy"}, true, "250 ok"},
		"no service":        {[]string{"554 no"}, true, "250 ok"},
		"not SMTP":          {[]string{"hello"}, true, "250 ok"},
		"closes":            {[]string{"220 x", "EHLO="}, true, "250 ok"},
		"busy later":        {[]string{"220 x", "MAIL=451 4.3.2 busy"}, true, "250 ok"},
		"refuses":           {[]string{"220 x", "MAIL=550 5.7.1 not you"}, false, "550 5.7.1 not you"},
		"refuses one":       {[]string{"220 x", "RCPT TO:<you=450 4.2.1 later"}, false, "450 4.2.1 later"},
		"closes before dot": {[]string{"220 x", "DATA="}, true, "250 ok"},
		"lost after dot":    {[]string{"220 x", "DOT="}, false, "closed the connection"},
		"refuses the dot":   {[]string{"220 x", "DOT=554 5.6.0 spam"}, false, "554 5.6.0 spam"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			one, two := smtpPeer(t, test.first[0], test.first[1:]...), smtpPeer(t, good)
			c := &Client{Name: "me.test", Dial: network(map[string]*peer{"192.0.2.1:25": one, "192.0.2.3:25": two})}
			s := Settings{SMTP: []Server{address("192.0.2.1:25"), address("192.0.2.2:25"), address("192.0.2.3:25")}}
			receipt, err := c.Submit(t.Context(), s, letter)
			got := receipt.Status().String()
			if err != nil {
				got = err.Error()
			}
			if !strings.Contains(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if tried := len(two.heard("DOT"))+len(two.heard(".")) > 0; tried != test.second {
				t.Errorf("the second server: %q", two.heard(""))
			}
		})
	}
}

// TestSubmitTellsAll: where no server helps, each says why; one that refused the sender for now is heard last.
func TestSubmitTellsAll(t *testing.T) {
	t.Parallel()
	busy, greylisting := smtpPeer(t, "421 too busy"), smtpPeer(t, "220 x", "MAIL=450 4.7.1 wait a while")
	c := &Client{Name: "me.test", Dial: network(map[string]*peer{"192.0.2.1:25": busy, "192.0.2.2:25": greylisting})}
	s := Settings{SMTP: []Server{address("192.0.2.1:25"), address("192.0.2.9:26")}}
	_, err := c.Submit(t.Context(), s, letter)
	if err == nil || !strings.Contains(err.Error(), "192.0.2.1:25: 421 too busy") || !strings.Contains(err.Error(), "192.0.2.9:26: dial") {
		t.Errorf("%v", err)
	}
	s.SMTP = append([]Server{address("192.0.2.2:25")}, s.SMTP...)
	receipt, err := c.Submit(t.Context(), s, letter)
	if err != nil || receipt.Status().String() != "450 4.7.1 wait a while" || receipt.Of(1).Code != 450 || receipt.Server != "192.0.2.2:25" {
		t.Errorf("%+v, %v", receipt, err)
	}
}

// TestContentIsSized: a message that changes under our hands is never sent as far as the dot, nor beyond the size that was said.
func TestContentIsSized(t *testing.T) {
	t.Parallel()
	const text = "Subject: x\r\n\r\ntext\r\n"
	for name, test := range map[string]struct {
		size int64
		want error
	}{"as it was": {int64(len(text)), nil}, "grew": {int64(len(text)) - 1, ErrChanged}, "shrank": {int64(len(text)) + 1, ErrChanged}} {
		one, two := smtpPeer(t, "220 x"), smtpPeer(t, "220 x")
		c := &Client{Name: "me.test", Dial: network(map[string]*peer{"192.0.2.1:25": one, "192.0.2.2:25": two})}
		l := letter
		l.Content = InMemory([]byte(text))
		l.Content.Size = test.size
		receipt, err := c.Submit(t.Context(), Settings{SMTP: []Server{address("192.0.2.1:25"), address("192.0.2.2:25")}}, l)
		if !errors.Is(err, test.want) || (err == nil) != receipt.Accepted() {
			t.Errorf("%s: %v, %v", name, receipt.Status(), err)
		}
		if dots := len(one.heard(".")); (dots == 1) != (test.want == nil) || len(two.heard("")) > 0 {
			t.Errorf("%s: %d dots; the other server heard %q", name, dots, two.heard(""))
		}
	}
	var out bytes.Buffer
	c := InMemory([]byte("12345678"))
	c.Size = 6
	c.Write = func(w io.Writer) error { // in pieces, and deaf
		w.Write([]byte("1234"))
		w.Write([]byte("5678"))
		return nil
	}
	if n, err := c.WriteTo(&out); err == nil || n != 4 || out.String() != "1234" {
		t.Errorf("%d octets, %v: %q", n, err, &out)
	}
}

// TestLoginIsFinal: a password that one server refused is not shown to others.
func TestLoginIsFinal(t *testing.T) {
	t.Parallel()
	for answer, wants := range map[string]bool{"535 5.7.8 wrong": false, "454 4.7.0 later": true} {
		one := smtpPeer(t, "220 x", "EHLO=250-x\r\n250 AUTH PLAIN", "AUTH="+answer)
		two := smtpPeer(t, "220 x", "EHLO=250-x\r\n250 AUTH PLAIN", "AUTH=235 ok")
		c := &Client{Name: "me.test", Dial: network(map[string]*peer{"192.0.2.1:25": one, "192.0.2.2:25": two})}
		s := Settings{User: "me@a.test", Password: "secret", SMTP: []Server{address("192.0.2.1:25"), address("192.0.2.2:25")}}
		_, err := c.Submit(t.Context(), s, letter)
		if (err == nil) != wants || (len(two.heard("AUTH")) > 0) != wants {
			t.Errorf("%s: %v; the other server heard %q", answer, err, two.heard(""))
		}
	}
}
